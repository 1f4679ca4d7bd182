//! Socket.IO: packets in JSON of both revisions, and in MessagePack.

use hubbub::protocol::engineio::Revision;
use hubbub::protocol::native::Codec;
use hubbub::protocol::socketio::decode::{DecodeError, Decoder};
use hubbub::protocol::socketio::encode::encode;
use hubbub::protocol::socketio::{Packet, Value as Carried};
use serde_json::{Value, json};

use super::judge::{ask, bin, bytes, plain as plain_value};

const PARSERS: [(&str, Codec, Revision); 3] = [
    ("sio4", Codec::Json, Revision::V3),
    ("sio5", Codec::Json, Revision::V4),
    ("msgpack", Codec::MessagePack, Revision::V4),
];

fn plain(packet: &Packet<'_>) -> Value {
    let mut fields = json!({ "type": packet.kind().number(), "nsp": packet.nsp() });
    let (id, data) = match packet {
        Packet::Connect { data, .. } => (None, data.as_ref()),
        Packet::Disconnect { .. } => (None, None),
        Packet::Event { id, args, .. } => (*id, Some(args)),
        Packet::Ack { id, args, .. } => (Some(*id), Some(args)),
        Packet::ConnectError { data, .. } => (None, Some(data)),
    };
    if let Some(id) = id {
        fields["id"] = json!(id);
    }
    if let Some(data) = data {
        fields["data"] = plain_value(data);
    }
    fields
}

/// Reads the messages of one packet or several.
fn read(revision: Revision, messages: &[Value]) -> Result<Vec<Value>, DecodeError> {
    let mut decoder = Decoder::new(revision, 1 << 20);
    let mut packets = Vec::new();
    for message in messages {
        let bytes = bytes(message);
        let packet = match (&bytes, message.as_str()) {
            (Some(bytes), _) => decoder.bytes(bytes)?,
            (None, Some(text)) => decoder.text(text)?,
            (None, None) => panic!("{message}"),
        };
        packets.extend(packet.map(|it| plain(&it)));
    }
    Ok(packets)
}

/// What an official client or server may send, as a parser is given it.
fn packets(is_v3: bool) -> Vec<Value> {
    let lists = [
        json!(["a"]),
        json!([1]),
        json!([
            "a",
            null,
            true,
            1,
            -1,
            2.5,
            9_007_199_254_740_991_u64,
            "€\u{1f600}\u{2028}\"\\"
        ]),
        json!(["a", { "b": [{ "c": {} }, []], "": 0, "constructor": 1 }]),
        json!(["publish", { "room": "general", "body": "x".repeat(70_000), "client_id": "c" }]),
        json!(["a", bin(&[1, 2, 3])]),
        json!(["a", { "b": [bin(&[]), { "c": bin(&[255, 0]) }], "d": bin(&[9]) }]),
        json!(["a", vec![bin(&[7]); 10]]),
    ];
    let mut all = Vec::new();
    for nsp in ["/", "/admin"] {
        for list in &lists {
            all.push(json!({ "type": 2, "nsp": nsp, "data": list }));
            all.push(json!({ "type": 2, "nsp": nsp, "data": list, "id": 0 }));
            all.push(json!({ "type": 2, "nsp": nsp, "data": list, "id": 456 }));
            all.push(json!({ "type": 3, "nsp": nsp, "data": list, "id": 13 }));
        }
        all.push(json!({ "type": 0, "nsp": nsp }));
        all.push(json!({ "type": 1, "nsp": nsp }));
        all.push(json!({ "type": 3, "nsp": nsp, "data": [], "id": 1 }));
        all.push(json!({ "type": 4, "nsp": nsp, "data": "Not authorized" }));
        if !is_v3 {
            all.push(json!({ "type": 0, "nsp": nsp, "data": { "token": "123", "x": { "y": 1 } } }));
            all.push(json!({ "type": 4, "nsp": nsp, "data": { "message": "Not authorized" } }));
        }
    }
    if is_v3 {
        all.push(json!({ "type": 0, "nsp": "/admin?token=1234&uid=abcd" }));
    }
    all
}

