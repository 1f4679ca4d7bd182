//! The free-form value of a custom event.
//!
//! It has two forms, JSON and MessagePack. It is kept in the form in which it came, because most
//! values leave in that form: what a JSON client sent, JSON clients get to the letter. The other
//! form is made once, when the first needs it; that of what came as JSON is made at once, because
//! it is how the value is checked, and what the log keeps.
//!
//! **Bytes** are MessagePack's alone. JSON shows them as `{"$bin":"<base64>"}`, and may send them
//! so. A map that really has only the key `$bin` gets one `$` more in JSON, as does one that has
//! only `$$bin`, and so on: that way every value has one form in each, and comes back the same.

pub(super) mod attached;
mod pack;
mod unpack;

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::msgpack::read::{Malformed, Reader};
use super::msgpack::write::RAW;

/// The one key of a map in JSON that stands for bytes.
const BIN: &str = "$bin";

/// The key of a map in Socket.IO's JSON that stands for an attachment, if it is `true`.
const PLACEHOLDER: &str = "_placeholder";

/// The key beside it: which attachment, from 0 on.
const PLACEHOLDER_NUMBER: &str = "num";

/// What stands for an attachment.
fn placeholder(number: usize) -> String {
    format!("{{\"{PLACEHOLDER}\":true,\"{PLACEHOLDER_NUMBER}\":{number}}}")
}

/// A value that the hub carries and does not look into.
#[derive(Clone, Debug)]
pub struct Data(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    message_pack: Box<[u8]>,
    json: OnceLock<Box<RawValue>>,
}

/// A value that cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Not JSON, nested too deep, a key that stands twice, or a `$bin` that is no base64.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not MessagePack, or what has no form in JSON.
    #[error("{0}")]
    MessagePack(#[from] Malformed),
    /// An event has no form in the log.
    #[error("cannot be written as MessagePack: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// An event has no form in the log.
    #[error("cannot be written as MessagePack: {0}")]
    Write(#[from] super::msgpack::WriteError),
}

impl Data {
    /// A value as JSON text. It is nested less than 128 deep, and no map has a key twice.
    pub fn from_json(json: Box<RawValue>) -> Result<Self, DataError> {
        let message_pack = pack::pack(json.get())?.into();
        Ok(Self(Arc::new(Forms {
            message_pack,
            json: json.into(),
        })))
    }

    /// A value as MessagePack, whoever wrote it. It is nested less than 128 deep, its keys are
    /// strings, no map has one twice, and it has no extension types and no infinite numbers.
    pub fn from_message_pack(bytes: &[u8]) -> Result<Self, DataError> {
        unpack::check(bytes)?;
        Ok(Self(Arc::new(Forms {
            message_pack: bytes.into(),
            json: OnceLock::new(),
        })))
    }

    /// The value as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        self.raw_json().get()
    }

    /// Whether its JSON has been made.
    #[cfg(test)]
    pub(crate) fn has_json(&self) -> bool {
        self.0.json.get().is_some()
    }

    fn raw_json(&self) -> &RawValue {
        self.0.json.get_or_init(|| {
            // It was checked: it has a form in JSON.
            let text = unpack::unpack(&self.0.message_pack).unwrap_or_default();
            RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
        })
    }

    /// The value as MessagePack, as the log keeps it.
    #[must_use]
    pub fn message_pack(&self) -> &[u8] {
        &self.0.message_pack
    }

    /// Whether there are bytes in it.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        attached::has_bytes(self.message_pack())
    }

    /// About how much memory it holds, bytes, when both forms are there.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        2 * self.0.message_pack.len()
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.message_pack() == other.message_pack()
    }
}

impl Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(RAW, &Form(self))
    }
}

/// The form that a serializer asks for.
struct Form<'a>(&'a Data);

impl Serialize for Form<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.raw_json().serialize(serializer)
        } else {
            serializer.serialize_bytes(self.0.message_pack())
        }
    }
}

/// Out of JSON alone.
impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(Box::<RawValue>::deserialize(deserializer)?)
            .map_err(serde::de::Error::custom)
    }
}

/// Whether a map's only key is one that needs one `$` more in JSON than it has: `$bin`, `$$bin`…
fn is_escaped(key: &str) -> bool {
    key.strip_suffix(BIN)
        .is_some_and(|dollars| dollars.bytes().all(|byte| byte == b'$'))
}

/// Reads the value at the beginning of the bytes; for those who know that there is one.
fn first(bytes: &[u8]) -> Result<super::msgpack::read::Head<'_>, Malformed> {
    Reader::new(bytes).head()
}

#[cfg(test)]
mod tests;
