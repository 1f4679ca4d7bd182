//! How answers are written.

use std::io::Write as _;

use actix_web::HttpResponse;
use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

use crate::config::{SocketIo, SocketIoSameSite};
use crate::hub::engineio::Payload;
use crate::transport::Transport;
use crate::transport::admission::texts;

/// Writes the answers to one request.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    config: &'a SocketIo,
    /// As for messages of sockets.
    websocket: &'a crate::config::WebSocket,
    takes_gzip: bool,
}

impl<'a> Answers<'a> {
    pub(super) fn new(transport: &'a Transport, headers: &HeaderMap) -> Self {
        Self {
            config: &transport.socketio,
            websocket: &transport.websocket,
            takes_gzip: texts(headers, &header::ACCEPT_ENCODING).any(takes_gzip),
        }
    }

    /// To the request that began a session.
    pub(super) fn opened(&self, payload: Payload) -> HttpResponse {
        let cookie = self.cookie(&payload.body);
        let mut answer = self.payload(payload);
        if let Some(cookie) = cookie
            && let Err(error) = answer.add_cookie(&cookie)
        {
            tracing::warn!(%error, "the cookie of a session cannot be written");
        }
        answer
    }

    /// To a poll.
    pub(super) fn payload(&self, payload: Payload) -> HttpResponse {
        self.written(payload.content_type, payload.body)
    }

    /// The same, of another node's making.
    pub(super) fn written(&self, content_type: &'static str, body: Bytes) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        answer
            .content_type(content_type)
            .insert_header((header::CACHE_CONTROL, "no-store"));
        if self.config.http_compression {
            answer.insert_header((header::VARY, "Accept-Encoding"));
        }
        let is_worth_it = self.config.http_compression
            && self.takes_gzip
            && body.len() >= self.config.http_compression_threshold_bytes
            && body.len() <= self.websocket.deflate_max_bytes;
        match is_worth_it.then(|| gzip(&body, self.websocket.deflate_level)) {
            Some(Some(packed)) if packed.len() < body.len() => answer
                .insert_header((header::CONTENT_ENCODING, "gzip"))
                .body(packed),
            _ => answer.body(body),
        }
    }

    /// To a POST.
    #[expect(clippy::unused_self, reason = "as the others")]
    pub(super) fn ok(&self) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/html")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body("ok")
    }

    /// The cookie with the session's id, if there is one.
    fn cookie(&self, body: &[u8]) -> Option<Cookie<'static>> {
        if self.config.cookie.is_empty() {
            return None;
        }
        let same_site = match self.config.cookie_same_site {
            SocketIoSameSite::Lax => SameSite::Lax,
            SocketIoSameSite::Strict => SameSite::Strict,
            SocketIoSameSite::None => SameSite::None,
        };
        let mut cookie = Cookie::build(self.config.cookie.clone(), sid_of(body)?)
            .path(self.config.cookie_path.clone())
            .http_only(self.config.cookie_http_only)
            .same_site(same_site)
            .secure(same_site == SameSite::None);
        if let Ok(age_s @ 1..) = i64::try_from(self.config.cookie_max_age_s) {
            cookie = cookie.max_age(CookieAge::seconds(age_s));
        }
        Some(cookie.finish())
    }
}

/// The id in the open packet with which a payload begins.
fn sid_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Open {
        sid: String,
    }
    let start = body.iter().position(|&byte| byte == b'{')?;
    let mut open = serde_json::Deserializer::from_slice(&body[start..]).into_iter::<Open>();
    Some(open.next()?.ok()?.sid)
}

/// Whether an `Accept-Encoding` takes gzip (RFC 9110, section 12.5.3).
pub(super) fn takes_gzip(value: &str) -> bool {
    value.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let is_refused = parts.any(|it| {
            let weight = it.strip_prefix("q=").or(it.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0))
        });
        name.eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// None if that cannot be done, which does not happen in memory.
pub(super) fn gzip(body: &[u8], level: u32) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::new(level));
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for good in ["gzip", "deflate, gzip;q=0.5", "GZIP", "br,gzip"] {
            assert!(takes_gzip(good), "{good}");
        }
        for bad in ["", "identity", "gzip;q=0", "gzip; q=0.000", "gzipped"] {
            assert!(!takes_gzip(bad), "{bad}");
        }
    }

    #[test]
    fn the_id_is_found_in_either_revision() {
        for body in [
            r#"0{"sid":"a~1~b","upgrades":[]}"#,
            r#"30:0{"sid":"a~1~b","upgrades":[]}2:40"#,
        ] {
            assert_eq!(sid_of(body.as_bytes()), Some("a~1~b".into()), "{body}");
        }
        assert_eq!(sid_of(b"0"), None);
    }
}
