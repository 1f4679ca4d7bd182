use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn of_json(text: &str) -> Result<Data, DataError> {
    Data::from_json(RawValue::from_string(text.to_owned()).unwrap())
}

fn of_bytes(bytes: &[u8]) -> Result<Data, DataError> {
    Data::from_message_pack(bytes)
}

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
        r#"{"$bin":"","x":1}"#,
        r#"{"$bin":""}"#,
        r#"{"$$bin":"no base64"}"#,
        r#"{"$$$bin":[{"$$bin":{}}]}"#,
        r#"{"$bin":"AAECAw=="}"#,
        r#"{"$bins":1}"#,
        r#"{"bin":1}"#,
    ] {
        let data = of_json(text).unwrap();
        let back = of_bytes(data.message_pack()).unwrap();
        assert_eq!(back, data);
        // These are written as we write them.
        assert_eq!(back.json(), text);
    }
}

#[test]
fn json_goes_to_json_clients_to_the_letter() {
    let text = "{ \"x\":\n [1, 2.50, 1e3] }";
    assert_eq!(of_json(text).unwrap().json(), text);
}

#[test]
fn bytes_have_one_form_in_json_and_what_looks_like_it_another() {
    for (bytes, text) in [
        (&b"\xc4\x03abc"[..], r#"{"$bin":"YWJj"}"#),
        (b"\x81\xa4$bin\xc4\x00", r#"{"$$bin":{"$bin":""}}"#),
        (b"\x81\xa4$bin\xa4YWJj", r#"{"$$bin":"YWJj"}"#),
        (b"\x81\xa5$$bin\x01", r#"{"$$$bin":1}"#),
        (
            b"\x82\xa4$bin\x01\xa1x\xc4\x01a",
            r#"{"$bin":1,"x":{"$bin":"YQ=="}}"#,
        ),
    ] {
        assert_eq!(of_bytes(bytes).unwrap().json(), text);
        assert_eq!(of_json(text).unwrap().message_pack(), bytes, "{text}");
    }
    for text in [
        r#"{"$bin":1}"#,
        r#"{"$bin":"YQ"}"#,
        r#"{"$bin":"YR=="}"#,
        r#"{"$bin":"Y Q="}"#,
        r#"{"$bin":"-_-_"}"#,
        r#"[{"$bin":{}}]"#,
    ] {
        let error = of_json(text).unwrap_err().to_string();
        assert!(error.starts_with("a `$bin` that is no base64"), "{error}");
    }
}

#[test]
fn what_is_refused() {
    for (bytes, error) in [
        (&b""[..], Malformed::Truncated),
        (b"\x91", Malformed::Truncated),
        (b"\x01\x01", Malformed::Trailing),
        (b"\xc1", Malformed::Reserved),
        (b"\x91\xd4\x01\x00", Malformed::Extension),
        (b"\x81\x01\x02", Malformed::Key),
        (b"\x81\xc4\x01a\x02", Malformed::Key),
        (b"\x82\xa1a\x01\xa1a\x02", Malformed::RepeatedKey),
        (b"\x82\xa1a\x01\xd9\x01a\x02", Malformed::RepeatedKey),
        (b"\xa1\xff", Malformed::Utf8),
        (b"\xa3\xed\xa0\x80", Malformed::Utf8),
        (b"\xca\x7f\xc0\x00\x00", Malformed::NotFinite),
        (b"\xcb\x7f\xf0\0\0\0\0\0\0", Malformed::NotFinite),
    ] {
        match of_bytes(bytes) {
            Err(DataError::MessagePack(found)) => assert_eq!(found, error, "{bytes:x?}"),
            other => panic!("{bytes:x?}: {other:?}"),
        }
    }
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"[{"a":1,"b":2,"\u0061":3}]"#,
        r#"["\ud800"]"#,
        r#"{"\udfff":1}"#,
        "[1e999]",
    ] {
        assert!(of_json(text).is_err(), "{text}");
    }
}

/// What is let in in one form is let in in the other.
#[test]
fn both_forms_are_nested_equally_deep_at_most() {
    for (inner, json, levels) in [
        (&b"\xc0"[..], "null", 0),
        (b"\xc4\x01a", r#"{"$bin":"YQ=="}"#, 1),
        (b"\x81\xa4$bin\xc0", r#"{"$$bin":null}"#, 1),
    ] {
        for depth in [126, 127, 128, 100_000] {
            let outer = depth - levels;
            let bytes = [&vec![0x91; outer], inner].concat();
            let text = format!("{}{json}{}", "[".repeat(outer), "]".repeat(outer));
            let (packed, read) = (of_bytes(&bytes), of_json(&text));
            assert_eq!(packed.is_ok(), depth <= DEPTH_MAX, "{depth}");
            assert_eq!(read.is_ok(), depth <= DEPTH_MAX, "{depth}");
            if let Ok(data) = packed {
                assert_eq!(data.json(), text);
            }
        }
    }
}

use super::super::msgpack::read::DEPTH_MAX;

#[derive(Serialize)]
struct Push<'a> {
    push: &'static str,
    data: &'a Data,
}

#[test]
fn each_serializer_gets_its_form_as_it_is() {
    let data = of_json(r#"{ "x":1 }"#).unwrap();
    let push = Push {
        push: "event",
        data: &data,
    };
    assert_eq!(
        serde_json::to_string(&push).unwrap(),
        r#"{"push":"event","data":{ "x":1 }}"#
    );
    let mut out = Vec::new();
    super::super::msgpack::write::append(&mut out, &push).unwrap();
    assert_eq!(out, b"\x82\xa4push\xa5event\xa4data\x81\xa1x\x01");
}

/// Any value, as JSON shows it.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof!["[a-c]", Just("$bin".to_owned()), Just("$$bin".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| {
            use base64::Engine as _;
            json!({"$bin": base64::engine::general_purpose::STANDARD.encode(bytes)})
        }),
    ];
    leaf.prop_recursive(4, 64, 20, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_comes_back(value in any_json()) {
        // A map that has only the key `$bin` and is no bytes is no value.
        if let Ok(data) = of_json(&value.to_string()) {
            let back = of_bytes(data.message_pack()).unwrap();
            let again: Value = serde_json::from_str(back.json()).unwrap();
            prop_assert_eq!(again, value);
        }
    }

    #[test]
    fn any_bytes_are_a_value_in_both_forms_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(data) = of_bytes(&bytes) {
            let back = of_json(data.json()).unwrap();
            prop_assert_eq!(back.json(), data.json());
            // Bytes may say the same in several ways; ours say it in one.
            let ours = of_bytes(back.message_pack()).unwrap();
            prop_assert_eq!(ours.json(), data.json());
        }
    }

    #[test]
    fn json_is_let_in_as_by_a_parse_that_keeps(text in "[\\[\\]{}\":,0-9eu\\\\dD]{0,24}") {
        let Ok(raw) = RawValue::from_string(text.clone()) else {
            return Ok(());
        };
        let kept = serde_json::from_str::<Value>(&text);
        let data = Data::from_json(raw);
        let is_repeated = matches!(&data, Err(error) if error.to_string().contains("twice"));
        prop_assert_eq!(data.is_ok(), kept.is_ok() && !is_repeated);
    }
}
