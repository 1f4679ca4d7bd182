//! What is encoded and decoded.

use hubbub::protocol::event::{Epoch, Event, EventBody};
use hubbub::protocol::id::{EventId, RoomId, UserId};
use jiff::Timestamp;

/// Lengths of what is said, bytes: a line, the payload that others are measured with, a page.
pub(crate) const BODY_BYTES: [usize; 3] = [16, 128, 4096];

/// A text of so many bytes, with a line break to escape now and then.
pub(crate) fn body(bytes: usize) -> String {
    "the quick brown fox jumps over the lazy dog\n"
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

/// A message with that text.
pub(crate) fn message(room_id: RoomId, body_bytes: usize) -> Event {
    Event {
        room_id,
        epoch: Epoch(1),
        seq: 41,
        id: EventId::generate(),
        user_id: UserId::generate(),
        created_at: Timestamp::UNIX_EPOCH,
        body: EventBody::Message {
            msg_no: 30,
            body: body(body_bytes).into(),
            client_id: "c1".into(),
            thread: None,
            mentions: Box::default(),
            deleted: false,
        },
    }
}
