//! MessagePack by a library that is not ours, to and from the JSON that tests are written in.
//!
//! Bytes are `{"$bin":"<base64>"}` in it, as the hub shows them in an event's `data`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmpv::Value as Packed;
use serde_json::{Map, Value, json};

/// Bytes, as tests write them.
pub(crate) fn bin(bytes: &[u8]) -> Value {
    json!({ "$bin": STANDARD.encode(bytes) })
}

/// A message, push or request in JSON as it is in MessagePack: a `body` that is base64 there is
/// bytes here.
pub(crate) fn with_bytes(message: &mut Value) {
    if let Some(map) = message.as_object_mut()
        && let Some(encoding) = map.remove("encoding")
    {
        assert_eq!(encoding, "base64");
        let base64 = map["body"].as_str().expect("a string");
        let bytes = STANDARD.decode(base64).expect("base64");
        map["body"] = bin(&bytes);
    }
}

/// And back.
pub(crate) fn with_base64(message: &mut Value) {
    if let Some(base64) = message.pointer("/body/$bin").cloned() {
        message["body"] = base64;
        message["encoding"] = "base64".into();
    }
}

/// JSON → MessagePack.
pub(crate) fn pack(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &packed(value)).expect("a vector takes everything");
    bytes
}

/// MessagePack → JSON. Anything but one whole value is a failure, as is what the hub must not
/// send: keys that are no strings or stand twice, extension types, texts that are not UTF-8.
pub(crate) fn unpack(mut bytes: &[u8]) -> Value {
    let value = rmpv::decode::read_value(&mut bytes).expect("MessagePack");
    assert!(bytes.is_empty(), "{} bytes follow {value}", bytes.len());
    json_of(value)
}

fn packed(value: &Value) -> Packed {
    match value {
        Value::Null => Packed::Nil,
        Value::Bool(flag) => Packed::from(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Packed::from(number),
            (_, Some(number)) => Packed::from(number),
            _ => Packed::from(number.as_f64().expect("a number")),
        },
        Value::String(text) => Packed::from(text.as_str()),
        Value::Array(items) => Packed::Array(items.iter().map(packed).collect()),
        Value::Object(map) => match map.get("$bin").and_then(Value::as_str) {
            Some(base64) if map.len() == 1 => {
                Packed::from(STANDARD.decode(base64).expect("base64"))
            }
            _ => Packed::Map(
                map.iter()
                    .map(|(key, value)| (Packed::from(key.as_str()), packed(value)))
                    .collect(),
            ),
        },
    }
}

fn json_of(value: Packed) -> Value {
    match value {
        Packed::Nil => Value::Null,
        Packed::Boolean(flag) => flag.into(),
        Packed::Integer(number) => number
            .as_u64()
            .map(Value::from)
            .or_else(|| number.as_i64().map(Value::from))
            .expect("an integer"),
        Packed::F32(number) => f64::from(number).into(),
        Packed::F64(number) => number.into(),
        Packed::String(text) => text.into_str().expect("UTF-8").into(),
        Packed::Binary(bytes) => bin(&bytes),
        Packed::Array(items) => items.into_iter().map(json_of).collect(),
        Packed::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let Packed::String(key) = key else {
                    panic!("a key that is no string: {key}");
                };
                let key = key.into_str().expect("UTF-8");
                let before = map.insert(key.clone(), json_of(value));
                assert_eq!(before, None, "`{key}` stands twice");
            }
            map.into()
        }
        Packed::Ext(kind, _) => panic!("an extension of type {kind}"),
    }
}
