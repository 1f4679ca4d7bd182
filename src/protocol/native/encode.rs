//! Replies, errors and pushes as complete WebSocket frames.

use bytes::Bytes;
use serde::Serialize;

use super::codec::Codec;
use super::request::RequestId;
use crate::protocol::body::Body;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::msgpack;
use crate::protocol::push::Push;
use crate::protocol::reply::{MessageView, Reply};
use crate::protocol::websocket::encode;

/// Room that most answers fit into at once, bytes.
const USUAL_BYTES: usize = 256;

#[derive(Serialize)]
struct Good<'a> {
    id: &'a RequestId,
    ok: &'a Reply,
}

#[derive(Serialize)]
struct Bad<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RequestId>,
    err: &'a Refusal,
}

/// `{"id":…,"ok":{…}}`. A request without an id gets none.
#[must_use]
pub fn encode_reply(codec: Codec, id: &RequestId, reply: &Reply) -> Bytes {
    let expected_bytes = match reply {
        Reply::History(page) => page
            .messages
            .iter()
            .map(|it| message_bytes(codec, it))
            .sum(),
        Reply::Presence(presence) => presence.users.len() * 39,
        _ => 0,
    };
    frame(codec, expected_bytes, &Good { id, ok: reply })
}

/// `{"id":…,"err":{…}}`, or without `id` if the request had none that could be read.
#[must_use]
pub fn encode_error(codec: Codec, id: Option<&RequestId>, refusal: &Refusal) -> Bytes {
    frame(codec, refusal.message.len(), &Bad { id, err: refusal })
}

/// `{"push":…,…}`: the same bytes for everyone who gets it.
#[must_use]
pub fn encode_push(codec: Codec, push: &Push<'_>) -> Bytes {
    let expected_bytes = match push {
        Push::Message {
            body,
            client_id,
            mentions,
            ..
        } => body_bytes(codec, body) + client_id.len() + mentions.len() * 39,
        Push::Edit { body, .. } => body_bytes(codec, body),
        Push::Event { name, data, .. } => {
            name.len()
                + match codec {
                    Codec::Json => data.json().len(),
                    Codec::MessagePack => data.message_pack().len(),
                }
        }
        Push::Presence { joins, leaves, .. } => (joins.len() + leaves.len()) * 39,
        Push::Drain { cursor, .. } => cursor.len(),
        Push::Room { name, topic, .. } => name.len() + topic.len(),
        Push::NotResumed { err, .. } => err.message.len(),
        Push::Delete { .. }
        | Push::React { .. }
        | Push::Pin { .. }
        | Push::Member { .. }
        | Push::Typing { .. }
        | Push::Read { .. }
        | Push::Removed { .. }
        | Push::Resumed { .. } => 0,
    };
    frame(codec, expected_bytes, push)
}

/// About how long a message of a page is, bytes.
fn message_bytes(codec: Codec, message: &MessageView) -> usize {
    let reactions = message.reactions.iter();
    body_bytes(codec, &message.body)
        + message.mentions.len() * 39
        + reactions.map(|it| it.users.len() * 39 + 100).sum::<usize>()
        + 300
}

/// About how long a body is.
fn body_bytes(codec: Codec, body: &Body) -> usize {
    match (codec, body) {
        (Codec::Json, Body::Bytes(bytes)) => bytes.len().div_ceil(3) * 4,
        _ => body.len(),
    }
}

fn frame<T: Serialize>(codec: Codec, expected_bytes: usize, value: &T) -> Bytes {
    let room = USUAL_BYTES + expected_bytes;
    match codec {
        Codec::Json => encode::text_with(room, |bytes| serde_json::to_writer(bytes, value)).ok(),
        Codec::MessagePack => {
            encode::binary_with(room, |bytes| msgpack::write::append(bytes, value)).ok()
        }
    }
    .unwrap_or_else(|| substitute(codec))
}

