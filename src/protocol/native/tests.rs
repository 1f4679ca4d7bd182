//! Every reply and push says the same in both codecs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Codec, RequestId, encode_push, encode_reply};
use crate::protocol::body::Body;
use crate::protocol::data::Data;
use crate::protocol::event::{
    Epoch, Event, EventBody, History, MembershipChange, Role, RoomSettings,
};
use crate::protocol::id::{EventId, RoomId, UserId};
use crate::protocol::push::Push;
use crate::protocol::reply::{
    Changed, Emitted, Gap, GapReason, Joined, MessagePage, MessageView, Published, ReactionView,
    ReadMarker, Reply, Resumed, RoomPresence,
};

/// A frame's payload as JSON. Bytes out of MessagePack are `$bin`.
fn value(frame: &Bytes) -> Value {
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    match frame[0] {
        0x81 => serde_json::from_slice(&frame[start..]).unwrap(),
        0x82 => {
            let data = Data::from_message_pack(&frame[start..]).unwrap();
            serde_json::from_str(data.json()).unwrap()
        }
        other => panic!("{other:x}"),
    }
}

/// Writes bodies that JSON says are base64 as bytes.
fn with_bytes(value: &mut Value) {
    if value.get("encoding").is_some() {
        let map = value.as_object_mut().unwrap();
        assert_eq!(map.remove("encoding"), Some(json!("base64")));
        let base64 = map["body"].take();
        assert!(STANDARD.decode(base64.as_str().unwrap()).is_ok());
        map["body"] = json!({ "$bin": base64 });
    }
    if let Some(messages) = value.pointer_mut("/ok/messages") {
        messages
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(with_bytes);
    }
}

fn assert_same(encode: impl Fn(Codec) -> Bytes) {
    let mut json = value(&encode(Codec::Json));
    with_bytes(&mut json);
    assert_eq!(value(&encode(Codec::MessagePack)), json);
}

fn user() -> impl Strategy<Value = UserId> {
    any::<u128>().prop_map(|id| UserId(Uuid::from_u128(id)))
}

fn event_id() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|id| EventId(Uuid::from_u128(id)))
}

fn time() -> impl Strategy<Value = jiff::Timestamp> {
    (0..4_000_000_000_000_000i64).prop_map(|us| jiff::Timestamp::from_microsecond(us).unwrap())
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        ".{0,40}".prop_map(Body::from),
        prop::collection::vec(any::<u8>(), 1..300).prop_map(|bytes| Body::Bytes(bytes.into())),
    ]
}

fn users() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec(user(), 0..8)
}

