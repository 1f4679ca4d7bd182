//! Answers by copies: entity tags, `304 Not Modified`, the compressed form, and what is said of how the
//! answer came about. Who may have it was decided before.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

use utoipa::IntoParams;

use super::ApiState;
use super::coding::Coding;
use super::paging::next_link;
use super::problem::ApiError;
use crate::cache::copy::{Object, Rendered};
use crate::cache::least::Least;
use crate::cache::reads::age_s;
use crate::cache::{Answer, How};
use crate::protocol::error::{ErrorCode, Refusal};

/// What the client has seen already.
const MIN_CURSOR: HeaderName = HeaderName::from_static("hubbub-min-cursor");

/// How the answer came about.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// The answer depends on these, and must not be given by what keeps it to somebody else.
const VARY: HeaderValue = HeaderValue::from_static("Accept-Encoding, Authorization, Cookie");

/// What may be said of what the client has seen. Only for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(super) struct Seen {
    /// What the client has seen already, a cursor of a socket or an event stream: the answer is at
    /// least that new.
    #[param(rename = "Hubbub-Min-Cursor", max_length = 4096)]
    min_cursor: Option<String>,
}

/// What may be said of what the client has. Only for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(super) struct Asked {
    /// What the client has seen already, a cursor of a socket or an event stream: the answer is at
    /// least that new.
    #[param(rename = "Hubbub-Min-Cursor", max_length = 4096)]
    min_cursor: Option<String>,
    /// The `ETag` of what the client has.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Reads `Hubbub-Min-Cursor`.
pub(super) fn least(req: &HttpRequest) -> Result<Least, ApiError> {
    let mut values = req.headers().get_all(MIN_CURSOR);
    let Some(value) = values.next() else {
        return Ok(Least::none());
    };
    let bad = |why: &'static str| ApiError::from(Refusal::new(ErrorCode::InvalidCursor, why));
    if values.next().is_some() {
        return Err(bad("Hubbub-Min-Cursor: must be given once"));
    }
    let text = value.to_str().unwrap_or_default();
    Least::read(text).map_err(|_| bad("Hubbub-Min-Cursor: not a cursor of this service"))
}

/// An answer that is to be sent, or said to be what the client has.
pub(super) struct Conditional<'a> {
    /// Its entity tag.
    pub(super) etag: &'a str,
    /// How it came about.
    pub(super) how: How,
    /// How old it is, seconds.
    pub(super) age_s: u64,
    /// Where the list goes on, if it does.
    pub(super) next: Option<HeaderValue>,
}

impl Conditional<'_> {
    /// The answer: 304 if the client has it, else what `body` gives for the encodings that it takes.
    pub(super) fn answer(
        &self,
        req: &HttpRequest,
        body: impl FnOnce(bool) -> Result<(Bytes, bool), ApiError>,
    ) -> Result<HttpResponse, ApiError> {
        let is_known = is_known(req.headers(), self.etag);
        let mut response = if is_known {
            HttpResponse::build(StatusCode::NOT_MODIFIED)
        } else {
            HttpResponse::Ok()
        };
        response
            .insert_header((header::ETAG, self.etag))
            .insert_header((header::CACHE_CONTROL, "private, no-cache"))
            .insert_header((header::VARY, VARY))
            .insert_header((header::AGE, self.age_s))
            .insert_header((X_CACHE, self.how.as_str()));
        if is_known {
            return Ok(response.finish());
        }
        if let Some(next) = &self.next {
            response.insert_header((header::LINK, next));
        }
        let (body, is_packed) = body(takes_gzip(req.headers()))?;
        if is_packed {
            response.insert_header((header::CONTENT_ENCODING, Coding::Gzip.name()));
        }
        Ok(response.content_type("application/json").body(body))
    }
}

/// The answer of a copy whose body is finished. What it took to decide who may have it is `permitted`.
pub(super) fn of_copy(
    req: &HttpRequest,
    state: &ApiState,
    permitted: How,
    answer: &Answer,
) -> Result<HttpResponse, ApiError> {
    made_of(req, state, permitted, answer, None)
}

