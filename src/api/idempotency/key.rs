//! The key itself, as it stands in the request's head.

use actix_web::http::header::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::api::problem::{ApiError, FieldError};

/// The header, and how errors call it.
const NAME: &str = "idempotency-key";

/// A key is at most so long, bytes.
const MAX_BYTES: usize = 255;

/// The request's key, if it has one: a string as RFC 9651 writes it, or the bare text.
pub(in crate::api) fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(NAME);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(FieldError::new(NAME, "must be given once").into());
    }
    let wrong = || {
        let message =
            format!("must be 1 to {MAX_BYTES} visible ASCII characters, in quotes or bare");
        ApiError::from(FieldError::new(NAME, message))
    };
    let text = value.to_str().map_err(|_| wrong())?.trim();
    let quoted = text.strip_prefix('"');
    let text = match quoted {
        Some(rest) => rest.strip_suffix('"').ok_or_else(wrong)?,
        None => text,
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    if !(1..=MAX_BYTES).contains(&text.len()) || !text.bytes().all(plain) {
        return Err(wrong());
    }
    Ok(Some(text.to_owned()))
}

/// The `client_id` of a publish under this key. Members see it with the message, so it does not tell
/// the key.
pub(in crate::api) fn publish_key(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    format!("idempotency-key:{}", URL_SAFE_NO_PAD.encode(digest))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::protocol::text::{CLIENT_ID_MAX_BYTES, check_line};

    fn read(values: &[&[u8]]) -> Result<Option<String>, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(NAME), value);
        }
        key_of(&headers)
    }

    #[test]
    fn keys_are_bare_or_quoted() {
        assert_eq!(read(&[]).unwrap(), None);
        for (value, key) in [
            (&b"\"8e03978e-40d5\""[..], "8e03978e-40d5"),
            (b"8e03978e-40d5", "8e03978e-40d5"),
            (b" a!b ", "a!b"),
        ] {
            assert_eq!(read(&[value]).unwrap().as_deref(), Some(key));
        }
        let long = [b'x'; MAX_BYTES + 1];
        for wrong in [
            &b""[..],
            b"\"",
            b"\"\"",
            b"\"a",
            b"a b",
            b"a\"b",
            b"\xc3\xbc",
            &long,
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(read(&[b"a", b"a"]).is_err());
    }

    #[test]
    fn a_publish_has_a_key_that_fits() {
        let key = publish_key(&"x".repeat(MAX_BYTES));
        assert!(check_line(&key, CLIENT_ID_MAX_BYTES).is_ok(), "{key}");
        assert_ne!(publish_key("a"), publish_key("b"));
    }
}
