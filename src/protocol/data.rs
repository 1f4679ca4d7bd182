//! The free-form value of a custom event.
//!
//! It is kept in the form in which it came, because most values leave in that form: JSON goes
//! from one JSON client to another without being taken apart. The log keeps MessagePack.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A value that the hub carries and does not look into.
#[derive(Clone, Debug)]
pub struct Data(Arc<RawValue>);

/// A value that cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Not JSON, or nested more than 128 deep.
    #[error("not a JSON value: {0}")]
    Json(#[from] serde_json::Error),
    /// The log holds something else than MessagePack.
    #[error("not a MessagePack value: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// The value has no form in MessagePack.
    #[error("cannot be written as MessagePack: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
}

impl Data {
    /// The value as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }

    /// The value as the log keeps it.
    pub fn to_message_pack(&self) -> Result<Vec<u8>, DataError> {
        let value: serde_json::Value = serde_json::from_str(self.0.get())?;
        Ok(rmp_serde::to_vec(&value)?)
    }

    /// The value out of the log.
    pub fn from_message_pack(bytes: &[u8]) -> Result<Self, DataError> {
        let value: serde_json::Value = rmp_serde::from_slice(bytes)?;
        Ok(Self(serde_json::value::to_raw_value(&value)?.into()))
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl From<Box<RawValue>> for Data {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }
}

impl Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_survives_the_log() {
        for text in [
            "null",
            "true",
            "-7",
            "18446744073709551615",
            "1.5",
            r#""\u0000 and ü""#,
            r#"[1,[2,{"a":null}]]"#,
            r#"{"x":1,"y":[0.25]}"#,
        ] {
            let data: Data = serde_json::from_str(text).unwrap();
            let back = Data::from_message_pack(&data.to_message_pack().unwrap()).unwrap();
            let (a, b): (serde_json::Value, serde_json::Value) = (
                serde_json::from_str(data.json()).unwrap(),
                serde_json::from_str(back.json()).unwrap(),
            );
            assert_eq!(a, b);
        }
    }
}
