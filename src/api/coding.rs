//! Content codings (RFC 9110, section 8.4) of answers that are made for one request: brotli, zstd or
//! gzip, as the client wishes.
//!
//! Our own instead of actix-web's `Compress`: that hands every kilobyte to a thread of its own, as many
//! as there are requests, and answers in plain text when it does not like `Accept-Encoding`. Answers
//! that are secret (`no-store`) are not compressed, because the length would tell of them (BREACH);
//! nor what is small.

use std::io::Write as _;

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use tokio::sync::Semaphore;

/// Less is not worth it: it fits into one packet or two.
const MIN_BYTES: u64 = 1024;

/// More is compressed on a thread of its own: it takes longer than a worker may be busy with one
/// request.
const IN_PLACE_BYTES: usize = 128 * 1024;

/// So many at once; beyond that large answers go as they are.
static LARGE: Semaphore = Semaphore::const_new(2);

/// How an answer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// The best first, where several are as welcome.
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// What a client would have; none: as it is.
    pub(super) fn wanted(headers: &HeaderMap) -> Option<Self> {
        Self::wanted_of(headers, &Self::ALL)
    }

    /// What a client would have of these, the first of those that are as welcome; none: as it is. What
    /// cannot be read of the wish counts as nothing.
    pub(super) fn wanted_of(headers: &HeaderMap, offered: &[Self]) -> Option<Self> {
        let values = headers.get_all(header::ACCEPT_ENCODING);
        let mut listed = Vec::new();
        for value in values.filter_map(|value| value.to_str().ok()) {
            listed.extend(value.split(',').filter_map(weighed));
        }
        let weight = |name: &str| {
            let named = |wanted: &str| {
                listed
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            };
            named(name)
                .or_else(|| named("*"))
                .map_or(0, |(_, weight)| *weight)
        };
        // As it is, if that is asked for more than anything else.
        let plain = listed
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("identity"));
        let plain = plain.map_or(0, |(_, weight)| *weight);
        let offered = offered.iter().copied().rev();
        let best = offered.max_by_key(|coding| weight(coding.name()))?;
        let wanted = weight(best.name());
        (wanted > 0 && wanted >= plain).then_some(best)
    }

    /// As it stands in `Content-Encoding`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Packs something, quickly rather than tightly; none if that fails, which it does not.
    pub(super) fn pack(self, bytes: &[u8]) -> Option<Bytes> {
        let room = Vec::with_capacity(bytes.len() / 4);
        let packed = match self {
            Self::Brotli => {
                // A window of 256 KiB: larger ones cost megabytes for each answer.
                let mut writer = brotli::CompressorWriter::new(room, 4096, 4, 18);
                writer.write_all(bytes).ok()?;
                writer.into_inner()
            }
            Self::Zstd => zstd::bulk::compress(bytes, 1).ok()?,
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
                writer.write_all(bytes).ok()?;
                writer.finish().ok()?
            }
        };
        Some(packed.into())
    }
}

/// A part of `Accept-Encoding`: a name and its weight, in thousandths.
fn weighed(part: &str) -> Option<(&str, u16)> {
    let mut pieces = part.split(';').map(str::trim);
    let name = match pieces.next()? {
        "" => return None,
        old if old.eq_ignore_ascii_case("x-gzip") => "gzip",
        name => name,
    };
    let Some(weight) = pieces.next() else {
        return Some((name, 1000));
    };
    let (key, value) = weight.split_once('=')?;
    let value: f32 = value.trim().parse().ok()?;
    let fits = key.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&value);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 1000"
    )]
    let weight = (value * 1000.0) as u16;
    fits.then_some((name, weight))
}

