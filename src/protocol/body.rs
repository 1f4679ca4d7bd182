//! What a message says: text, or bytes that mean something to the application.
//!
//! MessagePack has a type for bytes. In JSON they are base64 (of RFC 4648 §4, with padding), and a
//! field `encoding` beside them says so; text has none.

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::msgpack::write::{BINARY, JSON_ONLY};
use super::text::{TextError, check_body};

/// What a message says.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// Text, without U+0000.
    Text(Box<str>),
    /// Bytes of any values.
    Bytes(Box<[u8]>),
}

/// How bytes are written where there is only text. Of a request it says how to read its `body`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// RFC 4648 §4, with padding.
    Base64,
}

/// Why something cannot be a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Empty, too long, or with U+0000.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Not what its encoding promises.
    #[error("must be base64 with padding, as `encoding` says")]
    Base64,
}

impl Body {
    /// Text of 1 to `max_bytes` bytes, or what it encodes.
    pub fn read(text: &str, how: Option<Encoding>, max_bytes: usize) -> Result<Self, BodyError> {
        match how {
            None => {
                check_body(text, max_bytes)?;
                Ok(Self::Text(text.into()))
            }
            Some(Encoding::Base64) => {
                let bytes = STANDARD.decode(text).map_err(|_| BodyError::Base64)?;
                Self::of_bytes(&bytes, max_bytes)
            }
        }
    }

    /// 1 to `max_bytes` bytes.
    pub fn of_bytes(bytes: &[u8], max_bytes: usize) -> Result<Self, BodyError> {
        if bytes.is_empty() {
            return Err(TextError::Empty.into());
        }
        if bytes.len() > max_bytes {
            let error = TextError::TooLong {
                max: max_bytes,
                actual: bytes.len(),
                unit: "bytes",
            };
            return Err(error.into());
        }
        Ok(Self::Bytes(bytes.into()))
    }

    /// The text; none if it is bytes.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(_) => None,
        }
    }

    /// The bytes; none if it is text.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(_) => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }

    /// How long it is, bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing, which is how a deleted message is told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands beside it in JSON.
    #[must_use]
    pub const fn encoding(&self) -> Option<Encoding> {
        match self {
            Self::Text(_) => None,
            Self::Bytes(_) => Some(Encoding::Base64),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(Box::default())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
        }
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_newtype_struct(BINARY, &Form(bytes)),
        }
    }
}

/// Bytes in the form that a serializer asks for.
struct Form<'a>(&'a [u8]);

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

/// Out of the log, where text and bytes are types of their own.
impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Logged)
    }
}

struct Logged;

impl Visitor<'_> for Logged {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Body, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Body, E> {
        Ok(Body::Bytes(bytes.into()))
    }
}

impl Serialize for Encoding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Base64 => serializer.serialize_newtype_struct(JSON_ONLY, "base64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::msgpack::write::append;

    #[derive(Serialize)]
    struct Said {
        body: Body,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
        last: u8,
    }

    #[test]
    fn each_codec_has_its_form() {
        for (body, json, packed) in [
            (
                Body::from("AP8="),
                r#"{"body":"AP8=","last":1}"#,
                &b"\x82\xa4body\xa4AP8=\xa4last\x01"[..],
            ),
            (
                Body::Bytes([0, 255].into()),
                r#"{"body":"AP8=","encoding":"base64","last":1}"#,
                b"\x82\xa4body\xc4\x02\x00\xff\xa4last\x01",
            ),
        ] {
            let said = Said {
                encoding: body.encoding(),
                body: body.clone(),
                last: 1,
            };
            assert_eq!(serde_json::to_string(&said).unwrap(), json);
            let mut out = Vec::new();
            append(&mut out, &said).unwrap();
            assert_eq!(out, packed);
            let back = Body::read("AP8=", said.encoding, 4);
            assert_eq!(back, Ok(body.clone()));
            // And the log's.
            let logged = rmp_serde::to_vec(&body).unwrap();
            assert_eq!(rmp_serde::from_slice::<Body>(&logged).unwrap(), body);
        }
    }

    #[test]
    fn limits_are_in_bytes_of_what_is_said() {
        let how = Some(Encoding::Base64);
        assert!(Body::read("AAAA", how, 3).is_ok());
        assert!(matches!(
            Body::read("AAAAAA==", how, 3),
            Err(BodyError::Text(TextError::TooLong { actual: 4, .. }))
        ));
        assert_eq!(Body::read("", how, 3), Err(TextError::Empty.into()));
        for text in ["A", "AA", "AA=", "AB==", "A A=", "-_-_", "AAAA="] {
            assert_eq!(Body::read(text, how, 3), Err(BodyError::Base64), "{text}");
        }
    }
}
