//! What a connection is sent when it joins a room, and where its client stands meanwhile.

use std::sync::Arc;

use super::table::{Announcement, Attachment, Table};
use crate::hub::connection::outbox::{Class, Parts};
use crate::hub::encoded::{SharedEvent, WireFormat};
use crate::protocol::cursor::Position;
use crate::protocol::error::Refusal;
use crate::protocol::id::RoomId;
use crate::protocol::push::Push;
use crate::protocol::reply::{Joined, Reply};
use crate::protocol::socketio::recovery;
use crate::protocol::sse::{self, RoomPosition};

impl Attachment {
    /// Tells that a room was joined, in the way that its join asks for. `table` is the one that
    /// the connection is in.
    pub(crate) fn announce(&self, table: &Table, announcement: &Announcement, joined: Joined) {
        let push = match announcement {
            Announcement::Reply(request) => {
                let position = before_replay(&joined);
                self.push_reply(request.as_ref(), &Ok(Reply::Joined(joined)));
                return self.push_cursor(table, Some(position));
            }
            Announcement::Push => Push::from(&joined),
        };
        let position = before_replay(&joined);
        match self.format.get() {
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
                let frame = Parts::with_tail(sse::open(&push), tail);
                self.outbox.push_parts(frame, Class::Durable);
            }
            WireFormat::SocketIo { .. } => {
                self.push(&push);
                self.push_cursor(table, Some(position));
            }
        }
    }

    /// Tells a client of Socket.IO that is to say where it stands when it comes back. `besides` is
    /// where it stands, whatever the table says.
    pub(crate) fn push_cursor(&self, table: &Table, besides: Option<Position>) {
        let WireFormat::SocketIo { format, .. } = self.format.get() else {
            return;
        };
        if format.has_cursors && !self.is_deaf.get() {
            let offset = recovery::offset(&table.positions(self, besides));
            let frame = format.cursor(&offset).frame();
            self.outbox.push(frame, Class::Durable);
        }
    }

    /// Tells that a room cannot be resumed. From then on its cursors do not have it.
    pub(crate) fn announce_refusal(&self, table: &Table, room: RoomId, err: &Refusal) {
        let push = Push::NotResumed { room, err };
        if self.format.get() != WireFormat::SseAll {
            self.push(&push);
            return self.push_cursor(table, None);
        }
        let tail = sse::tail(&table.positions(self, None));
        let frame = Parts::with_tail(sse::open(&push), tail);
        self.outbox.push_parts(frame, Class::Durable);
    }

    /// Adds an event of a room's replay.
    pub(crate) fn push_event(&self, table: &Table, event: &SharedEvent) {
        let encoded = event.encoded(self.format.get());
        let positions = if encoded.is_open() {
            let position = Position {
                room_id: event.event.room_id,
                epoch: event.event.epoch,
                seq: event.event.seq,
            };
            table.positions(self, Some(position))
        } else {
            Vec::new()
        };
        let frame = encoded.seal(&positions);
        self.outbox.push_parts(frame, Class::Durable);
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
        let rooms = self.rooms_in_cursor();
        let each = events.into_iter().map(|it| it.encoded(self.format.get()));
        each.map(|it| it.max_bytes(rooms)).sum()
    }

    /// In how many rooms it is at most, as far as its cursors tell.
    pub(crate) fn rooms_in_cursor(&self) -> usize {
        1 + self.room_count() + self.resuming.borrow().len()
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

/// What is replayed follows: the client stands before it, or behind what it cannot get.
fn before_replay(joined: &Joined) -> Position {
    Position {
        room_id: joined.room,
        epoch: joined.epoch,
        seq: joined.last_seq - joined.replayed,
    }
}
