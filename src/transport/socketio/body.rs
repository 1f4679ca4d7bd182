//! The body of a POST: bounded in length and in time.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(in crate::transport) enum BodyError {
    /// It is too long.
    #[error("the body is too long")]
    TooLarge,
    /// It took too long.
    #[error("the body took too long")]
    TooSlow,
    /// It broke off.
    #[error("the body broke off")]
    Broken(#[source] PayloadError),
}

/// Whether a body is `application/octet-stream`.
pub(super) fn is_bytes(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/octet-stream")
}

/// Reads a body of at most so many bytes in at most this time.
pub(super) async fn read(
    headers: &HeaderMap,
    payload: Payload,
    most: usize,
    limit: Duration,
) -> Result<Bytes, BodyError> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(BodyError::TooLarge);
    }
    let reading = read_all(payload, most);
    tokio::time::timeout(limit, reading)
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn read_all(mut payload: Payload, most: usize) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(BodyError::Broken)?;
        if body.len() + part.len() > most {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

    use super::is_bytes;

    #[test]
    fn only_octet_streams_are_bytes() {
        for (kind, expected) in [
            ("application/octet-stream", true),
            ("Application/Octet-Stream; charset=x", true),
            ("text/plain;charset=UTF-8", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_bytes(&headers), expected, "{kind}");
        }
        assert!(!is_bytes(&HeaderMap::new()));
    }
}
