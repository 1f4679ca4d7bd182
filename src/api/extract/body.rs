//! JSON bodies: as large as they may be, and in time.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{BytesMut, Data};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::api::ApiState;
use crate::api::problem::{ApiError, FieldError};
use crate::api::request::text;
use crate::auth::Identity;
use crate::config::Config;
use crate::protocol::error::{ErrorCode, Refusal};

/// Who shows no credentials may send so much besides the longest password.
const OPEN_BODY_BYTES: usize = 16 * 1024;

/// What a byte of text is at most in JSON: `\u0000`.
const ESCAPED_BYTES: usize = 6;

/// A JSON object in the body.
pub(in crate::api) struct Body<T>(pub(in crate::api) T);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            check_type(&req)?;
            let bytes = read_whole(&req, payload).await?;
            parse(&bytes).map(Self)
        })
    }
}

/// The whole body, as large as it may be, and in time.
pub(in crate::api) async fn read_whole(
    req: &HttpRequest,
    payload: Payload,
) -> Result<BytesMut, ApiError> {
    let state = req
        .app_data::<Data<ApiState>>()
        .ok_or(ApiError::Internal("ApiState is not registered"))?;
    let max_bytes = max_bytes(req, &state.config);
    check_head(req, max_bytes)?;
    let limit = Duration::from_millis(state.config.http.request_body_timeout_ms);
    tokio::time::timeout(limit, read(payload, max_bytes))
        .await
        .map_err(|_| too_late(limit))?
}

/// How large the body may be. Until it is whole it lies in memory, and who shows no credentials is
/// counted for what it says.
fn max_bytes(req: &HttpRequest, config: &Config) -> usize {
    let max_bytes = config.http.max_body_bytes;
    if req.extensions().contains::<Identity>() {
        return max_bytes;
    }
    let password = config.auth.password_max_bytes.saturating_mul(ESCAPED_BYTES);
    max_bytes.min(OPEN_BODY_BYTES.saturating_add(password))
}

fn check_type(req: &HttpRequest) -> Result<(), ApiError> {
    let content_type = text(req.headers(), header::CONTENT_TYPE).unwrap_or("");
    if !is_json(content_type) {
        return Err(media_type("the body must be application/json in UTF-8"));
    }
    Ok(())
}

fn check_head(req: &HttpRequest, max_bytes: usize) -> Result<(), ApiError> {
    let headers = req.headers();
    let encoding = text(headers, header::CONTENT_ENCODING).unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        return Err(media_type("the body must not be compressed"));
    }
    let length = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length: usize| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

/// Whether a content type is JSON (RFC 8259, section 11), which has no charset but UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.trim().split_once('=') {
            Some((name, value)) => {
                !name.eq_ignore_ascii_case("charset")
                    || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            None => true,
        })
}

async fn read(mut payload: Payload, max_bytes: usize) -> Result<BytesMut, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        // The client has gone, or breaks its own framing: nobody is likely to read the answer.
        let chunk = chunk.map_err(|_| FieldError::new("", "the body ends before its end"))?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde reads a struct from an array too, which nobody means.
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|&byte| byte != b'{') {
        return Err(FieldError::new("", "the body must be a JSON object").into());
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    json.end().map_err(|error| explain(".", &error))?;
    Ok(value)
}

/// The field and what is wrong with it, from the parser's own words.
fn explain(path: &str, error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return FieldError::new("", format!("the body is not JSON: {error}")).into();
    }
    let message = error.to_string();
    // "invalid type: integer `5`, expected a string at line 1 column 9"
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(message, _)| message);
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    match (missing, path) {
        (Some(field), _) => FieldError::new(field, "is missing").into(),
        (None, ".") => FieldError::new("", message).into(),
        (None, field) => FieldError::new(field, message).into(),
    }
}

fn media_type(message: &'static str) -> ApiError {
    Refusal::new(ErrorCode::UnsupportedMediaType, message).into()
}

fn too_late(limit: Duration) -> ApiError {
    let message = format!("the body did not come within {} ms", limit.as_millis());
    Refusal::new(ErrorCode::RequestTimeout, message).into()
}

fn too_large(max_bytes: usize) -> ApiError {
    let message = format!("the body must be at most {max_bytes} bytes");
    Refusal::new(ErrorCode::TooLarge, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        name: String,
        #[allow(dead_code)]
        count: Option<u8>,
    }

    fn wrong(json: &[u8]) -> String {
        parse::<Wanted>(json).unwrap_err().problem().detail
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse::<Wanted>(br#" {"name": "x", "more": [[]]} "#).is_ok());
        assert_eq!(wrong(b"{}"), "name: is missing");
        assert_eq!(
            wrong(br#"{"name": 5}"#),
            "name: invalid type: integer `5`, expected a string"
        );
        assert_eq!(
            wrong(br#"{"name": "x", "count": 256}"#),
            "count: invalid value: integer `256`, expected u8"
        );
        for no_object in [&br#"["x", 1]"#[..], b"null", b"\"x\"", b"1"] {
            assert_eq!(wrong(no_object), "the body must be a JSON object");
        }
        for no_json in [
            &b""[..],
            b"{",
            b"{\"name\": \"x\"} y",
            b"{\"name\": \"\xff\"}",
        ] {
            assert!(
                wrong(no_json).starts_with("the body is not JSON"),
                "{no_json:?}"
            );
        }
        let deep = format!("{{\"name\": {}", "[".repeat(100_000));
        assert!(parse::<Wanted>(deep.as_bytes()).is_err());
        let deep_elsewhere = format!("{{\"name\": \"x\", \"more\": {}", "[".repeat(100_000));
        assert!(parse::<Wanted>(deep_elsewhere.as_bytes()).is_err());
    }

    #[test]
    fn content_types() {
        for json in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "application/jsonx",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