/// Packs answers that are worth it.
pub(super) async fn pack<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let wanted = Coding::wanted(req.headers());
    let mut response = next.call(req).await?;
    if !is_packable(response.headers()) {
        return Ok(response.map_into_left_body());
    }
    if !says_that_it_varies(response.headers()) {
        let varies = HeaderValue::from_static("Accept-Encoding");
        response.headers_mut().append(header::VARY, varies);
    }
    let is_large_enough = matches!(
        response.response().body().size(),
        BodySize::Sized(MIN_BYTES..)
    );
    let Some(coding) = wanted.filter(|_| is_large_enough) else {
        return Ok(response.map_into_left_body());
    };
    let (req, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    let plain = match body.try_into_bytes() {
        Ok(plain) => plain,
        Err(body) => {
            return Ok(ServiceResponse::new(req, head.set_body(body)).map_into_left_body());
        }
    };
    let body = match packed(coding, &plain).await {
        Some(packed) if packed.len() < plain.len() => {
            let name = HeaderValue::from_static(coding.name());
            head.headers_mut().insert(header::CONTENT_ENCODING, name);
            packed
        }
        _ => plain,
    };
    let response = head.set_body(BoxBody::new(body));
    Ok(ServiceResponse::new(req, response).map_into_right_body())
}

async fn packed(coding: Coding, plain: &Bytes) -> Option<Bytes> {
    if plain.len() <= IN_PLACE_BYTES {
        return coding.pack(plain);
    }
    let _turn = LARGE.try_acquire().ok()?;
    let plain = plain.clone();
    tokio::task::spawn_blocking(move || coding.pack(&plain))
        .await
        .ok()?
}

/// Whether an answer is JSON, not secret, and not packed already.
fn is_packable(headers: &HeaderMap) -> bool {
    let is = |name, wanted: fn(&[u8]) -> bool| {
        let value = headers.get(name);
        value.is_some_and(|value: &HeaderValue| wanted(value.as_bytes()))
    };
    is(header::CONTENT_TYPE, |it| {
        it.starts_with(b"application/json") || it == b"application/problem+json"
    }) && !is(header::CACHE_CONTROL, |it| it == b"no-store")
        && !headers.contains_key(header::CONTENT_ENCODING)
}

fn says_that_it_varies(headers: &HeaderMap) -> bool {
    let mut values = headers
        .get_all(header::VARY)
        .filter_map(|it| it.to_str().ok());
    values.any(|it| {
        it.split(',')
            .any(|name| name.trim().eq_ignore_ascii_case("Accept-Encoding"))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn wanted(values: &[&[u8]]) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(header::ACCEPT_ENCODING, value);
        }
        Coding::wanted(&headers)
    }

    #[test]
    fn clients_get_what_they_would_have() {
        use Coding::{Brotli, Gzip, Zstd};
        for (accept, coding) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip;q=1.0, zstd;q=0.5", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("*", Some(Brotli)),
            ("br;q=0, *;q=0.1", Some(Zstd)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip", Some(Gzip)),
            ("*;q=0", None),
            ("identity;q=0", None),
            ("", None),
            ("deflate, x", None),
            ("gzip;q=2", None),
            ("gzip;q=-1", None),
            ("gzip;q=NaN", None),
            ("gzip;x=1", None),
            (";;;,,,=;q=", None),
        ] {
            assert_eq!(wanted(&[accept.as_bytes()]), coding, "{accept}");
        }
        assert_eq!(wanted(&[]), None);
        assert_eq!(wanted(&[b"\xff\xfe", b"gzip"]), Some(Gzip));
        let many = "x,".repeat(10_000);
        assert_eq!(wanted(&[many.as_bytes()]), None);
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let plain = br#"{"name": "general", "topic": "what everybody should know"}"#.repeat(100);
        for coding in Coding::ALL {
            let packed = coding.pack(&plain).unwrap();
            assert!(packed.len() < plain.len() / 10, "{coding:?}");
            let mut unpacked = Vec::new();
            match coding {
                Coding::Brotli => brotli::Decompressor::new(&packed[..], 4096)
                    .read_to_end(&mut unpacked)
                    .unwrap(),
                Coding::Zstd => zstd::stream::read::Decoder::new(&packed[..])
                    .unwrap()
                    .read_to_end(&mut unpacked)
                    .unwrap(),
                Coding::Gzip => flate2::read::GzDecoder::new(&packed[..])
                    .read_to_end(&mut unpacked)
                    .unwrap(),
            };
            assert_eq!(unpacked, plain, "{coding:?}");
        }
    }
}
