//! A connection as its thread's table has it.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{ConnectionKey, Joined, RoomKey};
use crate::hub::connection::engineio::Mailbox;
use crate::hub::connection::identity::Identity;
use crate::hub::connection::liveness::{Liveness, Second};
use crate::hub::connection::outbox::{Class, Outbox};
use crate::hub::connection::stream::StreamState;
use crate::hub::encoded::{SharedEvent, WireFormat};
use crate::hub::presence::Step;
use crate::protocol::cursor::Position;
use crate::protocol::error::Refusal;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, SessionId, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::push::Push;
use crate::protocol::reply::{Gap, Reply};

/// A connection's place in its thread's table.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) key: ConnectionKey,
    pub(crate) outbox: Rc<Outbox>,
    /// The form in which it is sent what it is sent; of a session of Socket.IO it is known when its
    /// client is in the namespace.
    pub(crate) format: Cell<WireFormat>,
    /// Nothing that is said is for it: the client of a session of Socket.IO is in no namespace.
    pub(crate) is_deaf: Cell<bool>,
    /// Where requests of a session of Engine.IO are put.
    pub(crate) mailbox: OnceCell<Rc<Mailbox>>,
    /// The client's.
    pub(crate) address: IpAddr,
    pub(crate) identity: RefCell<Option<Identity>>,
    pub(crate) life: Cell<Liveness>,
    /// Publishes handed to the journal and not answered.
    pub(crate) inflight: Cell<usize>,
    /// Told when one of them is answered.
    pub(super) answered: RefCell<Option<oneshot::Sender<()>>>,
    /// The join that is under way.
    pub(crate) joining: RefCell<Option<Box<Joining>>>,
    /// The node is going, and so is this connection: it gives no new commands.
    pub(crate) is_leaving: Cell<bool>,
    /// The client has said that it ends and means to stay away.
    pub(crate) has_taken_leave: Cell<bool>,
    /// A replay is under way, at the pace of its reader: that it waits long says nothing.
    pub(crate) is_paced: Cell<bool>,
    /// Its socket takes no more for the moment, and the thread looks at it again and again.
    pub(in crate::hub::fanout) is_watched: Cell<bool>,
    /// Rooms that are still to be joined, and where the client stands in them: until they are,
    /// its cursors tell that.
    pub(crate) resuming: RefCell<Vec<Position>>,
    /// What an event stream has besides.
    pub(crate) stream: Option<Box<StreamState>>,
    pub(super) rooms: RefCell<Vec<Joined>>,
    pub(super) is_dirty: Cell<bool>,
}

/// A join that waits for the room's answer.
#[derive(Debug)]
pub(crate) struct Joining {
    /// Tells this join from one that was given up.
    pub(crate) number: u32,
    pub(crate) announcement: Announcement,
    /// It has been announced, because the replay began with events out of Postgres.
    pub(crate) is_announced: bool,
    /// What the client cannot have, as far as is known before the room has answered.
    pub(crate) gap: Option<Gap>,
    /// Until when the user was muted in the room when their membership was checked.
    pub(crate) muted_until: Option<Timestamp>,
    pub(crate) progress: oneshot::Sender<JoinProgress>,
}

/// How the client is told that it is in a room, before what it missed.
#[derive(Debug, Clone)]
pub(crate) enum Announcement {
    /// By the reply to this request.
    Reply(Option<RequestId>),
    /// By a push: the request was for several rooms.
    Push,
}

/// How a join goes on.
#[derive(Debug)]
pub(crate) enum JoinProgress {
    /// The connection is in the room, reply and replay are in its outbox.
    Live,
    /// The room's memory does not reach back to the client's position; it is not in the room.
    Behind {
        /// The log's life.
        epoch: Epoch,
        /// The room's head.
        head: Seq,
    },
    /// What was missed is in the room's memory, but more than the connection has room for at once;
    /// it is not in the room.
    TooMuch {
        /// The log's life.
        epoch: Epoch,
        /// The room's head.
        head: Seq,
        /// What was missed.
        events: Vec<Arc<SharedEvent>>,
    },
    /// The room cannot answer now.
    Unavailable,
}