/// Ours, from the judge's.
fn packet(plain: &Value) -> Packet<'static> {
    let nsp = plain["nsp"].as_str().unwrap().to_owned().into();
    let id = plain["id"].as_u64();
    // Bytes are `$bin` to Hubbub's own JSON, too.
    let data = plain.get("data").map(|it| {
        let packed = Carried::Json(it.to_string().into());
        Carried::Packed(packed.to_packed().unwrap().into_owned().into())
    });
    match (plain["type"].as_u64(), data) {
        (Some(0), data) => Packet::Connect { nsp, data },
        (Some(1), None) => Packet::Disconnect { nsp },
        (Some(2), Some(args)) => Packet::Event { nsp, id, args },
        (Some(3), Some(args)) => Packet::Ack {
            nsp,
            id: id.unwrap(),
            args,
        },
        (Some(4), Some(data)) => Packet::ConnectError { nsp, data },
        _ => panic!("{plain}"),
    }
}

/// Whether two values are the same to JavaScript, where 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn packets_go_both_ways() {
    for (parser, codec, revision) in PARSERS {
        let packets = packets(revision == Revision::V3);
        let ours = packets.iter().map(|it| {
            let message = encode(codec, revision, &packet(it)).unwrap();
            let mut messages = vec![if message.is_text() {
                json!(std::str::from_utf8(&message.body()[1..]).unwrap())
            } else {
                bin(message.body())
            }];
            messages.extend(message.attachments().iter().map(|it| bin(it)));
            json!({ "do": format!("{parser}.decode"), "messages": messages })
        });
        let theirs = packets.iter().map(|it| {
            let mut packet = it.clone();
            // The older parser is told that there are bytes.
            if parser == "sio4" && it.to_string().contains("$bin") {
                let kind = it["type"].as_u64().unwrap();
                packet["type"] = json!(kind + 3);
            }
            json!({ "do": format!("{parser}.encode"), "packet": packet })
        });
        let questions: Vec<_> = ours.chain(theirs).collect();
        let answers = ask(&questions);
        let (read_by_them, written_by_them) = answers.split_at(packets.len());
        for (packet, answer) in packets.iter().zip(read_by_them) {
            let read = &answer["packets"][0];
            assert!(same(read, packet), "{parser} read {answer} of {packet}");
        }
        for (packet, answer) in packets.iter().zip(written_by_them) {
            let messages = answer["messages"].as_array().unwrap();
            let read = read(revision, messages).unwrap_or_else(|error| {
                panic!("{parser} wrote {answer}, which we refuse: {error}")
            });
            assert_eq!(read.len(), 1);
            assert!(same(&read[0], packet), "{parser}: {} of {packet}", read[0]);
        }
    }
}

/// Messages that are no packets, or not to everybody.
fn doubtful() -> Vec<Vec<Value>> {
    let texts = [
        "",
        "abc",
        "7",
        "9[]",
        "2{}",
        "2[]",
        "2null",
        "2[null]",
        "2[{}]",
        "2[\"a\"",
        "2[\"a\"]x",
        "2abc[\"a\"]",
        "2[\"connect\"]",
        "2[\"disconnect\"]",
        "2[\"newListener\"]",
        "2[\"a\"]",
        "2[1]",
        "0",
        "0{}",
        "0[]",
        "0null",
        "0\"a\"",
        "0{",
        "0/admin",
        "0/admin,",
        "0/admin,{}",
        "1",
        "1{}",
        "1/admin",
        "3[]",
        "31[]",
        "31{}",
        "31",
        "4",
        "4[1]",
        "4\"a\"",
        "4{}",
        "4null",
        "5[\"a\"]",
        "5-[\"a\"]",
        "51",
        "51-",
        "511-[\"a\"]",
        "5999-[\"a\"]",
        "5x-[\"a\"]",
        "5-1-[\"a\"]",
        "51.5-[\"a\"]",
        "50-[\"a\"]",
        "60-1[]",
        "2\u{20ac}",
        "2[\"\u{20ac}\"]",
        "2/a?b=c,[\"a\"]",
        "21[\"a\"]",
        "201[\"a\"]",
        "2 1[\"a\"]",
    ];
    let placeholders = [
        r#"51-["a",{"_placeholder":true,"num":0}]"#,
        r#"51-["a",{"_placeholder":true,"num":1}]"#,
        r#"51-["a",{"_placeholder":true,"num":-1}]"#,
        r#"51-["a",{"_placeholder":true,"num":"0"}]"#,
        r#"51-["a",{"_placeholder":true}]"#,
        r#"51-["a",{"_placeholder":1,"num":0},{"_placeholder":true,"num":0}]"#,
        r#"51-["a",{"b":{"c":[{"num":0,"_placeholder":true}]}}]"#,
        r#"61-1[{"_placeholder":true,"num":0}]"#,
    ];
    let mut all: Vec<Vec<Value>> = texts.iter().map(|it| vec![json!(it)]).collect();
    all.extend(placeholders.map(|it| vec![json!(it), bin(b"x")]));
    all.push(vec![json!(placeholders[0]), json!("2[\"a\"]")]);
    all.push(vec![json!("2[\"a\"]"), bin(b"x")]);
    all
}