fn event_body() -> impl Strategy<Value = EventBody> {
    let data = prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| {
        let json = json!({"x": [1.5, null, {"$bin": STANDARD.encode(bytes)}]}).to_string();
        serde_json::from_str::<Data>(&json).unwrap()
    });
    let change = prop::sample::select(vec![
        (MembershipChange::Joined, Some(Role::Owner)),
        (MembershipChange::Role, Some(Role::Moderator)),
        (MembershipChange::Banned, None),
    ]);
    prop_oneof![
        (
            any::<u64>(),
            body(),
            ".{0,9}",
            prop::option::of(event_id()),
            users()
        )
            .prop_map(
                |(msg_no, body, client_id, thread, mentions)| EventBody::Message {
                    msg_no,
                    deleted: body.is_empty(),
                    body,
                    client_id: client_id.into(),
                    thread,
                    mentions: mentions.into(),
                }
            ),
        (".{0,9}", data, prop::option::of(".{1,9}")).prop_map(|(name, data, client_id)| {
            EventBody::Custom {
                name: name.into(),
                data,
                client_id: client_id.map(Into::into),
            }
        }),
        (user(), change, prop::option::of(time())).prop_map(|(user_id, (change, role), until)| {
            EventBody::Membership {
                user_id,
                change,
                role,
                until,
            }
        }),
        (event_id(), body()).prop_map(|(message_id, body)| EventBody::Edit {
            message_id,
            deleted: body.is_empty(),
            body,
        }),
        event_id().prop_map(|message_id| EventBody::Delete { message_id }),
        (event_id(), ".{1,9}", any::<bool>()).prop_map(|(message_id, emoji, removed)| {
            EventBody::Reaction {
                message_id,
                emoji: emoji.into(),
                removed,
            }
        }),
        (event_id(), any::<bool>())
            .prop_map(|(message_id, pinned)| EventBody::Pin { message_id, pinned }),
        (".{0,9}", ".{0,9}", any::<bool>()).prop_map(|(name, topic, is_private)| {
            EventBody::Room(RoomSettings {
                name: name.into(),
                topic: topic.into(),
                history: History::Joined,
                is_private,
            })
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let ids = (any::<u128>(), event_id(), user());
    (ids, any::<i32>(), any::<u64>(), time(), event_body()).prop_map(
        |((room, id, user_id), epoch, seq, created_at, body)| Event {
            room_id: RoomId(Uuid::from_u128(room)),
            epoch: Epoch(epoch),
            seq,
            id,
            user_id,
            created_at,
            body,
        },
    )
}

fn view() -> impl Strategy<Value = MessageView> {
    let ids = (event_id(), user(), prop::option::of(event_id()));
    let times = (time(), prop::option::of(time()), prop::option::of(time()));
    (any::<u64>(), ids, body(), times, users()).prop_map(
        |(seq, (id, user_id, thread), body, (created_at, edited_at, pinned_at), users)| {
            MessageView {
                seq,
                msg_no: seq / 2,
                id,
                user_id,
                encoding: body.encoding(),
                deleted: body.is_empty(),
                body,
                client_id: "c".into(),
                created_at,
                edited_at,
                thread,
                replies: seq % 2,
                mentions: users.clone(),
                reactions: vec![ReactionView {
                    emoji: "\u{1f44d}".into(),
                    count: 3,
                    users,
                }],
                pinned_at,
            }
        },
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    let room = || any::<u128>().prop_map(|id| RoomId(Uuid::from_u128(id)));
    let cursor = || prop::option::of("[A-Za-z0-9_-]{0,40}");
    let gap = (any::<u64>(), any::<u64>()).prop_map(|(from, to)| Gap {
        from,
        to,
        reason: GapReason::Retention,
    });
    let joined = (
        room(),
        any::<i32>(),
        any::<u64>(),
        prop::option::of(gap),
        cursor(),
    );
    prop_oneof![
        joined.prop_map(
            |(room, epoch, last_seq, gap, cursor)| Reply::Joined(Joined {
                room,
                epoch: Epoch(epoch),
                last_seq,
                replayed: last_seq / 3,
                gap,
                cursor,
            })
        ),
        (any::<u64>(), cursor()).prop_map(|(resumed, cursor)| Reply::Resumed(Resumed {
            resumed,
            refused: resumed / 2,
            cursor,
        })),
        (room(), cursor()).prop_map(|(room, cursor)| Reply::Left { room, cursor }),
        (any::<u64>(), event_id(), time()).prop_map(|(seq, id, created_at)| {
            Reply::Published(Published {
                seq,
                msg_no: 1,
                id,
                created_at,
            })
        }),
        (any::<u64>(), event_id(), time()).prop_map(|(seq, id, created_at)| {
            Reply::Emitted(Emitted {
                seq,
                id,
                created_at,
            })
        }),
        prop::option::of((any::<u64>(), event_id(), time())).prop_map(|all| {
            Reply::Changed(
                all.map_or_else(Changed::default, |(seq, id, created_at)| Changed {
                    seq: Some(seq),
                    id: Some(id),
                    created_at: Some(created_at),
                }),
            )
        }),
        (
            prop::collection::vec(view(), 0..4),
            prop::option::of(any::<u64>())
        )
            .prop_map(|(messages, next)| Reply::History(MessagePage {
                messages,
                epoch: Epoch(7),
                last_seq: 9,
                next,
            })),
        any::<u64>().prop_map(|msg_no| Reply::Read(ReadMarker { msg_no })),
        (room(), users(), any::<[bool; 2]>()).prop_map(|(room, users, [only_count, stale])| {
            Reply::Presence(RoomPresence {
                room,
                count: users.len() as u64,
                users,
                only_count,
                stale,
            })
        }),
        (user(), time()).prop_map(|(user_id, expires_at)| Reply::Authenticated {
            user_id,
            expires_at
        }),
        Just(Reply::Done {}),
    ]
}

proptest! {
    #[test]
    fn every_event_is_pushed_alike_and_survives_the_log(event in event()) {
        assert_same(|codec| encode_push(codec, &Push::from(&event)));
        let (body, logged) = (&event.body, event.body.to_log().unwrap());
        let back = EventBody::from_log(body.kind() as i16, body.msg_no(), body.message_id(), &logged);
        if !matches!(body, EventBody::Message { deleted: true, .. } | EventBody::Edit { deleted: true, .. }) {
            prop_assert_eq!(&back.unwrap(), body);
        }
    }

    #[test]
    fn every_reply_is_alike(reply in reply(), id: u64) {
        assert_same(|codec| encode_reply(codec, &RequestId::Number(id), &reply));
    }

    #[test]
    fn ephemeral_pushes_are_alike(joins in users(), leaves in users(), count: u64, reset: bool) {
        let room = RoomId(Uuid::from_u128(1));
        assert_same(|codec| {
            encode_push(codec, &Push::Presence { room, joins: &joins, leaves: &leaves, count, reset, only_count: !reset, stale: reset })
        });
        let err = crate::protocol::error::Refusal::new(
            crate::protocol::error::ErrorCode::RateLimited,
            "too many",
        );
        assert_same(|codec| encode_push(codec, &Push::NotResumed { room, err: &err }));
        assert_same(|codec| {
            encode_push(codec, &Push::Drain { after_ms: count, cursor: "AQ" })
        });
    }
}
