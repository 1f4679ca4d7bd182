//! Which connections of this thread are in which rooms. Nothing in it is atomic or locked.

mod attachment;
mod mutes;
mod turns;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use jiff::Timestamp;
use slab::Slab;

pub(crate) use self::attachment::{Announcement, Attachment, JoinProgress, Joining};
use self::turns::Lack;
pub(crate) use self::turns::Turn;
use crate::hub::connection::identity::Identity;
use crate::hub::connection::liveness::Liveness;
use crate::hub::connection::outbox::{Class, Outbox, Pushed};
use crate::hub::connection::stream::StreamState;
use crate::hub::encoded::WireFormat;
use crate::hub::metrics::{DELIVERIES, EPHEMERAL_DROPPED};
use crate::hub::room::RoomHandle;
use crate::protocol::cursor::{self, CursorError, Position};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::sse;

/// A connection, as other threads name it to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionKey {
    index: usize,
    /// Tells a connection from the one that had its place before.
    generation: u32,
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
        let mut rooms = attachment.rooms.borrow_mut();
        // Most are in one room, and a vector would begin with four places.
        if rooms.is_empty() {
            rooms.reserve_exact(1);
        }
        rooms.push(Joined {
            room_id,
            index: room.connections.len(),
        });
        drop(rooms);
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
