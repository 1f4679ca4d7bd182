use uuid::Uuid;

use super::*;
use crate::protocol::body::Body;
use crate::protocol::data::Data;
use crate::protocol::engineio::Revision::{V3, V4};
use crate::protocol::engineio::payload::{Form, Payload};
use crate::protocol::event::{Epoch, Event, EventBody};
use crate::protocol::id::{EventId, RoomId, UserId};
use crate::protocol::reply::Joined;
use crate::protocol::socketio::decode::Decoder;
use crate::protocol::socketio::{Packet, Value};
use crate::protocol::websocket::encode::{binary, text as text_frame};

const JSON: Format = Format {
    codec: Codec::Json,
    revision: V4,
    has_cursors: true,
};
const PACKED: Format = Format {
    codec: Codec::MessagePack,
    ..JSON
};
const OLD: Format = Format {
    codec: Codec::Json,
    revision: V3,
    has_cursors: false,
};

fn event(body: Body) -> Event {
    Event {
        room_id: RoomId(Uuid::from_u128(1)),
        epoch: Epoch(7),
        seq: 41,
        id: EventId(Uuid::from_u128(3)),
        user_id: UserId(Uuid::from_u128(2)),
        created_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        body: EventBody::Message {
            msg_no: 30,
            body,
            client_id: "c".into(),
            thread: None,
            mentions: Box::default(),
            deleted: false,
        },
    }
}

fn custom(data: &Data) -> Push<'_> {
    Push::Event {
        room: RoomId(Uuid::from_u128(1)),
        seq: None,
        id: None,
        name: "n",
        data,
        user_id: UserId(Uuid::from_u128(2)),
        client_id: None,
        created_at: None,
    }
}

/// The arguments, as a client reads them that gets the message with this tail.
fn args(format: Format, message: &Message, tail: &[u8]) -> Vec<Value<'static>> {
    let whole = [message.body(), tail].concat();
    let mut decoder = Decoder::new(format.revision, 1 << 20);
    let mut packet = if message.is_text() {
        {
            let text = std::str::from_utf8(&whole).unwrap();
            decoder.text(text.strip_prefix('4').unwrap()).unwrap()
        }
    } else {
        decoder.bytes(&whole).unwrap()
    };
    for bytes in message.attachments() {
        packet = decoder.bytes(bytes).unwrap();
    }
    let Some(Packet::Event { args, .. } | Packet::Ack { args, .. }) = packet else {
        panic!("{packet:?}")
    };
    let items = args.items().unwrap();
    items.into_iter().map(Value::into_owned).collect()
}

fn json_of(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Json(json) => serde_json::from_str(json).unwrap(),
        Value::Packed(bytes) => {
            let data = Data::from_message_pack(bytes).unwrap();
            serde_json::from_str(data.json()).unwrap()
        }
    }
}

#[test]
fn a_push_is_an_event_of_its_name_with_the_native_object() {
    let event = event("hi \u{1f600}".into());
    let push = Push::from(&event);
    let native = serde_json::to_value(&push).unwrap();
    for format in [JSON, PACKED] {
        let message = format.event(&push);
        assert!(message.is_open());
        let args = args(format, &message, &format.tail("AQcursor"));
        assert_eq!(args[0].text().as_deref(), Some("message"));
        assert_eq!(json_of(&args[1]), native);
        assert_eq!(args[2].text().as_deref(), Some("AQcursor"));
        assert_eq!(args.len(), 3);
    }
    // Clients that do not recover have the argument alone.
    let message = OLD.event(&push);
    assert!(!message.is_open());
    assert_eq!(args(OLD, &message, b"").len(), 2);
}