/// What we refuse and a parser of the clients takes, each for a reason.
fn is_stricter(parser: &str, first: &str) -> bool {
    // Nothing is a CONNECT to JavaScript, whose number it is 0. An event, an acknowledgement or an
    // error without its data: the documents demand them.
    ["", "2", "31", "4", "51-"].contains(&first)
        // An acknowledgement of nothing; an id where none is known.
        || first == "3[]"
        // A blank is a digit to JavaScript.
        || first == "2 1[\"a\"]"
        // The newer rule for names holds for older clients, too, as in the current server.
        || (parser == "sio4" && ["2[\"connect\"]", "2[\"disconnect\"]", "2[\"newListener\"]"].contains(&first))
        // A client has nothing to show but an object.
        || (parser == "sio4" && ["0[]", "0null"].contains(&first))
}

#[test]
fn what_they_refuse_we_refuse() {
    for (parser, revision) in [("sio4", Revision::V3), ("sio5", Revision::V4)] {
        let doubtful = doubtful();
        let questions: Vec<_> = doubtful
            .iter()
            .map(|it| json!({ "do": format!("{parser}.decode"), "messages": it }))
            .collect();
        let mut differences = Vec::new();
        for (messages, answer) in doubtful.iter().zip(ask(&questions)) {
            let ours = read(revision, messages);
            let first = messages[0].as_str().unwrap();
            let is_agreed = match (&ours, answer.get("packets")) {
                (Err(_), Some(_)) => is_stricter(parser, first),
                (Err(_), None) => true,
                (Ok(_), None) => false,
                (Ok(ours), Some(theirs)) => same(&json!(ours), theirs),
            };
            if !is_agreed {
                differences.push(format!("{messages:?}: {answer}, ours: {ours:?}"));
            }
        }
        assert!(differences.is_empty(), "{parser}: {differences:#?}");
    }
}

#[test]
fn messagepack_that_they_refuse_we_refuse() {
    let maps = [
        json!({ "type": 2, "nsp": "/", "data": ["a"] }),
        json!({ "type": 2, "nsp": "/", "data": ["a"], "options": { "compress": true } }),
        json!({ "type": 5, "nsp": "/", "data": ["a"] }),
        json!({ "type": "2", "nsp": "/", "data": ["a"] }),
        json!({ "type": 2, "data": ["a"] }),
        json!({ "type": 2, "nsp": 1, "data": ["a"] }),
        json!({ "type": 2, "nsp": "/", "data": {} }),
        json!({ "type": 2, "nsp": "/" }),
        json!({ "type": 2, "nsp": "/", "data": ["a"], "id": "1" }),
        json!({ "type": 0, "nsp": "/", "data": [] }),
        json!({ "type": 0, "nsp": "/", "data": {} }),
        json!({ "type": 1, "nsp": "/", "data": {} }),
        json!({ "type": 4, "nsp": "/", "data": [] }),
        json!({ "type": 3, "nsp": "/", "data": [], "id": 1 }),
    ];
    let messages: Vec<_> = maps.iter().map(|it| bin(&rmp_of(it))).collect();
    let questions: Vec<_> = messages
        .iter()
        .map(|it| json!({ "do": "msgpack.decode", "messages": [it] }))
        .collect();
    for ((map, message), answer) in maps.iter().zip(&messages).zip(ask(&questions)) {
        let ours = read(Revision::V4, std::slice::from_ref(message));
        assert_eq!(
            ours.is_err(),
            answer["error"].is_string(),
            "{map}: {ours:?} {answer}"
        );
    }
}

fn rmp_of(value: &Value) -> Vec<u8> {
    let carried = Carried::Json(value.to_string().into());
    carried.to_packed().unwrap().into_owned()
}
