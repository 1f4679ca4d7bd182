mod codecs;
mod fields;
mod messages;

use super::*;
use crate::protocol::data::Data;
use crate::protocol::event::Epoch;
use crate::protocol::id::{EventId, RoomId, RoomRef, UserId};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

const MESSAGE_BYTES: usize = 100;

/// Reads a request in both codecs. Where it can be written in both, they agree.
fn read(text: &str) -> Result<Request, RequestError> {
    let read = decode_request(text, MESSAGE_BYTES);
    if let Ok(value) = serde_json::from_str::<Data>(text) {
        let packed = decode_packed_request(value.message_pack(), MESSAGE_BYTES);
        match (&read, &packed) {
            // What is too long in one of them need not be in the other, and the words differ
            // that say what is no request at all.
            (Err(one), Err(other)) if one.id.is_none() || one.refusal.code == TOO_LARGE => {
                assert_eq!(one.id, other.id);
            }
            (Err(one), Ok(_)) => assert_eq!(one.refusal.code, TOO_LARGE),
            _ => assert_eq!(read, packed, "{text}"),
        }
    }
    read
}

const TOO_LARGE: ErrorCode = ErrorCode::TooLarge;

fn good(text: &str) -> Command {
    read(text).unwrap().command
}

fn bad(text: &str) -> (&'static str, String) {
    let refusal = read(text).unwrap_err().refusal;
    (refusal.code.as_str(), refusal.message.into_owned())
}

fn general() -> RoomRef {
    "general".parse().unwrap()
}

