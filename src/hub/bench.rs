//! What the benchmarks (`benches/hot_path`) need of the hub's inside, and no part of its interface.
//!
//! Both are real: the thread's table of connections with their outboxes, and the journal's queue
//! and parameters. What is missing is the kernel: nothing is written to a socket or to Postgres.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::connection::liveness::Liveness;
use super::connection::outbox::{Hold, Outbox, OutboxLimits};
use super::encoded::{SharedEvent, WireFormat};
use super::fanout::table::Table;
pub use super::journal::bench::Batches;
use super::room::RoomHandle;
use crate::protocol::event::{Epoch, Event, Seq};
use crate::protocol::id::RoomId;
use crate::protocol::native::Codec;

/// Where they come from.
const ADDRESS: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// What they speak.
const FORMAT: WireFormat = WireFormat::Native {
    codec: Codec::Json,
    is_deflated: false,
};

/// A room with connections that are all on this thread.
pub struct Crowd {
    table: Table,
    room_id: RoomId,
    last_seq: Seq,
}

/// A socket that nobody has.
#[derive(Debug)]
struct Nowhere;

impl Hold for Nowhere {
    fn cut(&self) {}

    fn written_bytes(&self) -> u64 {
        0
    }
}

impl Crowd {
    /// So many connections, in one room.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let room_id = RoomId::generate();
        let limits = Rc::new(OutboxLimits {
            max_bytes: 1 << 20,
            ephemeral_max_bytes: 1 << 18,
            max_age: Duration::from_secs(30),
            max_stall: Duration::from_secs(1),
        });
        let mut table = Table::new(Rc::clone(&limits), Duration::ZERO);
        for _ in 0..connections {
            let outbox = Outbox::taken_by(Box::new(Nowhere), Rc::clone(&limits));
            let life = Liveness::new(0, true);
            let attachment = table.attach(outbox, FORMAT, ADDRESS, None, life, None);
            let room = RoomHandle::without_actor(room_id);
            table.subscribe(&attachment, room, Epoch(1), 0);
        }
        Self {
            table,
            room_id,
            last_seq: 0,
        }
    }

    /// The room.
    #[must_use]
    pub fn room_id(&self) -> RoomId {
        self.room_id
    }

    /// Gives an event of the room to everybody, as its next: encoded once, then pushed to each outbox.
    pub fn broadcast(&mut self, mut event: Event) {
        self.last_seq += 1;
        event.seq = self.last_seq;
        self.table.deliver(&SharedEvent::new(event, None));
        while self.table.pass().is_left {}
    }

    /// Empties the outboxes, as flushes do; answers how many frames were in them.
    pub fn take(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = 0;
        for attachment in self.table.all() {
            while let Poll::Ready(Some(_)) = attachment.outbox.poll_take(&mut context) {
                taken += 1;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::EventBody;
    use crate::protocol::id::{EventId, UserId};

    #[test]
    fn everybody_in_the_crowd_is_given_each_event() {
        let mut crowd = Crowd::new(3);
        let event = Event {
            room_id: crowd.room_id(),
            epoch: Epoch(1),
            seq: 0,
            id: EventId::generate(),
            user_id: UserId::generate(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            body: EventBody::Delete {
                message_id: EventId::generate(),
            },
        };
        for _ in 0..2 {
            crowd.broadcast(event.clone());
            assert_eq!(crowd.take(), 3);
        }
    }
}
