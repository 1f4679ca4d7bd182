//! A room as one thread sees it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use super::Attachment;
use super::stragglers::Stragglers;
use super::turns::Lack;
use super::walk::Walk;
use crate::hub::connection::outbox::{Batch, Class, Outbox, OutboxLimits};
use crate::hub::encoded::{Encoded, SharedEvent, SharedPush, WireFormat};
use crate::hub::metrics::DELIVERY_MS;
use crate::hub::room::RoomHandle;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::UserId;

/// Something for everyone in a room.
#[derive(Debug)]
pub(super) enum Entry {
    Event(Arc<SharedEvent>),
    Push(Arc<SharedPush>),
}

/// A connection in a room: what the way through the members touches of it, side by side.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) attachment: Rc<Attachment>,
    pub(super) outbox: Rc<Outbox>,
    pub(super) format: WireFormat,
}

/// What is to be done in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing.
    AtRest,
    /// It was walked a moment ago, and waits for what else may come.
    Gathering,
    /// It waits for its turn.
    Scheduled,
}

/// A room as one thread sees it.
#[derive(Debug)]
pub(super) struct LocalRoom {
    pub(super) handle: RoomHandle,
    pub(super) epoch: Epoch,
    /// The last event given to this thread. Members stand there, or have yet to be given what
    /// lies before it.
    pub(super) position: Seq,
    pub(super) walk: Walk<Member, Entry>,
    /// What somebody has yet to be given, bytes.
    pub(super) pending_bytes: usize,
    pub(super) stage: Stage,
    /// When it was last begun to be walked, if that is watched.
    pub(super) begun: Option<Instant>,
    /// An event was not taken, because too much was pending.
    pub(super) is_short: bool,
    /// Members who may say nothing, and until when: known from the checks of those who joined
    /// on this thread, and from the room's events since.
    pub(super) muted: HashMap<UserId, Timestamp>,
    pub(super) lack: Lack,
    /// Members who are set aside in the walk; none most of the time.
    pub(super) stragglers: Option<Box<Stragglers>>,
}

impl Entry {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Event(_) => Class::Durable,
            Self::Push(_) => Class::Ephemeral,
        }
    }

    /// What is the same for everyone.
    pub(super) fn encoded(&self, format: WireFormat) -> Encoded {
        match self {
            Self::Event(event) => event.encoded(format),
            Self::Push(push) => Encoded::Whole(push.frame(format)),
        }
    }

    /// Its frame, in a format in which nothing is the connection's own.
    fn frame(&self, format: WireFormat) -> Bytes {
        match self.encoded(format) {
            Encoded::Whole(frame) | Encoded::Block(frame) => frame,
            Encoded::Packet(_, message) => message.frame(),
        }
    }

    /// About how long its frame is.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Event(event) => event.event.size_bytes(),
            Self::Push(push) => push.content.size_bytes(),
        }
    }
}

impl LocalRoom {
    pub(super) fn new(handle: RoomHandle, epoch: Epoch, position: Seq) -> Self {
        Self {
            handle,
            epoch,
            position,
            walk: Walk::new(),
            pending_bytes: 0,
            stage: Stage::AtRest,
            begun: None,
            is_short: false,
            muted: HashMap::new(),
            lack: Lack::default(),
            stragglers: None,
        }
    }

    /// Whether something of that class can be pending, too. What is pending waits for each of the
    /// members, and is bounded as what waits in their outboxes is.
    pub(super) fn has_room(&self, entry: &Entry, limits: &OutboxLimits) -> bool {
        let max_bytes = match entry.class() {
            Class::Durable => limits.max_bytes,
            Class::Ephemeral => limits.ephemeral_max_bytes,
        };
        self.pending_bytes == 0 || self.pending_bytes + entry.size_bytes() <= max_bytes
    }

    /// Where the member at a place stands: behind the room while it has yet to be given events.
    pub(super) fn position_of(&self, at: usize) -> Seq {
        if !self.walk.lacks(at) {
            let member = self.walk.member(at).filter(|_| self.walk.is_set_aside(at));
            let straggler = member.and_then(|it| self.position_of_straggler(it.attachment.key));
            return straggler.unwrap_or(self.position);
        }
        let mut lacks = self.walk.entries_from(self.walk.next(at));
        let next = lacks.find_map(|entry| match entry {
            Entry::Event(event) => Some(event.event.seq),
            Entry::Push(_) => None,
        });
        next.map_or(self.position, |next| next - 1)
    }

    /// The entries from a number on, as far as they are given in one go.
    pub(super) fn batch(&self, from: u64, format: WireFormat) -> Batch {
        let entries = self.walk.entries_from(from);
        Batch::of(entries.map(|entry| (entry.frame(format), entry.class())))
    }

    /// Forgets what everybody has.
    pub(super) fn finish(&mut self) {
        let pending_bytes = &mut self.pending_bytes;
        self.walk.finish(|entry| {
            *pending_bytes -= entry.size_bytes();
            if let Entry::Event(event) = entry
                && let Some(received_at) = event.received_at
            {
                DELIVERY_MS.observe(received_at.elapsed().as_secs_f64() * 1000.0);
            }
        });
    }
}
