//! Which connections of this thread are in which rooms. Nothing in it is atomic or locked.

mod turns;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use slab::Slab;
use tokio::sync::oneshot;

use self::turns::Lack;
pub(crate) use self::turns::Turn;
use crate::hub::connection::identity::Identity;
use crate::hub::connection::liveness::{Liveness, Second};
use crate::hub::connection::outbox::{Class, Outbox, Pushed};
use crate::hub::connection::stream::StreamState;
use crate::hub::encoded::{SharedEvent, WireFormat};
use crate::hub::metrics::{DELIVERIES, EPHEMERAL_DROPPED};
use crate::hub::room::RoomHandle;
use crate::protocol::cursor::{self, CursorError, Position};
use crate::protocol::error::Refusal;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, SessionId, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::push::Push;
use crate::protocol::reply::{Gap, Reply};
use crate::protocol::sse;

/// A connection, as other threads name it to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionKey {
    index: usize,
    /// Tells a connection from the one that had its place before.
    generation: u32,
}

/// A connection's place in its thread's table.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) key: ConnectionKey,
    pub(crate) outbox: Rc<Outbox>,
    pub(crate) format: WireFormat,
    pub(crate) identity: RefCell<Option<Identity>>,
    pub(crate) life: Cell<Liveness>,
    /// Publishes handed to the journal and not answered.
    pub(crate) inflight: Cell<usize>,
    /// Told when one of them is answered.
    answered: RefCell<Option<oneshot::Sender<()>>>,
    /// The join that is under way.
    pub(crate) joining: RefCell<Option<Box<Joining>>>,
    /// The node is going, and so is this connection: it gives no new commands.
    pub(crate) is_leaving: Cell<bool>,
    /// A replay is under way, at the pace of its reader: that it waits long says nothing.
    pub(crate) is_paced: Cell<bool>,
    /// Its socket takes no more for the moment, and the thread looks at it again and again.
    pub(super) is_watched: Cell<bool>,
    /// Rooms that are still to be joined, and where the client stands in them: until they are,
    /// its cursors tell that.
    pub(crate) resuming: RefCell<Vec<Position>>,
    /// What an event stream has besides.
    pub(crate) stream: Option<Box<StreamState>>,
    rooms: RefCell<Vec<Joined>>,
    is_dirty: Cell<bool>,
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

/// A room that a connection is in, and where in the room's list it stands.
#[derive(Debug, Clone, Copy)]
struct Joined {
    room_id: RoomId,
    index: usize,
}

/// A room as one thread sees it.
#[derive(Debug)]
struct LocalRoom {
    handle: RoomHandle,
    epoch: Epoch,
    /// The last event given to this thread: the position of every connection in the list.
    position: Seq,
    connections: Vec<Rc<Attachment>>,
    /// Members who may say nothing, and until when: known from the checks of those who joined
    /// on this thread, and from the room's events since.
    muted: HashMap<UserId, Timestamp>,
    lack: Lack,
}

/// What a connection left behind: its user is no longer there by this connection, and the room's
/// actor has one subscription less.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) room: RoomHandle,
    pub(crate) user_id: Option<UserId>,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    connections: Slab<Rc<Attachment>>,
    generation: u32,
    rooms: HashMap<RoomId, LocalRoom>,
    dirty: Vec<Rc<Attachment>>,
}

impl Table {
    /// Gives a connection its place.
    pub(crate) fn attach(
        &mut self,
        outbox: Rc<Outbox>,
        format: WireFormat,
        identity: Option<Identity>,
        life: Liveness,
        stream: Option<Box<StreamState>>,
    ) -> Rc<Attachment> {
        self.generation = self.generation.wrapping_add(1);
        let vacant = self.connections.vacant_entry();
        let attachment = Rc::new(Attachment {
            key: ConnectionKey {
                index: vacant.key(),
                generation: self.generation,
            },
            outbox,
            format,
            identity: RefCell::new(identity),
            life: Cell::new(life),
            inflight: Cell::new(0),
            answered: RefCell::new(None),
            joining: RefCell::new(None),
            is_leaving: Cell::new(false),
            is_paced: Cell::new(false),
            is_watched: Cell::new(false),
            resuming: RefCell::default(),
            stream,
            rooms: RefCell::default(),
            is_dirty: Cell::new(false),
        });
        vacant.insert(Rc::clone(&attachment));
        attachment
    }