/// The same for a page of a list, with a link to the next one: the same address, with what leads there
/// as `onward` of the query.
pub(super) fn of_page(
    req: &HttpRequest,
    state: &ApiState,
    permitted: How,
    answer: &Answer,
    onward: &'static str,
) -> Result<HttpResponse, ApiError> {
    made_of(req, state, permitted, answer, Some(onward))
}

fn made_of(
    req: &HttpRequest,
    state: &ApiState,
    permitted: How,
    answer: &Answer,
    onward: Option<&'static str>,
) -> Result<HttpResponse, ApiError> {
    let Object::Body(rendered) = &answer.copy.object else {
        return Err(ApiError::Internal("a copy without a body"));
    };
    let link =
        |(onward, next): (&str, &str)| next_link(req.path(), req.query_string(), onward, next);
    let conditional = Conditional {
        etag: &rendered.etag,
        how: whole(permitted, answer.how),
        age_s: age_s(answer),
        next: onward.zip(rendered.next.as_deref()).and_then(link),
    };
    conditional.answer(req, |takes_gzip| Ok(body(state, rendered, takes_gzip)))
}

fn body(state: &ApiState, rendered: &Rendered, takes_gzip: bool) -> (Bytes, bool) {
    let cache = &state.config.cache;
    let packed = takes_gzip
        .then(|| rendered.gzip(cache.compress_min_bytes, cache.compress_max_bytes))
        .flatten();
    match packed {
        Some(packed) => (packed, true),
        None => (rendered.body.clone(), false),
    }
}

/// How the whole came about: stale if any of it is.
pub(super) fn whole(permitted: How, how: How) -> How {
    match (permitted, how) {
        (How::Stale, _) => How::Stale,
        _ => how,
    }
}

/// How an answer of several came about, of which so far it is `all`: by copies alone if all of it is.
pub(super) fn of_all(all: How, one: How) -> How {
    match (all, one) {
        (How::Stale, _) | (_, How::Stale) => How::Stale,
        (How::Miss, _) | (_, How::Miss) => How::Miss,
        (How::Coalesced, _) | (_, How::Coalesced) => How::Coalesced,
        (How::Hit, How::Hit) => How::Hit,
    }
}

/// Whether the client names this tag, or any (RFC 9110, section 13.1.2), by weak comparison.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let own = etag.strip_prefix("W/").unwrap_or(etag);
    let names = |value: &HeaderValue| {
        let tags = value.to_str().unwrap_or_default().split(',');
        tags.map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
    };
    headers.get_all(header::IF_NONE_MATCH).any(names)
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3). It need not like it best: what is packed
/// already is sent at once.
fn takes_gzip(headers: &HeaderMap) -> bool {
    Coding::wanted_of(headers, &[Coding::Gzip]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_tag_is_known_however_it_is_named() {
        let own = "W/\"1-7-42\"";
        for values in [
            &["W/\"1-7-42\""][..],
            &["\"1-7-42\""],
            &["\"a\" , W/\"1-7-42\""],
            &["\"a\"", "W/\"1-7-42\",\"b\""],
            &["*"],
        ] {
            assert!(
                is_known(&headers(&header::IF_NONE_MATCH, values), own),
                "{values:?}"
            );
        }
        for values in [&[][..], &[""], &["1-7-42"], &["W/\"1-7-4\""], &["\"1-7-42"]] {
            assert!(
                !is_known(&headers(&header::IF_NONE_MATCH, values), own),
                "{values:?}"
            );
        }
        let mut garbage = HeaderMap::new();
        let bytes = HeaderValue::from_bytes(b"\xff\xfe\"1-7-42\"").unwrap();
        garbage.append(header::IF_NONE_MATCH, bytes);
        assert!(!is_known(&garbage, own));
    }

    #[test]
    fn encodings() {
        for (value, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("gzip;q=0.0", false),
            ("gzip;q=nonsense", false),
            ("identity, br", false),
            ("*;q=0", false),
            ("", false),
        ] {
            let headers = headers(&header::ACCEPT_ENCODING, &[value]);
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
    }
}
