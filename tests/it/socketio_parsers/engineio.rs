//! Engine.IO: packets and payloads.

use hubbub::protocol::engineio::payload::{Body, Form, Packets, Payload};
use hubbub::protocol::engineio::{Packet, PacketError, Revision};
use serde_json::{Value, json};

use super::judge::{ask, bin, bytes};

/// A packet as the judge has it.
fn plain(packet: &Packet<'_>) -> Value {
    let (kind, data) = match packet {
        Packet::Open(data) => ("open", Some(data)),
        Packet::Close => ("close", None),
        Packet::Ping(data) => ("ping", Some(data)),
        Packet::Pong(data) => ("pong", Some(data)),
        Packet::Text(data) => ("message", Some(data)),
        Packet::Upgrade => ("upgrade", None),
        Packet::Noop => ("noop", None),
        Packet::Binary(bytes) => return json!({ "type": "message", "data": bin(bytes) }),
    };
    match data {
        Some(data) if !data.is_empty() => json!({ "type": kind, "data": data }),
        _ => json!({ "type": kind }),
    }
}

fn packets() -> Vec<Packet<'static>> {
    let texts = [
        "",
        "hello",
        "€",
        "\u{1f600}x",
        "a:b",
        "12:4x",
        "\u{0}\u{ff}\u{100}",
        "\"\\\n",
    ];
    let mut all = vec![
        Packet::Open("{}".into()),
        Packet::Close,
        Packet::Ping("".into()),
        Packet::Ping("probe".into()),
        Packet::Pong("probe".into()),
        Packet::Upgrade,
        Packet::Noop,
    ];
    all.extend(texts.map(|it| Packet::Text(it.into())));
    let binaries = [
        vec![],
        vec![0],
        vec![255, 0],
        vec![1, 2, 3],
        (0..=255).collect(),
    ];
    all.extend(binaries.map(|it| Packet::Binary(it.into())));
    all
}

/// Payloads of one, two and many.
fn payloads() -> Vec<Vec<Packet<'static>>> {
    let packets = packets();
    let mut all: Vec<_> = packets.iter().map(|it| vec![it.clone()]).collect();
    all.extend(packets.windows(2).map(<[_]>::to_vec));
    all.extend(
        packets
            .windows(2)
            .map(|it| vec![it[1].clone(), it[0].clone()]),
    );
    all.push(packets);
    all
}

fn write(form: Form, packets: &[Packet<'_>]) -> Vec<u8> {
    let mut payload = Payload::new(form);
    for packet in packets {
        payload.packet(packet);
    }
    payload.finish().to_vec()
}

fn read(revision: Revision, payload: &Value) -> Result<Vec<Value>, PacketError> {
    let bytes = bytes(payload);
    let body = match &bytes {
        Some(bytes) => Body::Bytes(bytes),
        None => Body::Text(payload.as_str().unwrap()),
    };
    let packets = Packets::of(revision, body);
    packets.map(|it| it.map(|it| plain(&it))).collect()
}

const FORMS: [(Form, &str, Revision); 3] = [
    (Form::Records, "eio4", Revision::V4),
    (Form::Counted, "eio3", Revision::V3),
    (Form::Framed, "eio3", Revision::V3),
];

#[test]
fn payloads_go_both_ways() {
    for (form, parser, revision) in FORMS {
        let payloads = payloads();
        let plains: Vec<Vec<Value>> = payloads
            .iter()
            .map(|it| it.iter().map(plain).collect())
            .collect();
        let ours = payloads.iter().map(|packets| {
            let payload = write(form, packets);
            let payload = match form {
                Form::Framed => bin(&payload),
                _ => json!(String::from_utf8(payload).unwrap()),
            };
            json!({ "do": format!("{parser}.decode"), "payload": payload })
        });
        let theirs = plains.iter().map(|packets| {
            let bytes = form == Form::Framed;
            json!({ "do": format!("{parser}.encode"), "packets": packets, "bytes": bytes })
        });
        let questions: Vec<_> = ours.chain(theirs).collect();
        let answers = ask(&questions);
        let (read_by_them, written_by_them) = answers.split_at(payloads.len());
        for (packets, read_by_them) in plains.iter().zip(read_by_them) {
            assert_eq!(read_by_them["packets"], json!(packets), "{form:?}");
        }
        for (packets, written) in plains.iter().zip(written_by_them) {
            let read = read(revision, &written["payload"]);
            assert_eq!(read.as_ref(), Ok(packets), "{form:?} {written}");
        }
    }
}

#[test]
fn what_they_refuse_we_refuse() {
    let of_4 = [
        "",
        "abc",
        "7",
        "4a\u{1e}",
        "\u{1e}",
        "x\u{1e}4a",
        "4a\u{1e}\u{1e}4b",
        "-1",
        " 4",
    ];
    let of_3 = [
        "",
        "4hello",
        ":4",
        "5:4hello6",
        "7:4hello",
        "6:4hello6:4",
        "x:4",
        "1:x",
        "6:4hello7",
        "2:4\u{1f600}",
        "1:9",
    ];
    let questions: Vec<_> = of_4
        .map(|it| json!({ "do": "eio4.decode", "payload": it }))
        .into_iter()
        .chain(of_3.map(|it| json!({ "do": "eio3.decode", "payload": it })))
        .collect();
    for (question, answer) in questions.iter().zip(ask(&questions)) {
        let revision = match question["do"].as_str() {
            Some("eio4.decode") => Revision::V4,
            _ => Revision::V3,
        };
        let ours = read(revision, &question["payload"]);
        // Half of a pair is a character to them, which then is no UTF-8.
        if question["payload"] != "2:4\u{1f600}" {
            assert!(answer["error"].is_string(), "{question} {answer}");
        }
        assert!(ours.is_err(), "{question}");
    }
}

#[test]
fn messages_of_websockets_go_both_ways() {
    for (parser, revision) in [("eio4", Revision::V4), ("eio3", Revision::V3)] {
        let packets = packets();
        let questions: Vec<_> = packets
            .iter()
            .map(|packet| {
                let mut out = Vec::new();
                packet.append(revision, &mut out);
                let message = if packet.is_binary() {
                    bin(&out)
                } else {
                    json!(String::from_utf8(out).unwrap())
                };
                json!({ "do": format!("{parser}.packet"), "message": message })
            })
            .collect();
        for (packet, answer) in packets.iter().zip(ask(&questions)) {
            assert_eq!(answer["packets"], json!([plain(packet)]), "{parser}");
        }
    }
}
