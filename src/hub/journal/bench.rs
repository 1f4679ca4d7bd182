//! Building batches, for `hub::bench`.

use std::time::Instant;

use super::appends::{Appends, Notes};
use super::entry::{Content, Entry, ReplyTo};
use super::queue::{BatchLimits, Queue};
use crate::protocol::data::DataError;
use crate::protocol::id::{EventId, RoomId, UserId};

/// Publishes that wait for one writer.
pub struct Batches(Queue);

impl Batches {
    /// So many messages with this body, of as many senders, spread over rooms.
    #[must_use]
    pub fn new(messages: usize, rooms: usize, body: &str) -> Self {
        let mut queue = Queue::new(BatchLimits {
            max_events: 256,
            max_bytes: 1 << 20,
        });
        let rooms: Vec<RoomId> = (0..rooms).map(|_| RoomId::generate()).collect();
        for (n, room_id) in (0..messages).zip(rooms.iter().cycle()) {
            queue.push(Entry {
                room_id: *room_id,
                user_id: UserId::generate(),
                id: EventId::generate(),
                content: Content::Message {
                    body: body.into(),
                    client_id: n.to_string().into(),
                    thread: None,
                    mentions: Box::default(),
                },
                received_at: Instant::now(),
                reply_to: ReplyTo::caller().0,
                permit: None,
            });
        }
        Self(queue)
    }

    /// Makes the next batch and the parameters of its statements; answers how many there are.
    pub fn build(&mut self) -> Result<usize, DataError> {
        let batch = self.0.next_batch();
        let appends = Appends::of(&batch.entries)?;
        let notes = Notes::of(&batch.entries);
        Ok(appends.parameters().len() + notes.parameters().len() + batch.entries.len())
    }
}
