//! Every command, written down in both codecs, is read as it was.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const LARGE: usize = 100_000;

fn room() -> impl Strategy<Value = RoomRef> {
    prop_oneof![
        any::<u128>().prop_map(|id| RoomRef::Id(RoomId(Uuid::from_u128(id)))),
        "[a-z0-9][a-z0-9_-]{0,20}".prop_map(|slug| slug.parse().unwrap()),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        "[^\0]{1,30}".prop_map(Body::from),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(|bytes| Body::Bytes(bytes.into())),
    ]
}

fn line() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{1,12}"
}

fn event_id() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|id| EventId(Uuid::from_u128(id)))
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>().prop_map(|it| json!([it, {"a": it}]).to_string()),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|it| json!({"b": {"$bin": STANDARD.encode(it)}}).to_string()),
    ]
    .prop_map(|json| serde_json::from_str(&json).unwrap())
}

fn change() -> impl Strategy<Value = MessageChange> {
    prop_oneof![
        body().prop_map(|body| MessageChange::Edit { body }),
        Just(MessageChange::Delete),
        (line(), any::<bool>()).prop_map(|(emoji, remove)| MessageChange::React {
            emoji: emoji.into(),
            remove
        }),
        any::<bool>().prop_map(|pinned| MessageChange::Pin { pinned }),
    ]
}

fn page() -> impl Strategy<Value = PageRequest> {
    let anchor = prop_oneof![
        Just(PageAnchor::Newest),
        (0..=NUMBER_MAX).prop_map(PageAnchor::Before),
        (0..=NUMBER_MAX).prop_map(PageAnchor::After),
    ];
    (anchor, 1..=100u32, prop::option::of(event_id())).prop_map(|(anchor, limit, thread)| {
        PageRequest {
            anchor,
            limit,
            thread,
        }
    })
}