#[test]
fn every_command() {
    let id = Uuid::from_u128(7);
    assert_eq!(
        read(&format!(
            r#"{{"id":1,"cmd":"join","room":"{id}","since":12,"epoch":-3}}"#
        )),
        Ok(Request {
            id: Some(RequestId::Number(1)),
            command: Command::Join {
                room: RoomRef::Id(RoomId(id)),
                since: Some(12),
                epoch: Some(Epoch(-3)),
            },
        })
    );
    assert_eq!(
        good(r#"{"cmd":"leave","room":"general"}"#),
        Command::Leave { room: general() }
    );
    assert_eq!(
        good(r#"{"cmd":"publish","room":"general","body":"h\u00fc\n","client_id":"c1"}"#),
        Command::Publish {
            room: general(),
            body: "hü\n".into(),
            client_id: "c1".into(),
            thread: None,
            mentions: Vec::new(),
        }
    );
    assert_eq!(
        good(r#"{"cmd":"typing","room":"general"}"#),
        Command::Typing {
            room: general(),
            typing: true,
        }
    );
    assert_eq!(
        good(r#"{"cmd":"emit","room":"general","name":"n","data":null,"volatile":true}"#),
        Command::Emit {
            room: general(),
            name: "n".into(),
            data: serde_json::from_str("null").unwrap(),
            volatile: true,
            client_id: None,
        }
    );
    assert_eq!(
        good(r#"{"cmd":"presence","room":"general"}"#),
        Command::Presence { room: general() }
    );
    assert_eq!(good(r#"{"cmd":"ping"}"#), Command::Ping);
    assert_eq!(
        good(r#"{"cmd":"auth.refresh","token":"t"}"#),
        Command::AuthRefresh { token: "t".into() }
    );
}

#[test]
fn pages() {
    let page =
        |fields: &str| match good(&format!(r#"{{"cmd":"history","room":"general"{fields}}}"#)) {
            Command::History { page, .. } => (page.anchor, page.limit),
            other => panic!("{other:?}"),
        };
    assert_eq!(page(""), (PageAnchor::Newest, 50));
    assert_eq!(page(r#","before":9"#), (PageAnchor::Before(9), 50));
    assert_eq!(
        page(r#","after":0,"limit":100"#),
        (PageAnchor::After(0), 100)
    );
    for (fields, message) in [
        (r#""before":1,"after":2"#, "exclude each other"),
        (
            r#""limit":0"#,
            "`limit` must be a whole number from 1 to 100",
        ),
        (r#""limit":101"#, "from 1 to 100"),
        (r#""before":-1"#, "`before` must be a whole number from 0"),
        (r#""after":"x""#, "`after` must be"),
    ] {
        let (code, got) = bad(&format!(r#"{{"cmd":"history","room":"general",{fields}}}"#));
        assert_eq!(code, "invalid_request");
        assert!(got.contains(message), "{got}");
    }
}

#[test]
fn ids() {
    let id = |id: &str| read(&format!(r#"{{"id":{id},"cmd":"ping"}}"#)).map(|it| it.id);
    assert_eq!(id("0"), Ok(Some(RequestId::Number(0))));
    assert_eq!(id("9007199254740992"), Ok(Some(RequestId::Number(1 << 53))));
    assert_eq!(id(r#""\u0061""#), Ok(Some(RequestId::Text("a".into()))));
    assert_eq!(id("null"), Ok(None));
    let long = format!("\"{}\"", "x".repeat(65));
    for wrong in ["9007199254740993", "-1", "1.0", "\"\"", &long, "[]", "true"] {
        let error = id(wrong).unwrap_err();
        assert_eq!(error.id, None);
        assert!(error.refusal.message.starts_with("`id` must be"), "{wrong}");
    }
}

#[test]
fn what_is_no_request() {
    for text in [
        "",
        "null",
        "42",
        r#"[1,"ping"]"#,
        "{",
        r#"{"cmd":"ping"} x"#,
        r#"{"cmd":"ping","cmd":"ping"}"#,
        r#"{"cmd":7}"#,
        "{}",
    ] {
        let (code, _) = bad(text);
        assert_eq!(code, "invalid_request", "{text}");
    }
    let error = read(r#"{"id":3,"cmd":"drop table"}"#).unwrap_err();
    assert_eq!(error.id, Some(RequestId::Number(3)));
    assert_eq!(error.refusal.code, ErrorCode::UnknownCommand);
}

#[test]
fn unknown_fields_are_ignored() {
    assert_eq!(
        good(r#"{"future":{"x":[1]},"cmd":"ping","body":5}"#),
        Command::Ping
    );
}

#[test]
fn texts_that_cannot_be_kept() {
    let publish = |body: &str, client_id: &str| {
        bad(&format!(
            r#"{{"cmd":"publish","room":"general","body":{body},"client_id":{client_id}}}"#
        ))
    };
    let (code, message) = publish(r#""a\u0000b""#, r#""c""#);
    assert_eq!(code, "invalid_text");
    assert_eq!(
        message,
        "`body` must not contain the control character U+0000"
    );
    assert_eq!(publish(r#""\ud800""#, r#""c""#).0, "invalid_text");
    assert_eq!(publish(r#""a""#, r#""c\n""#).0, "invalid_text");
    assert_eq!(publish(r#""""#, r#""c""#).0, "invalid_request");
    assert_eq!(publish(r#""a""#, r#""""#).0, "invalid_request");
    let long = format!("\"{}\"", "x".repeat(MESSAGE_BYTES + 1));
    assert_eq!(publish(&long, r#""c""#).0, "too_large");
    let long = format!("\"{}\"", "x".repeat(129));
    assert_eq!(publish(r#""a""#, &long).0, "invalid_request");
    assert_eq!(
        bad(r#"{"cmd":"leave","room":"No Room"}"#).0,
        "invalid_request"
    );
}

#[test]
fn the_limit_counts_bytes_after_unescaping() {
    let escaped = r"\u0078".repeat(MESSAGE_BYTES);
    let Command::Publish { body, .. } = good(&format!(
        r#"{{"cmd":"publish","room":"general","body":"{escaped}","client_id":"c"}}"#
    )) else {
        panic!("no publish");
    };
    assert_eq!(body.len(), MESSAGE_BYTES);
}

#[test]
fn data_that_cannot_be_kept() {
    let emit = |data: &str| {
        bad(&format!(
            r#"{{"cmd":"emit","room":"general","name":"n","data":{data}}}"#
        ))
        .0
    };
    assert_eq!(
        emit(&format!("[{}1]", "1,".repeat(MESSAGE_BYTES))),
        "too_large"
    );
    assert_eq!(emit(r#""\udfff""#), "invalid_request");
    assert_eq!(emit("1e999"), "invalid_request");
    let deep = |depth: usize| {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        decode_request(
            &format!(r#"{{"cmd":"emit","room":"general","name":"n","data":{data}}}"#),
            1_000_000,
        )
    };
    let Command::Emit { data, .. } = deep(127).unwrap().command else {
        panic!("no emit");
    };
    assert_eq!(data.message_pack().len(), 127);
    assert_eq!(
        deep(128).unwrap_err().refusal.code,
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        deep(300_000).unwrap_err().refusal.code,
        ErrorCode::InvalidRequest
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _read_or_refused = read(&text).is_ok();
    }

    #[test]
    fn any_json_is_read_or_refused(
        cmd in prop_oneof![
            Just("join"), Just("publish"), Just("history"), Just("emit"), Just("typing"),
        ],
        name in prop_oneof![
            Just("room"), Just("body"), Just("data"), Just("since"), Just("limit"), Just("id"),
        ],
        value in "[\\[\\]{}\":,0-9a-z\\\\]{0,20}",
    ) {
        let text = format!(r#"{{"cmd":"{cmd}","room":"general","{name}":{value}}}"#);
        if let Err(error) = read(&text) {
            prop_assert!(!error.refusal.message.is_empty());
        }
    }

    #[test]
    fn any_body_comes_back(body in "[^\0]{1,25}", client_id in "[^\\p{Cc}]{1,30}", id in 0..=NUMBER_MAX) {
        let text = json!({
            "id": id, "cmd": "publish", "room": "general", "body": body, "client_id": client_id,
        });
        prop_assert_eq!(
            read(&text.to_string()),
            Ok(Request {
                id: Some(RequestId::Number(id)),
                command: Command::Publish {
                    room: general(), body: body.into(), client_id, thread: None, mentions: Vec::new(),
                },
            })
        );
    }
}