/// What is sent in place of a value that cannot be written. None of ours is such a value.
fn substitute(codec: Codec) -> Bytes {
    let refusal = Refusal::new(ErrorCode::Internal, "the answer cannot be written");
    let bad = Bad {
        id: None,
        err: &refusal,
    };
    let mut bytes = Vec::new();
    match codec {
        Codec::Json => encode::text(&serde_json::to_vec(&bad).unwrap_or_default()),
        Codec::MessagePack => match msgpack::write::append(&mut bytes, &bad) {
            Ok(()) => encode::binary(&bytes),
            Err(_) => encode::binary(&[]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::data::Data;
    use crate::protocol::error::ErrorCode;
    use crate::protocol::event::{Epoch, Event, EventBody, MembershipChange, Role};
    use crate::protocol::id::{EventId, RoomId, UserId};
    use crate::protocol::reply::{Gap, GapReason, Joined, Published};
    use serde_json::{Value, json};
    use uuid::Uuid;

    const ROOM: RoomId = RoomId(Uuid::from_u128(1));
    const USER: UserId = UserId(Uuid::from_u128(2));
    const EVENT: EventId = EventId(Uuid::from_u128(3));

    /// The payload of a frame of text.
    fn json(frame: &Bytes) -> Value {
        assert_eq!(frame[0], 0x81);
        let start = if frame[1] == 126 { 4 } else { 2 };
        serde_json::from_slice(&frame[start..]).unwrap()
    }

    fn event(body: EventBody) -> Event {
        Event {
            room_id: ROOM,
            epoch: Epoch(1),
            seq: 41,
            id: EVENT,
            user_id: USER,
            created_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
            body,
        }
    }

    #[test]
    fn replies() {
        let published = Reply::Published(Published {
            seq: 41,
            msg_no: 30,
            id: EVENT,
            created_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        });
        assert_eq!(
            json(&encode_reply(
                Codec::Json,
                &RequestId::Number(2),
                &published
            )),
            json!({"id": 2, "ok": {
                "seq": 41, "msg_no": 30, "id": EVENT, "created_at": "2026-01-02T03:04:05.678901Z"
            }})
        );
        let joined = Reply::Joined(Joined {
            room: ROOM,
            epoch: Epoch(7),
            last_seq: 40,
            replayed: 28,
            gap: Some(Gap {
                from: 1,
                to: 12,
                reason: GapReason::Epoch,
            }),
            cursor: Some("AQ".into()),
        });
        assert_eq!(
            json(&encode_reply(
                Codec::Json,
                &RequestId::Text("a".into()),
                &joined
            )),
            json!({"id": "a", "ok": {
                "room": ROOM, "epoch": 7, "last_seq": 40, "replayed": 28, "cursor": "AQ",
                "gap": {"from": 1, "to": 12, "reason": "epoch"}
            }})
        );
        assert_eq!(
            encode_reply(Codec::Json, &RequestId::Number(0), &Reply::Done {}),
            encode::text(br#"{"id":0,"ok":{}}"#)
        );
    }

    #[test]
    fn errors() {
        let refusal = Refusal::new(ErrorCode::Unavailable, "no database");
        assert_eq!(
            encode_error(Codec::Json, Some(&RequestId::Number(9)), &refusal),
            encode::text(
                br#"{"id":9,"err":{"code":"unavailable","message":"no database","retry":true}}"#
            )
        );
        assert_eq!(
            encode_error(Codec::Json, None, &refusal),
            encode::text(br#"{"err":{"code":"unavailable","message":"no database","retry":true}}"#)
        );
    }

    #[test]
    fn the_substitute_is_an_error_as_any_other() {
        let substitute = json(&substitute(Codec::Json));
        assert_eq!(substitute["err"]["code"], ErrorCode::Internal.as_str());
        assert_eq!(substitute["err"]["retry"], ErrorCode::Internal.retry());
    }

    #[test]
    fn durable_pushes() {
        let message = event(EventBody::Message {
            msg_no: 30,
            body: "hi \"you\"\n\u{2028}".into(),
            client_id: "c1".into(),
            thread: None,
            mentions: Box::default(),
            deleted: false,
        });
        assert_eq!(
            json(&encode_push(Codec::Json, &Push::from(&message))),
            json!({
                "push": "message", "room": ROOM, "seq": 41, "msg_no": 30, "id": EVENT,
                "user_id": USER, "body": "hi \"you\"\n\u{2028}", "client_id": "c1",
                "created_at": "2026-01-02T03:04:05.678901Z"
            })
        );
        let redacted = event(message.body.redacted().unwrap());
        assert_eq!(
            json(&encode_push(Codec::Json, &Push::from(&redacted))),
            json!({
                "push": "message", "room": ROOM, "seq": 41, "msg_no": 30, "id": EVENT,
                "user_id": USER, "body": "", "client_id": "", "deleted": true,
                "created_at": "2026-01-02T03:04:05.678901Z"
            })
        );
        let member = event(EventBody::Membership {
            user_id: UserId(Uuid::from_u128(4)),
            change: MembershipChange::Added,
            role: Some(Role::Member),
            until: None,
        });
        assert_eq!(
            json(&encode_push(Codec::Json, &Push::from(&member))),
            json!({
                "push": "member", "room": ROOM, "seq": 41, "id": EVENT,
                "user_id": Uuid::from_u128(4), "change": "added", "role": "member", "by": USER,
                "created_at": "2026-01-02T03:04:05.678901Z"
            })
        );
    }

    #[test]
    fn pushes_about_messages() {
        let message_id = EventId(Uuid::from_u128(5));
        let about = |name: &str, mut more: Value| {
            let all = more.as_object_mut().unwrap();
            for (key, value) in [
                ("push", json!(name)),
                ("room", json!(ROOM)),
                ("seq", json!(41)),
                ("id", json!(EVENT)),
                ("message_id", json!(message_id)),
                ("user_id", json!(USER)),
                ("created_at", json!("2026-01-02T03:04:05.678901Z")),
            ] {
                all.insert(key.into(), value);
            }
            more
        };
        let edit = |body: &str, deleted| EventBody::Edit {
            message_id,
            body: body.into(),
            deleted,
        };
        let reaction = EventBody::Reaction {
            message_id,
            emoji: "+1".into(),
            removed: false,
        };
        let pin = EventBody::Pin {
            message_id,
            pinned: true,
        };
        for (body, expected) in [
            (
                edit("ho", false),
                about("message.edit", json!({"body": "ho"})),
            ),
            (
                edit("", true),
                about("message.edit", json!({"body": "", "deleted": true})),
            ),
            (
                EventBody::Delete { message_id },
                about("message.delete", json!({})),
            ),
            (
                reaction,
                about("message.react", json!({"emoji": "+1", "removed": false})),
            ),
            (pin, about("message.pin", json!({"pinned": true}))),
        ] {
            assert_eq!(
                json(&encode_push(Codec::Json, &Push::from(&event(body)))),
                expected
            );
        }
    }

    #[test]
    fn ephemeral_pushes() {
        let data: Data = serde_json::from_str(r#"{ "x": [1, 2.50] }"#).unwrap();
        let cursor = Push::Event {
            room: ROOM,
            seq: None,
            id: None,
            name: "cursor",
            data: &data,
            user_id: USER,
            client_id: None,
            created_at: None,
        };
        let frame = encode_push(Codec::Json, &cursor);
        assert_eq!(
            json(&frame),
            json!({
                "push": "event", "room": ROOM, "name": "cursor", "data": {"x": [1, 2.5]},
                "user_id": USER
            })
        );
        // The value goes as it came.
        assert!(frame.windows(17).any(|it| it == br#"{ "x": [1, 2.50] "#));
        let drain = Push::Drain {
            after_ms: 250,
            cursor: "AQ",
        };
        assert_eq!(
            json(&encode_push(Codec::Json, &drain)),
            json!({"push": "drain", "after_ms": 250, "cursor": "AQ"})
        );
    }
}
