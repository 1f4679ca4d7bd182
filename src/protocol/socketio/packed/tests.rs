use rmpv::Value as Rmpv;
use serde_json::json;

use super::*;

fn map(fields: &[(&str, Rmpv)]) -> Vec<u8> {
    let fields = fields
        .iter()
        .map(|(key, value)| ((*key).into(), value.clone()));
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, &Rmpv::Map(fields.collect())).unwrap();
    out
}

fn list(items: &[Rmpv]) -> Rmpv {
    Rmpv::Array(items.to_vec())
}

fn undefined() -> Rmpv {
    Rmpv::Ext(0, vec![0])
}

fn read(bytes: &[u8]) -> Result<Packet<'static>, DecodeError> {
    decode(bytes).map(|packet| match packet {
        Packet::Event { nsp, id, args } => Packet::Event {
            nsp: nsp.into_owned().into(),
            id,
            args: args.into_owned(),
        },
        other => panic!("{other:?}"),
    })
}

#[test]
fn an_event_is_read_with_what_its_library_adds() {
    let wire = map(&[
        ("type", 2.into()),
        ("data", list(&["publish".into(), Rmpv::Binary(vec![1, 2])])),
        ("options", Rmpv::Map(vec![("compress".into(), true.into())])),
        ("id", 7.into()),
        ("nsp", "/".into()),
    ]);
    assert_eq!(
        read(&wire),
        Ok(Packet::Event {
            nsp: "/".into(),
            id: Some(7),
            args: Value::Packed(b"\x92\xa7publish\xc4\x02\x01\x02".to_vec().into()),
        })
    );
}

/// `undefined`, times, and bytes that are no `Buffer`, as notepack.io writes them.
#[test]
fn values_that_messagepack_has_not_become_what_json_makes_of_them() {
    let mut wire = map(&[("type", 2.into()), ("nsp", "/".into()), ("id", undefined())]);
    wire[0] += 1;
    wire.extend_from_slice(b"\xa4data\x96\xa1a\x81\xa5since\xd4\x00\x00");
    // 2026-01-02T03:04:05.678Z
    wire.extend_from_slice(b"\xd7\x00");
    wire.extend_from_slice(&1_767_323_045_678_i64.to_be_bytes());
    wire.extend_from_slice(b"\xc7\x03\x00\x01\x02\x03\xc8\x00\x01\x00\x09\xc9\x00\x00\x00\x00\x00");
    let expected = b"\x96\xa1a\x81\xa5since\xc0\xb82026-01-02T03:04:05.678Z\
        \xc4\x03\x01\x02\x03\xc4\x01\x09\xc4\x00";
    assert_eq!(
        read(&wire),
        Ok(Packet::Event {
            nsp: "/".into(),
            id: None,
            args: Value::Packed(expected.to_vec().into()),
        })
    );
    for other in [
        &b"\xd4\x01\x00"[..],
        b"\xd5\x00\x00\x00",
        b"\xd7\xff\0\0\0\0\0\0\0\0",
        b"\xc7\x01\x05\x00",
    ] {
        let wire = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a", other].concat();
        assert_eq!(read(&wire), Err(Malformed::Extension.into()), "{other:x?}");
    }
}

#[test]
fn the_data_of_a_connect_may_be_undefined() {
    for data in [undefined(), Rmpv::Nil] {
        let wire = map(&[("type", 0.into()), ("data", data), ("nsp", "/admin".into())]);
        let nsp = "/admin".into();
        assert_eq!(decode(&wire), Ok(Packet::Connect { nsp, data: None }));
    }
}

#[test]
fn what_breaks_the_rules_is_refused() {
    use DecodeError::{Data, Id, Kind, Namespace, Reserved};
    for (packet, error) in [
        (json!({"nsp": "/", "data": ["a"]}), Kind),
        (json!({"type": "2", "nsp": "/"}), Kind),
        (json!({"type": 2.5, "nsp": "/"}), Kind),
        (json!({"type": -1, "nsp": "/"}), Kind),
        (json!({"type": 5, "nsp": "/", "data": ["a"]}), Kind),
        (json!({"type": 2, "data": ["a"]}), Namespace),
        (json!({"type": 2, "nsp": 1}), Namespace),
        (json!({"type": 2, "nsp": "x".repeat(2000)}), Namespace),
        (json!({"type": 2, "nsp": "/"}), Data),
        (json!({"type": 2, "nsp": "/", "data": []}), Data),
        (json!({"type": 2, "nsp": "/", "data": [null]}), Data),
        (json!({"type": 2, "nsp": "/", "data": "a"}), Data),
        (
            json!({"type": 2, "nsp": "/", "data": ["disconnect"]}),
            Reserved,
        ),
        (json!({"type": 3, "nsp": "/", "data": ["a"]}), Id),
        (json!({"type": 2, "nsp": "/", "data": ["a"], "id": "1"}), Id),
        (json!({"type": 2, "nsp": "/", "data": ["a"], "id": -1}), Id),
        (
            json!({"type": 2, "nsp": "/", "data": ["a"], "id": 1u64 << 53}),
            Id,
        ),
        (json!({"type": 0, "nsp": "/", "data": ["a"]}), Data),
        (json!({"type": 0, "nsp": "/", "id": 1}), Id),
        (json!({"type": 1, "nsp": "/", "data": ["a"]}), Data),
        (json!({"type": 4, "nsp": "/", "data": ["a"]}), Data),
    ] {
        let wire = rmp_serde::to_vec(&packet).unwrap();
        assert_eq!(decode(&wire), Err(error), "{packet}");
    }
    let twice = map(&[("type", 1.into()), ("type", 1.into()), ("nsp", "/".into())]);
    assert_eq!(decode(&twice), Err(Malformed::RepeatedKey.into()));
    assert_eq!(decode(b"\x90"), Err(DecodeError::Kind));
    assert_eq!(decode(b""), Err(Malformed::Truncated.into()));
    assert_eq!(decode(b"\x80\x00"), Err(Malformed::Trailing.into()));
    // Data are looked at whole: text is UTF-8, no key stands twice, nothing is too deep.
    let with = |data: &[u8]| [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat();
    for (data, error) in [
        (b"\x92\xa1a\xa1\xff".to_vec(), Malformed::Utf8),
        (
            b"\x92\xa1a\x82\xa1k\x01\xa1k\x01".to_vec(),
            Malformed::RepeatedKey,
        ),
        (
            [b"\x92\xa1a", &[0x91; 200][..], b"\xc0"].concat(),
            Malformed::TooDeep,
        ),
        (
            b"\x92\xa1a\xcb\x7f\xf0\0\0\0\0\0\0".to_vec(),
            Malformed::NotFinite,
        ),
    ] {
        assert_eq!(decode(&with(&data)), Err(error.into()), "{data:x?}");
    }
}
