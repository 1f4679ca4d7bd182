//! Whatever is said, a stream carries it unchanged: written by the hub's encoder, read by the
//! harness's own interpreter, cut into chunks anywhere.

use hubbub::protocol::data::Data;
use hubbub::protocol::event::{Epoch, Event, EventBody};
use hubbub::protocol::id::{EventId, RoomId, UserId};
use hubbub::protocol::push::Push;
use hubbub::protocol::sse;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::stream::Interpreter;

const ROOM: RoomId = RoomId(Uuid::from_u128(1));
const USER: UserId = UserId(Uuid::from_u128(2));

fn event(seq: u64, body: EventBody) -> Event {
    Event {
        room_id: ROOM,
        epoch: Epoch(7),
        seq,
        id: EventId(Uuid::from_u128(3)),
        user_id: USER,
        created_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        body,
    }
}

/// JSON with whitespace of all kinds between its tokens.
fn spaced(value: &Value, space: &str) -> Data {
    let text = serde_json::to_string_pretty(value).unwrap();
    serde_json::from_str(&text.replace('\n', space)).unwrap()
}

proptest! {
    #[test]
    fn what_is_said_comes_out(
        bodies in prop::collection::vec(any::<String>(), 1..6),
        key in any::<String>(),
        space in "[ \n\r\t]{0,3}",
        chunk in 1usize..40,
    ) {
        let data = spaced(&json!({ "k": key, "n": [1, 2] }), &space);
        let mut sent = Vec::new();
        for (seq, body) in (1..).zip(&bodies) {
            let body = EventBody::Message {
                msg_no: seq,
                body: body.as_str().into(),
                client_id: "c".into(),
                thread: None,
                mentions: Box::default(),
                deleted: false,
            };
            sent.extend_from_slice(&sse::room_event(&event(seq, body)));
            sent.extend_from_slice(sse::HEARTBEAT);
            sent.extend_from_slice(&sse::push(&Push::Event {
                room: ROOM,
                seq: None,
                id: None,
                name: &key,
                data: &data,
                user_id: USER,
                client_id: None,
                created_at: None,
            }));
        }
        let mut interpreter = Interpreter::default();
        let events: Vec<_> = sent.chunks(chunk).flat_map(|it| interpreter.feed(it)).collect();
        prop_assert_eq!(events.len(), 2 * bodies.len());
        prop_assert_eq!(interpreter.comments, bodies.len());
        for ((seq, body), pair) in (1..).zip(&bodies).zip(events.chunks(2)) {
            let id = format!("7-{seq}");
            prop_assert_eq!(pair[0].name.as_str(), "message");
            prop_assert_eq!(&pair[0].json()["body"], body);
            prop_assert_eq!(pair[1].name.as_str(), "event");
            prop_assert_eq!(&pair[1].json()["data"]["k"], &key);
            prop_assert_eq!(&pair[1].json()["name"], &key);
            for event in pair {
                prop_assert_eq!(&event.last_event_id, &id);
                prop_assert!(!event.data.contains('\n'), "one line");
            }
        }
    }
}
