//! What a connection is sent when it joins a room, and where its client stands meanwhile.

use std::sync::Arc;

use super::table::{Announcement, Attachment, Table};
use crate::hub::connection::outbox::{Class, frame_bytes};
use crate::hub::encoded::{SharedEvent, WireFormat};
use crate::protocol::cursor::Position;
use crate::protocol::error::Refusal;
use crate::protocol::id::RoomId;
use crate::protocol::push::Push;
use crate::protocol::reply::{Joined, Reply};
use crate::protocol::sse::{self, RoomPosition};

impl Attachment {
    /// Tells that a room was joined, in the way that its join asks for. `table` is the one that
    /// the connection is in.
    pub(crate) fn announce(&self, table: &Table, announcement: &Announcement, joined: Joined) {
        let push = match announcement {
            Announcement::Reply(request) => {
                return self.push_reply(request.as_ref(), &Ok(Reply::Joined(joined)));
            }
            Announcement::Push => Push::from(&joined),
        };
        // What is replayed follows: the client stands before it, or behind what it cannot get.
        let position = Position {
            room_id: joined.room,
            epoch: joined.epoch,
            seq: joined.last_seq - joined.replayed,
        };
        match self.format {
            WireFormat::Native { .. } => self.push(&push),
            WireFormat::SseRoom => {
                let id = RoomPosition {
                    epoch: position.epoch,
                    seq: position.seq,
                };
                self.outbox.push(sse::push_at(&push, id), Class::Durable);
            }
            WireFormat::SseAll => {
                let tail = sse::tail(&table.positions(self, Some(position)));
                let body = sse::open(&push);
                self.outbox.push_with_tail(body, Some(tail), Class::Durable);
            }
        }
    }

    /// Tells that a room cannot be resumed. From then on its cursors do not have it.
    pub(crate) fn announce_refusal(&self, table: &Table, room: RoomId, err: &Refusal) {
        let push = Push::NotResumed { room, err };
        if !self.format.has_tails() {
            return self.push(&push);
        }
        let tail = sse::tail(&table.positions(self, None));
        self.outbox
            .push_with_tail(sse::open(&push), Some(tail), Class::Durable);
    }

    /// Adds an event of a room's replay.
    pub(crate) fn push_event(&self, table: &Table, event: &SharedEvent) {
        let tail = self.format.has_tails().then(|| {
            let position = Position {
                room_id: event.event.room_id,
                epoch: event.event.epoch,
                seq: event.event.seq,
            };
            sse::tail(&table.positions(self, Some(position)))
        });
        let body = event.frame(self.format);
        self.outbox.push_with_tail(body, tail, Class::Durable);
    }

    /// Whether a room's replay has room in the outbox, all at once.
    pub(crate) fn fits(&self, replay: &[Arc<SharedEvent>]) -> bool {
        self.outbox.fits(self.replay_bytes(replay))
    }

    /// How many bytes these events take in the outbox at most.
    pub(crate) fn replay_bytes<'a>(
        &self,
        events: impl IntoIterator<Item = &'a Arc<SharedEvent>>,
    ) -> usize {
        let tail = self.tail_max_bytes();
        let frames = events.into_iter().map(|it| it.frame(self.format));
        frames.map(|it| frame_bytes(it.len(), tail)).sum()
    }

    /// How long the end of an event's frame is at most that is the connection's own, bytes.
    pub(crate) fn tail_max_bytes(&self) -> Option<usize> {
        let rooms = || 1 + self.room_count() + self.resuming.borrow().len();
        let has_tails = self.format.has_tails();
        has_tails.then(|| sse::tail_max_bytes(rooms()))
    }

    /// The client stands here in a room that it is still to join.
    pub(crate) fn stands_at(&self, position: Position) {
        let mut resuming = self.resuming.borrow_mut();
        if let Some(known) = resuming
            .iter_mut()
            .find(|it| it.room_id == position.room_id)
        {
            *known = position;
        }
    }

    /// The room is not to be joined any more: it has been, or cannot be.
    pub(crate) fn resumed(&self, room_id: RoomId) {
        self.resuming
            .borrow_mut()
            .retain(|it| it.room_id != room_id);
    }

    /// What a stream was pinged with was taken.
    pub(crate) fn ping_was_taken(&self) {
        let mut life = self.life.get();
        if let Some(pinged) = life.pinged.take() {
            life.heard = pinged;
            self.life.set(life);
        }
    }
}