impl Attachment {
    /// Who it is, once it has said so.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        self.identity.borrow().as_ref().map(|one| one.user_id)
    }

    /// In which session, once it has said so.
    pub(crate) fn session_id(&self) -> Option<SessionId> {
        self.identity.borrow().as_ref().map(|one| one.session_id)
    }

    /// Its session is to be looked at then.
    pub(crate) fn check_session_at(&self, expires: Second) {
        let mut life = self.life.get();
        life.expires = Some(expires);
        self.life.set(life);
    }

    /// Whether it is in a room.
    pub(crate) fn is_in(&self, room_id: RoomId) -> bool {
        self.rooms.borrow().iter().any(|one| one.room_id == room_id)
    }

    /// The rooms that it is in.
    pub(crate) fn room_ids(&self) -> Vec<RoomId> {
        self.rooms.borrow().iter().map(|one| one.room_id).collect()
    }

    /// In how many rooms it is.
    pub(crate) fn room_count(&self) -> usize {
        self.rooms.borrow().len()
    }

    /// Adds a reply to the outbox; without a request id only a refusal is told.
    pub(crate) fn push_reply(&self, request: Option<&RequestId>, result: &Result<Reply, Refusal>) {
        if self.is_deaf.get() {
            return;
        }
        if let Some(frame) = self.format.get().reply(request, result) {
            self.outbox.push(frame, Class::Durable);
        }
    }

    /// Something came from the connection, or was taken by it.
    pub(crate) fn heard(&self, now: Second) {
        let mut life = self.life.get();
        life.heard = now;
        life.pinged = None;
        self.life.set(life);
    }

    /// A command of it is being worked at.
    pub(crate) fn at_work(&self, now: Second) {
        self.heard(now);
        let mut life = self.life.get();
        // A stream has no commands, and its time for them never comes.
        life.commanded = life.commanded.max(now);
        self.life.set(life);
    }

    /// One of the publishes on their way is answered.
    pub(crate) fn answered(&self) {
        self.inflight.set(self.inflight.get().saturating_sub(1));
        self.stop_waiting();
    }

    /// Ends [`Attachment::next_answer`].
    pub(crate) fn stop_waiting(&self) {
        // Dropping it tells.
        self.answered.take();
    }

    /// The join that waits for an answer, if it is that one; it waits no more.
    pub(in crate::hub::fanout) fn take_joining(&self, number: u32) -> Option<Box<Joining>> {
        let mut joining = self.joining.borrow_mut();
        joining.take_if(|joining| joining.number == number)
    }

    /// Waits until one of the publishes on their way is answered.
    pub(crate) fn next_answer(&self) -> impl Future<Output = ()> + use<> {
        let (answered, wait) = oneshot::channel();
        self.answered.replace(Some(answered));
        async {
            wait.await.ok();
        }
    }

    /// Adds a push that is for this connection alone.
    pub(crate) fn push(&self, push: &Push<'_>) {
        if !self.is_deaf.get() {
            let frame = self.format.get().push(push);
            self.outbox.push(frame, Class::Durable);
        }
    }

    /// How it goes from its rooms when it ends: most who are lost, or told to go elsewhere, come
    /// back.
    pub(crate) fn last_step(&self) -> Step {
        let is_final = match self.outbox.closing() {
            Some(reason) => !reason.reconnect(),
            None => self.has_taken_leave.get(),
        };
        if is_final { Step::Left } else { Step::Lost }
    }

    /// Its place in a room.
    pub(super) fn place_in(&self, room: RoomKey) -> Option<usize> {
        let rooms = self.rooms.borrow();
        rooms.iter().find(|one| one.room == room).map(|one| one.at)
    }

    /// Its place in one of its rooms, by their order.
    pub(super) fn place(&self, index: usize) -> Option<(RoomKey, usize)> {
        let rooms = self.rooms.borrow();
        rooms.get(index).map(|one| (one.room, one.at))
    }

    pub(super) fn forget(&self, room: RoomKey) {
        let mut rooms = self.rooms.borrow_mut();
        if let Some(index) = rooms.iter().position(|one| one.room == room) {
            rooms.swap_remove(index);
        }
    }

    pub(super) fn moved_to(&self, room: RoomKey, at: usize) {
        let mut rooms = self.rooms.borrow_mut();
        if let Some(joined) = rooms.iter_mut().find(|one| one.room == room) {
            joined.at = at;
        }
    }

    pub(super) fn unmark(&self) {
        self.is_dirty.set(false);
    }
}