    /// Takes the place back.
    pub(crate) fn detach(&mut self, attachment: &Rc<Attachment>) -> Vec<Departure> {
        if self.get(attachment.key).is_none() {
            return Vec::new();
        }
        let joined = attachment.rooms.borrow().clone();
        let departures = joined
            .into_iter()
            .filter_map(|joined| self.unsubscribe(attachment, joined.room_id))
            .collect();
        self.connections.remove(attachment.key.index);
        departures
    }

    /// The connection of that key, if it is still there.
    pub(crate) fn get(&self, key: ConnectionKey) -> Option<Rc<Attachment>> {
        self.connections
            .get(key.index)
            .filter(|attachment| attachment.key == key)
            .cloned()
    }

    /// All connections.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Attachment>> {
        self.connections.iter().map(|(_, attachment)| attachment)
    }

    /// Has the connection get the room's events from just after `position`. False if it is in the
    /// room already.
    pub(crate) fn subscribe(
        &mut self,
        attachment: &Rc<Attachment>,
        handle: RoomHandle,
        epoch: Epoch,
        position: Seq,
    ) -> bool {
        let room_id = handle.id();
        if attachment.is_in(room_id) {
            return false;
        }
        let room = self.rooms.entry(room_id).or_insert_with(|| LocalRoom {
            handle: handle.clone(),
            epoch,
            position,
            connections: Vec::new(),
            muted: HashMap::new(),
            lack: Lack::default(),
        });
        // The room's actor may have been recreated since the others joined.
        room.handle = handle;
        room.epoch = epoch;
        room.position = position;
        attachment.rooms.borrow_mut().push(Joined {
            room_id,
            index: room.connections.len(),
        });
        room.connections.push(Rc::clone(attachment));
        attachment.resumed(room_id);
        true
    }

    /// Ends that. None if it was not in the room.
    pub(crate) fn unsubscribe(
        &mut self,
        attachment: &Rc<Attachment>,
        room_id: RoomId,
    ) -> Option<Departure> {
        let index = attachment.forget(room_id)?;
        let room = self.rooms.get_mut(&room_id)?;
        room.connections.swap_remove(index);
        if let Some(moved) = room.connections.get(index) {
            moved.moved_to(room_id, index);
        }
        let departure = Departure {
            room: room.handle.clone(),
            user_id: attachment.user_id(),
        };
        if room.connections.is_empty() {
            self.rooms.remove(&room_id);
        }
        Some(departure)
    }

    /// The user may say nothing in the room until then, as far as this thread is concerned.
    pub(crate) fn mute(&mut self, room_id: RoomId, user_id: UserId, until: Timestamp) {
        if let Some(room) = self.rooms.get_mut(&room_id) {
            let now = Timestamp::now();
            room.muted.retain(|_, until| *until > now);
            room.muted.insert(user_id, until);
        }
    }

    /// The user may speak in the room.
    pub(crate) fn unmute(&mut self, room_id: RoomId, user_id: UserId) {
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.muted.remove(&user_id);
        }
    }

    /// Whether the user may say nothing in a room that a connection of this thread is in.
    pub(crate) fn is_muted(&self, room_id: RoomId, user_id: UserId) -> bool {
        let room = self.rooms.get(&room_id);
        room.and_then(|room| room.muted.get(&user_id))
            .is_some_and(|until| *until > Timestamp::now())
    }

    /// The last event of a room given to this thread; none if nobody here is in it.
    pub(crate) fn position(&self, room_id: RoomId) -> Option<Seq> {
        self.rooms.get(&room_id).map(|room| room.position)
    }

    /// Gives a frame to every connection in a room and marks them for the flush. `frame` is asked
    /// once for each format that occurs, and answers from what is shared.
    pub(crate) fn broadcast(
        &mut self,
        room_id: RoomId,
        position: Option<Seq>,
        class: Class,
        except: Option<ConnectionKey>,
        frame: impl Fn(WireFormat) -> Bytes,
    ) {
        let Some(room) = self.rooms.get_mut(&room_id) else {
            return;
        };
        if let Some(position) = position {
            room.position = position;
        }
        let Some(room) = self.rooms.get(&room_id) else {
            return;
        };
        let mut encoded: Option<(WireFormat, Bytes)> = None;
        let mut delivered = 0;
        for attachment in &room.connections {
            if except == Some(attachment.key) {
                continue;
            }
            let bytes = match &encoded {
                Some((format, bytes)) if *format == attachment.format => bytes.clone(),
                _ => {
                    let bytes = frame(attachment.format);
                    encoded = Some((attachment.format, bytes.clone()));
                    bytes
                }
            };
            let tail = (class == Class::Durable && attachment.format.has_tails())
                .then(|| sse::tail(&self.positions(attachment, None)));
            match attachment.outbox.push_with_tail(bytes, tail, class) {
                Pushed::Queued => delivered += 1,
                Pushed::Overflowed => {}
                Pushed::Dropped => {
                    if class == Class::Ephemeral {
                        EPHEMERAL_DROPPED.with_label_values(&["outbox"]).inc();
                    }
                    continue;
                }
            }
            if !attachment.is_dirty.replace(true) {
                self.dirty.push(Rc::clone(attachment));
            }
        }
        DELIVERIES.inc_by(delivered);
    }

    /// Marks a connection for the flush.
    pub(crate) fn mark(&mut self, attachment: &Rc<Attachment>) {
        if !attachment.is_dirty.replace(true) {
            self.dirty.push(Rc::clone(attachment));
        }
    }

    /// Takes up to `max` of those marked for the flush.
    pub(crate) fn take_dirty(&mut self, max: usize) -> Vec<Rc<Attachment>> {
        let count = self.dirty.len().min(max);
        let taken: Vec<_> = self.dirty.drain(..count).collect();
        for attachment in &taken {
            attachment.is_dirty.set(false);
        }
        taken
    }

    /// The connections in a room.
    pub(crate) fn in_room(&self, room_id: RoomId) -> Vec<Rc<Attachment>> {
        self.rooms
            .get(&room_id)
            .map(|room| room.connections.clone())
            .unwrap_or_default()
    }

    /// Where a connection stands in its rooms, and in one more that it is about to join.
    pub(crate) fn cursor(
        &self,
        attachment: &Attachment,
        joining: Option<Position>,
    ) -> Result<String, CursorError> {
        cursor::encode(&self.positions(attachment, joining))
    }

    /// Where a connection stands in its rooms and in those that it is still to join. `besides` is
    /// where it stands, whatever the table says.
    pub(crate) fn positions(
        &self,
        attachment: &Attachment,
        besides: Option<Position>,
    ) -> Vec<Position> {
        let joined = attachment.rooms.borrow();
        let resuming = attachment.resuming.borrow();
        let joined = joined.iter().filter_map(|joined| {
            let room = self.rooms.get(&joined.room_id)?;
            Some(Position {
                room_id: joined.room_id,
                epoch: room.epoch,
                seq: room.position,
            })
        });
        let is_other =
            |position: &Position| besides.is_none_or(|besides| besides.room_id != position.room_id);
        let others = joined.chain(resuming.iter().copied()).filter(is_other);
        others.chain(besides).collect()
    }

    /// The room's actor, if a connection of this thread is in the room.
    pub(crate) fn room(&self, room_id: RoomId) -> Option<&RoomHandle> {
        self.rooms.get(&room_id).map(|room| &room.handle)
    }
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

    /// In how many rooms it is.
    pub(crate) fn room_count(&self) -> usize {
        self.rooms.borrow().len()
    }

    /// Adds a reply to the outbox; without a request id only a refusal is told.
    pub(crate) fn push_reply(&self, request: Option<&RequestId>, result: &Result<Reply, Refusal>) {
        if let Some(frame) = self.format.reply(request, result) {
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
        self.outbox.push(self.format.push(push), Class::Durable);
    }

    fn forget(&self, room_id: RoomId) -> Option<usize> {
        let mut rooms = self.rooms.borrow_mut();
        let at = rooms.iter().position(|one| one.room_id == room_id)?;
        Some(rooms.swap_remove(at).index)
    }

    fn moved_to(&self, room_id: RoomId, index: usize) {
        let mut rooms = self.rooms.borrow_mut();
        if let Some(joined) = rooms.iter_mut().find(|one| one.room_id == room_id) {
            joined.index = index;
        }
    }
}