fn about_messages() -> impl Strategy<Value = Command> {
    let users = prop::collection::hash_set(any::<u128>(), 0..50);
    prop_oneof![
        (room(), body(), line(), prop::option::of(event_id()), users).prop_map(
            |(room, body, client_id, thread, users)| Command::Publish {
                room,
                body,
                client_id,
                thread,
                mentions: users
                    .into_iter()
                    .map(|id| UserId(Uuid::from_u128(id)))
                    .collect(),
            }
        ),
        (room(), event_id(), change(), prop::option::of(line())).prop_map(
            |(room, message_id, change, client_id)| Command::Change {
                room,
                message_id,
                change,
                client_id,
            }
        ),
        (room(), page()).prop_map(|(room, page)| Command::History { room, page }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = 0..=NUMBER_MAX;
    let epoch = prop::option::of(any::<i32>().prop_map(Epoch));
    prop_oneof![
        3 => about_messages(),
        1 => (room(), prop::option::of(number.clone()), epoch)
            .prop_map(|(room, since, epoch)| Command::Join { room, since, epoch }),
        1 => ".{0,30}".prop_map(|cursor| Command::Resume { cursor }),
        1 => room().prop_map(|room| Command::Leave { room }),
        1 => (room(), number).prop_map(|(room, msg_no)| Command::Read { room, msg_no }),
        1 => (room(), any::<bool>()).prop_map(|(room, typing)| Command::Typing { room, typing }),
        1 => (room(), line(), data(), any::<bool>(), prop::option::of(line())).prop_map(
            |(room, name, data, volatile, client_id)| Command::Emit {
                room,
                name,
                data,
                volatile,
                client_id,
            }
        ),
        1 => room().prop_map(|room| Command::Presence { room }),
        1 => Just(Command::Ping),
        1 => line().prop_map(|token| Command::AuthRefresh { token }),
    ]
}

/// A request as a client in JSON writes it.
fn json_of(request: &Request) -> Value {
    let mut fields = match &request.command {
        Command::Join { room, since, epoch } => {
            json!({"room": room.to_string(), "since": since, "epoch": epoch})
        }
        Command::Resume { cursor } => json!({ "cursor": cursor }),
        Command::Publish {
            room,
            body,
            client_id,
            thread,
            mentions,
        } => json!({
            "room": room.to_string(), "client_id": client_id, "thread": thread,
            "mentions": mentions, "body": body, "encoding": body.encoding(),
        }),
        Command::Change {
            room,
            message_id,
            change,
            client_id,
        } => {
            let mut fields = match change {
                MessageChange::Edit { body } => {
                    json!({"body": body, "encoding": body.encoding()})
                }
                MessageChange::Delete => json!({}),
                MessageChange::React { emoji, remove } => {
                    json!({"emoji": emoji, "remove": remove})
                }
                MessageChange::Pin { pinned } => json!({ "pinned": pinned }),
            };
            fields["room"] = room.to_string().into();
            fields["message_id"] = json!(message_id);
            fields["client_id"] = json!(client_id);
            fields
        }
        Command::History { room, page } => {
            let (before, after) = match page.anchor {
                PageAnchor::Newest => (None, None),
                PageAnchor::Before(seq) => (Some(seq), None),
                PageAnchor::After(seq) => (None, Some(seq)),
            };
            json!({
                "room": room.to_string(), "before": before, "after": after, "limit": page.limit,
                "thread": page.thread,
            })
        }
        Command::Read { room, msg_no } => json!({"room": room.to_string(), "msg_no": msg_no}),
        Command::Typing { room, typing } => json!({"room": room.to_string(), "typing": typing}),
        Command::Emit {
            room,
            name,
            data,
            volatile,
            client_id,
        } => json!({
            "room": room.to_string(), "name": name, "volatile": volatile, "client_id": client_id,
            "data": serde_json::from_str::<Value>(data.json()).unwrap(),
        }),
        Command::Leave { room } | Command::Presence { room } => json!({"room": room.to_string()}),
        Command::Ping => json!({}),
        Command::AuthRefresh { token } => json!({ "token": token }),
    };
    fields["cmd"] = request.command.name().into();
    fields["id"] = serde_json::to_value(&request.id).unwrap();
    fields
}

/// And one in MessagePack: bytes are bytes.
fn packed(request: &Request) -> Vec<u8> {
    let mut fields = json_of(request);
    if fields["encoding"] == "base64" {
        fields["body"] = json!({ "$bin": fields["body"] });
        fields["encoding"] = Value::Null;
    }
    let value: Data = serde_json::from_str(&fields.to_string()).unwrap();
    value.message_pack().to_vec()
}

fn any_request() -> impl Strategy<Value = Request> {
    let id = prop::option::of(prop_oneof![
        (0..=NUMBER_MAX).prop_map(RequestId::Number),
        ".{1,16}".prop_map(|id| RequestId::Text(id.into())),
    ]);
    (id, any_command()).prop_map(|(id, command)| Request { id, command })
}

proptest! {
    #[test]
    fn every_request_is_read_as_it_was_written(request in any_request()) {
        let text = json_of(&request).to_string();
        prop_assert_eq!(decode_request(&text, LARGE), Ok(request.clone()));
        prop_assert_eq!(decode_packed_request(&packed(&request), LARGE), Ok(request));
    }

    #[test]
    fn no_beginning_of_a_request_is_one(request in any_request(), cut in any::<prop::sample::Index>()) {
        let bytes = packed(&request);
        let cut = cut.index(bytes.len());
        let error = decode_packed_request(&bytes[..cut], LARGE).unwrap_err();
        prop_assert_eq!(error.refusal.code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        request in any_request(),
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = packed(&request);
        for (place, byte) in spoilt {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Err(error) = decode_packed_request(&bytes, LARGE) {
            prop_assert!(!error.refusal.message.is_empty());
        }
    }
}

#[test]
fn bodies_in_bytes() {
    let publish = |body: &[u8], more: &[u8]| {
        let head = b"\xa2id\x01\xa3cmd\xa7publish\xa4room\xa1r\xa9client_id\xa1c\xa4body";
        let fields = 5 + u8::from(!more.is_empty());
        let request = [&[0x80 | fields][..], head, body, more].concat();
        match decode_packed_request(&request, 4) {
            Ok(Request {
                command: Command::Publish { body, .. },
                ..
            }) => Ok(body),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err((error.refusal.code, error.refusal.message.into_owned())),
        }
    };
    let bytes = |bytes: &[u8]| Body::Bytes(bytes.into());
    assert_eq!(
        publish(b"\xc4\x03\0\xff\x80", b""),
        Ok(bytes(b"\0\xff\x80"))
    );
    assert_eq!(
        publish(b"\xa4AP+A", b"\xa8encoding\xa6base64"),
        Ok(bytes(b"\0\xff\x80"))
    );
    assert_eq!(publish(b"\xa4AP+A", b"\xa8encoding\xc0"), Ok("AP+A".into()));
    let invalid = |message: &str| Err((ErrorCode::InvalidRequest, message.to_owned()));
    assert_eq!(
        publish(b"\xc4\x00", b""),
        invalid("`body` must not be empty")
    );
    assert_eq!(
        publish(b"\xc4\x01a", b"\xa8encoding\xa6base64"),
        invalid("`encoding` must be left out beside bytes")
    );
    assert_eq!(
        publish(b"\xa1a", b"\xa8encoding\xa3hex"),
        invalid("`encoding` must be `base64`, or left out")
    );
    assert_eq!(
        publish(b"\xa2AA", b"\xa8encoding\xa6base64"),
        invalid("`body` must be base64 with padding, as `encoding` says")
    );
    let too_large = Err((
        ErrorCode::TooLarge,
        "`body` must be at most 4 bytes, is 5".to_owned(),
    ));
    assert_eq!(publish(b"\xc4\x05abcde", b""), too_large);
    assert_eq!(
        publish(b"\xa8AAAAAAA=", b"\xa8encoding\xa6base64"),
        too_large
    );
}
