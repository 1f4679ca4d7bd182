use proptest::prelude::*;

use super::*;
use crate::protocol::engineio::Revision::{V3, V4};
use crate::protocol::socketio::decode::Decoder;

/// A message is sent, and read by the other side's rules.
fn there_and_back(codec: Codec, revision: Revision, packet: &Packet<'_>) -> Packet<'static> {
    let message = encode(codec, revision, packet).unwrap();
    let mut decoder = Decoder::new(revision, 1 << 20);
    let mut read = if message.is_text() {
        {
            let text = std::str::from_utf8(message.body()).unwrap();
            let text = text.strip_prefix('4').expect("a message of Engine.IO");
            decoder.text(text).unwrap().map(owned)
        }
    } else {
        decoder.bytes(message.body()).unwrap().map(owned)
    };
    for bytes in message.attachments() {
        assert!(read.is_none());
        read = decoder.bytes(bytes).unwrap().map(owned);
    }
    read.expect("a whole packet")
}

fn owned(packet: Packet<'_>) -> Packet<'static> {
    match packet {
        Packet::Connect { nsp, data } => Packet::Connect {
            nsp: nsp.into_owned().into(),
            data: data.map(Value::into_owned),
        },
        Packet::Disconnect { nsp } => Packet::Disconnect {
            nsp: nsp.into_owned().into(),
        },
        Packet::Event { nsp, id, args } => Packet::Event {
            nsp: nsp.into_owned().into(),
            id,
            args: args.into_owned(),
        },
        Packet::Ack { nsp, id, args } => Packet::Ack {
            nsp: nsp.into_owned().into(),
            id,
            args: args.into_owned(),
        },
        Packet::ConnectError { nsp, data } => Packet::ConnectError {
            nsp: nsp.into_owned().into(),
            data: data.into_owned(),
        },
    }
}

fn wire(revision: Revision, packet: &Packet<'_>) -> (String, Vec<Vec<u8>>) {
    let message = encode(Codec::Json, revision, packet).unwrap();
    let text = String::from_utf8(message.body().to_vec()).unwrap();
    let attachments = message.attachments().iter().map(|it| it.to_vec());
    (text, attachments.collect())
}

#[test]
fn the_documents_examples() {
    let nsp = std::borrow::Cow::Borrowed("/admin");
    let packed = Value::packed(b"\x93\xa3baz\xc4\x02\x01\x02\xc4\x02\x03\x04");
    for (packet, text, attachments) in [
        (
            Packet::Connect {
                nsp: nsp.clone(),
                data: None,
            },
            "40/admin,",
            vec![],
        ),
        (Packet::Disconnect { nsp: "/".into() }, "41", vec![]),
        (Packet::Disconnect { nsp: nsp.clone() }, "41/admin,", vec![]),
        (
            Packet::Event {
                nsp: nsp.clone(),
                id: Some(456),
                args: Value::json(r#"["project:delete",123]"#),
            },
            r#"42/admin,456["project:delete",123]"#,
            vec![],
        ),
        (
            Packet::Ack {
                nsp: nsp.clone(),
                id: 456,
                args: Value::json("[]"),
            },
            "43/admin,456[]",
            vec![],
        ),
        (
            Packet::ConnectError {
                nsp: nsp.clone(),
                data: Value::json(r#""Not authorized""#),
            },
            r#"44/admin,"Not authorized""#,
            vec![],
        ),
        (
            Packet::Event {
                nsp: nsp.clone(),
                id: None,
                args: packed.clone(),
            },
            r#"452-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            vec![vec![1, 2], vec![3, 4]],
        ),
        (
            Packet::Ack {
                nsp: "/".into(),
                id: 15,
                args: packed,
            },
            r#"462-15["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            vec![vec![1, 2], vec![3, 4]],
        ),
    ] {
        for revision in [V3, V4] {
            assert_eq!(wire(revision, &packet), (text.into(), attachments.clone()));
        }
    }
}

/// JSON of any shape, whose strings and keys are not those that stand for bytes.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value as Json;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e9..1e9).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-z€]{0,6}", inner, 0..4)
                .prop_map(|it| Json::Object(it.into_iter().collect())),
        ]
    })
}

