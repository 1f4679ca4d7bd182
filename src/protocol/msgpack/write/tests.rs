use super::*;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn written<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, value).unwrap();
    out
}

/// As a decoder that is not ours reads it.
fn read(bytes: &[u8]) -> Value {
    rmp_serde::from_slice(bytes).unwrap()
}

#[test]
fn numbers_are_as_short_as_they_can_be() {
    for (number, bytes) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (255, 2),
        (256, 3),
        (65_535, 3),
        (65_536, 5),
        (i64::from(u32::MAX), 5),
        (i64::from(u32::MAX) + 1, 9),
        (-1, 1),
        (-32, 1),
        (-33, 2),
        (-128, 2),
        (-129, 3),
        (-32_768, 3),
        (-32_769, 5),
        (i64::from(i32::MIN), 5),
        (i64::from(i32::MIN) - 1, 9),
        (i64::MIN, 9),
    ] {
        let out = written(&number);
        assert_eq!((read(&out), out.len()), (json!(number), bytes), "{number}");
    }
}

#[test]
fn lengths_of_all_widths() {
    for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536, 70_000] {
        let text = "x".repeat(length);
        assert_eq!(read(&written(&text)), json!(text));
        let list = vec![1; length];
        assert_eq!(read(&written(&list)), json!(list));
        let map: BTreeMap<String, u8> = (0..length).map(|it| (it.to_string(), 1)).collect();
        assert_eq!(read(&written(&map)), json!(map));
        let mut bytes = Vec::new();
        binary(&mut bytes, text.as_bytes()).unwrap();
        let back: serde_bytes::ByteBuf = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(back.len(), length);
    }
}

struct Shown(usize);

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&"y".repeat(self.0))
    }
}

#[test]
fn what_is_shown_is_written_in_place() {
    for length in [0, 27, 31, 32, 255, 256, 70_000] {
        assert_eq!(written(&Shown(length)), written(&"y".repeat(length)));
    }
}

/// A list that does not know its length.
struct Unknown(u8);

impl Serialize for Unknown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut list = serializer.serialize_seq(None)?;
        for number in 0..self.0 {
            list.serialize_element(&number)?;
        }
        list.end()
    }
}

#[test]
fn a_length_that_was_not_known_is_put_in_afterwards() {
    for length in [0, 1, 15, 16, 200] {
        let numbers: Vec<u8> = (0..length).collect();
        assert_eq!(written(&Unknown(length)), written(&numbers));
    }
}

struct Asked(&'static str, &'static [u8]);

impl Serialize for Asked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Inner(&'static [u8]);
        impl Serialize for Inner {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str("for people")
                } else {
                    serializer.serialize_bytes(self.0)
                }
            }
        }
        serializer.serialize_newtype_struct(self.0, &Inner(self.1))
    }
}

#[derive(Serialize)]
struct Fields {
    raw: Asked,
    json_only: Asked,
    binary: Asked,
    other: Asked,
}

#[test]
fn the_three_names_mean_what_they_say_and_nothing_to_json() {
    let fields = Fields {
        raw: Asked(RAW, b"\x92\x01\x02"),
        json_only: Asked(JSON_ONLY, b""),
        binary: Asked(BINARY, b"ab"),
        other: Asked("Other", b""),
    };
    assert_eq!(
        written(&fields),
        b"\x83\xa3raw\x92\x01\x02\xa6binary\xc4\x02ab\xa5other\xaafor people"
    );
    let people = json!("for people");
    assert_eq!(
        serde_json::to_value(&fields).unwrap(),
        json!({"raw": people, "json_only": people, "binary": people, "other": people})
    );
}

#[derive(Serialize)]
enum Kind {
    Unit,
    Newtype(u8),
    Tuple(u8, char),
    Struct { a: Option<f32> },
}

#[test]
fn enums_are_as_in_json() {
    let kinds = [
        Kind::Unit,
        Kind::Newtype(1),
        Kind::Tuple(2, 'ü'),
        Kind::Struct { a: Some(0.5) },
        Kind::Struct { a: None },
    ];
    let value = serde_json::to_value(&kinds).unwrap();
    assert_eq!(read(&written(&kinds)), value);
}

proptest! {
    #[test]
    fn any_value_is_as_in_json(text in ".{0,40}", number: i64, unsigned: u64, float in -1e9..1e9f64) {
        let value = json!({"a": [text, number, {"b": unsigned}], "c": float, "d": null, "e": true});
        prop_assert_eq!(read(&written(&value)), value);
    }
}