/// Only what moves the position may end in a string: the official clients take it for their offset.
#[test]
fn nothing_else_ends_in_a_string() {
    let data: Data = serde_json::from_str(r#""a string""#).unwrap();
    let joined = Joined {
        room: RoomId(Uuid::from_u128(1)),
        epoch: Epoch(1),
        last_seq: 4,
        replayed: 0,
        gap: None,
        cursor: None,
    };
    let drain = Push::Drain {
        after_ms: 1,
        cursor: "AQ",
    };
    let refusal = Refusal::new(ErrorCode::NotJoined, "no");
    for format in [JSON, PACKED, OLD] {
        for message in [
            format.push(&custom(&data)),
            format.push(&Push::from(&joined)),
            format.push(&drain),
            format.refused("join", &refusal),
        ] {
            assert!(!message.is_open());
            let args = args(format, &message, b"");
            let last = args.last().unwrap();
            assert!(
                args.len() > 1 && last.is_object() && !last.is_text(),
                "{args:?}"
            );
        }
        let cursor = args(format, &format.cursor("AQ"), b"");
        let texts: Vec<_> = cursor.iter().map(|it| it.text().unwrap()).collect();
        assert_eq!(texts, ["cursor", "AQ"]);
    }
}

#[test]
fn frames_are_a_shared_body_between_private_ends() {
    let event = event("hi".into());
    let push = Push::from(&event);
    for format in [JSON, PACKED] {
        let message = format.event(&push);
        // Headers of all lengths.
        for rooms in [1, 200, 70_000] {
            let tail = format.tail(&"x".repeat(rooms));
            let frames = message.frames(&tail);
            assert_eq!(frames.body.as_ptr(), message.body().as_ptr());
            let whole = [&frames.head[..], &frames.body, &frames.tail].concat();
            let payload = [message.body(), &tail[..]].concat();
            let expected = match format.codec {
                Codec::Json => text_frame(&payload),
                Codec::MessagePack => binary(&payload),
            };
            assert_eq!(whole, expected);
            assert!(frames.rest.is_empty());
        }
    }
    let frames = JSON.push(&push).frames(b"");
    assert!(frames.tail.is_empty());
}

#[test]
fn bytes_are_attached() {
    let event = event(Body::Bytes([0, 255].into()));
    let push = Push::from(&event);
    let message = JSON.event(&push);
    let text = std::str::from_utf8(message.body()).unwrap();
    assert!(text.starts_with(r#"451-["message",{"push":"message","#));
    assert!(text.contains(r#""body":{"_placeholder":true,"num":0}"#));
    assert!(!text.contains("encoding"));
    assert_eq!(message.attachments(), [&[0, 255][..]]);
    let frames = message.frames(&JSON.tail("AQ"));
    assert_eq!(frames.rest, binary(&[0, 255]));
    // Engine.IO 3 puts the type before bytes.
    let frames = OLD.event(&push).frames(b"");
    assert_eq!(frames.rest, binary(&[4, 0, 255]));
    // In MessagePack they are where they belong.
    let args = args(PACKED, &PACKED.event(&push), &PACKED.tail("AQ"));
    let Value::Packed(object) = &args[1] else {
        panic!()
    };
    assert!(
        object
            .windows(9)
            .any(|it| it == b"\xa4body\xc4\x02\x00\xff")
    );
}

#[test]
fn what_clients_would_not_put_together_goes_in_the_text() {
    let eleven = [&[0x9b][..], &[0xc4, 0].repeat(11)].concat();
    let placeholder = b"\x92\xc4\x00\x82\xac_placeholder\xc3\xa3num\x05".to_vec();
    for data in [eleven, placeholder] {
        let data = Data::from_message_pack(&data).unwrap();
        for format in [JSON, OLD] {
            let message = format.push(&custom(&data));
            assert!(message.attachments().is_empty());
            assert!(message.body().starts_with(b"42[\"event\","));
            let args = args(format, &message, b"");
            assert_eq!(
                json_of(&args[1]),
                serde_json::to_value(custom(&data)).unwrap()
            );
        }
    }
}

#[test]
fn a_poll_gets_the_same_in_its_payload() {
    let event = event(Body::Bytes([0, 255].into()));
    let message = JSON.event(&Push::from(&event));
    let mut payload = Payload::new(Form::Records);
    message.append_to(&mut payload, &JSON.tail("AQ"));
    JSON.cursor("AQ").append_to(&mut payload, b"");
    PACKED.cursor("AQ").append_to(&mut payload, b"");
    let payload = payload.finish();
    let parts: Vec<_> = payload.split(|it| *it == 0x1e).collect();
    assert!(parts[0].starts_with(b"451-[") && parts[0].ends_with(b"},\"AQ\"]"));
    assert_eq!(parts[1], b"bAP8=");
    assert_eq!(parts[2], br#"42["cursor","AQ"]"#);
    assert_eq!(parts[3][0], b'b');
    assert_eq!(parts.len(), 4);
    let message = OLD.event(&Push::from(&event));
    assert!(message.has_bytes() && !message.has_pairs());
    let mut payload = Payload::new(Form::Framed);
    message.append_to(&mut payload, b"");
    assert!(payload.finish().ends_with(&[1, 3, 255, 4, 0, 255]));
}

#[test]
fn a_reply_is_the_acknowledgement() {
    let done = Ok(Reply::Done {});
    let refused = Err(Refusal::new(ErrorCode::NotAMember, "no"));
    assert_eq!(JSON.reply("/", 5, &done).body(), &br#"435[{"ok":{}}]"#[..]);
    assert_eq!(
        OLD.reply("/a", 5, &refused).body(),
        &br#"43/a,5[{"err":{"code":"not_a_member","message":"no","retry":false}}]"#[..]
    );
    let args = args(PACKED, &PACKED.reply("/", 5, &done), b"");
    assert_eq!(json_of(&args[0]), serde_json::json!({ "ok": {} }));
}