/// MessagePack with bytes in it.
fn packed() -> impl Strategy<Value = rmpv::Value> {
    let leaf = prop_oneof![
        Just(rmpv::Value::Nil),
        any::<i64>().prop_map(rmpv::Value::from),
        (-1e9..1e9f64).prop_map(rmpv::Value::from),
        any::<String>().prop_map(rmpv::Value::from),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(rmpv::Value::Binary),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(rmpv::Value::Array),
            prop::collection::btree_map("[a-z€]{0,6}", inner, 0..3).prop_map(|it| {
                rmpv::Value::Map(it.into_iter().map(|(key, it)| (key.into(), it)).collect())
            }),
        ]
    })
}

fn bytes_of(value: &rmpv::Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

fn nsp() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-zé?=&]{1,8}"]
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000u64, 0..=crate::protocol::socketio::packet::ID_MAX]
}

/// Packets whose data are the values that `args` and `object` make.
fn packets(
    args: impl Strategy<Value = Value<'static>> + Clone,
    object: impl Strategy<Value = Value<'static>> + Clone,
) -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        (nsp(), prop::option::of(object.clone())).prop_map(|(nsp, data)| Packet::Connect {
            nsp: nsp.into(),
            data
        }),
        nsp().prop_map(|nsp| Packet::Disconnect { nsp: nsp.into() }),
        (nsp(), prop::option::of(id()), args.clone()).prop_map(|(nsp, id, args)| {
            Packet::Event {
                nsp: nsp.into(),
                id,
                args,
            }
        }),
        (nsp(), id(), args).prop_map(|(nsp, id, args)| Packet::Ack {
            nsp: nsp.into(),
            id,
            args
        }),
        (nsp(), object).prop_map(|(nsp, data)| Packet::ConnectError {
            nsp: nsp.into(),
            data
        }),
    ]
}

fn json_packets() -> impl Strategy<Value = Packet<'static>> {
    let args = prop::collection::vec(json(), 0..4).prop_map(|args| {
        let mut all = vec![serde_json::Value::from("a€")];
        all.extend(args);
        Value::Json(serde_json::to_string(&all).unwrap().into())
    });
    let object =
        json().prop_map(|it| Value::Json(serde_json::json!({ "k": it }).to_string().into()));
    packets(args.boxed(), object.boxed())
}

fn packed_packets() -> impl Strategy<Value = Packet<'static>> {
    let args = prop::collection::vec(packed(), 0..4).prop_map(|args| {
        let mut all = vec![rmpv::Value::from("a€")];
        all.extend(args);
        Value::Packed(bytes_of(&rmpv::Value::Array(all)).into())
    });
    let object = packed().prop_map(|it| {
        let map = rmpv::Value::Map(vec![("k".into(), it)]);
        Value::Packed(bytes_of(&map).into())
    });
    packets(args.boxed(), object.boxed())
}

proptest! {
    #[test]
    fn json_is_read_as_it_was_written(packet in json_packets()) {
        for revision in [V3, V4] {
            prop_assert_eq!(there_and_back(Codec::Json, revision, &packet), packet.clone());
        }
    }

    #[test]
    fn messagepack_is_read_as_it_was_written(packet in packed_packets()) {
        prop_assert_eq!(there_and_back(Codec::MessagePack, V4, &packet), packet);
    }

    /// Whichever form the one side has, the other gets the same value.
    #[test]
    fn a_value_is_the_same_in_both_forms(packet in packed_packets(), json in json_packets()) {
        let args = |packet: &Packet<'_>| match packet {
            Packet::Event { args, .. } | Packet::Ack { args, .. } => {
                Some(args.to_packed().unwrap().into_owned())
            }
            _ => None,
        };
        for revision in [V3, V4] {
            let read = there_and_back(Codec::Json, revision, &packet);
            prop_assert_eq!(args(&read), args(&packet));
        }
        let read = there_and_back(Codec::MessagePack, V4, &json);
        prop_assert_eq!(args(&read), args(&json));
        prop_assert_eq!(read.nsp(), json.nsp());
    }
}
