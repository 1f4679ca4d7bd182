//! Which connections of this thread are in which rooms. Nothing in it is atomic or locked.

mod attachment;
mod batches;
mod giving;
mod hashing;
mod mutes;
mod room;
mod schedule;
mod stragglers;
mod turns;
mod walk;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

pub(crate) use self::attachment::{Announcement, Attachment, JoinProgress, Joining};
use self::giving::Gathering;
use self::hashing::ByRoom;
use self::room::{LocalRoom, Member};
use self::schedule::{Schedule, TURN_UNITS};
pub(crate) use self::turns::Turn;
use crate::hub::connection::identity::Identity;
use crate::hub::connection::liveness::Liveness;
use crate::hub::connection::outbox::{Outbox, OutboxLimits};
use crate::hub::connection::stream::StreamState;
use crate::hub::encoded::WireFormat;
use crate::hub::room::RoomHandle;
use crate::protocol::connection::Place;
use crate::protocol::cursor::{self, CursorError, Position};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, UserId};

/// A connection, as other threads name it to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionKey {
    index: usize,
    /// Tells a connection from the one that had its place before.
    generation: u32,
}

impl ConnectionKey {
    /// As other nodes name it; `thread` is the worker's id.
    pub(crate) fn place(self, thread: usize) -> Place {
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            thread: number(thread),
            index: number(self.index),
            generation: self.generation,
        }
    }

    /// The connection that is named so on its thread.
    pub(crate) fn from_place(place: Place) -> Self {
        Self {
            index: place.index as usize,
            generation: place.generation,
        }
    }
}

/// A room's place in the table.
type RoomKey = usize;

/// A room that a connection is in, and the connection's place in it.
#[derive(Debug, Clone, Copy)]
struct Joined {
    room_id: RoomId,
    room: RoomKey,
    at: usize,
}

/// What takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// A room that has something for its members.
    Room(RoomKey),
    /// The connections that are marked.
    Marked,
}

/// What a connection left behind: its user is no longer there by this connection, and the room's
/// actor has one subscription less.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) room: RoomHandle,
    pub(crate) user_id: Option<UserId>,
    /// It lacked events that the others have.
    pub(crate) was_behind: bool,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    connections: Slab<Rc<Attachment>>,
    generation: u32,
    rooms: Slab<LocalRoom>,
    ids: ByRoom<RoomKey>,
    /// Connections that have something of their own to be written.
    marked: VecDeque<Rc<Attachment>>,
    schedule: Schedule<Flow>,
    gathering: Gathering,
    /// Rooms with members who lack events that the others have.
    straggling: Vec<RoomId>,
    /// A room that was walked so short a time ago waits for what else may come.
    coalesce: Duration,
    limits: Rc<OutboxLimits>,
}

impl Table {
    pub(crate) fn new(limits: Rc<OutboxLimits>, coalesce: Duration) -> Self {
        Self {
            connections: Slab::new(),
            generation: 0,
            rooms: Slab::new(),
            ids: ByRoom::default(),
            marked: VecDeque::new(),
            schedule: Schedule::new(),
            gathering: Gathering::default(),
            straggling: Vec::new(),
            coalesce,
            limits,
        }
    }

    /// Gives a connection its place.
    pub(crate) fn attach(
        &mut self,
        outbox: Rc<Outbox>,
        format: WireFormat,
        address: IpAddr,
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
            format: Cell::new(format),
            is_deaf: Cell::new(false),
            mailbox: OnceCell::new(),
            address,
            identity: RefCell::new(identity),
            life: Cell::new(life),
            inflight: Cell::new(0),
            answered: RefCell::new(None),
            joining: RefCell::new(None),
            is_leaving: Cell::new(false),
            has_taken_leave: Cell::new(false),
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
        let mut departures = Vec::new();
        while let Some((key, at)) = attachment.place(0) {
            departures.push(self.take_out(attachment, key, at));
        }
        self.connections.remove(attachment.key.index);
        departures
    }

    /// What a connection is sent from now on has this form.
    pub(crate) fn set_format(&mut self, attachment: &Attachment, format: WireFormat) {
        attachment.format.set(format);
        let mut index = 0;
        while let Some((key, at)) = attachment.place(index) {
            if let Some(member) = self.rooms[key].walk.member_mut(at) {
                member.format = format;
            }
            index += 1;
        }
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
        let key = *self.ids.entry(room_id).or_insert_with(|| {
            self.rooms
                .insert(LocalRoom::new(handle.clone(), epoch, position))
        });
        let room = &mut self.rooms[key];
        // The room's actor may have been recreated since the others joined.
        room.handle = handle;
        room.epoch = epoch;
        room.position = position;
        let at = room.walk.join(Member {
            attachment: Rc::clone(attachment),
            outbox: Rc::clone(&attachment.outbox),
            format: attachment.format.get(),
        });
        let mut rooms = attachment.rooms.borrow_mut();
        // Most are in one room, and a vector would begin with four places.
        if rooms.is_empty() {
            rooms.reserve_exact(1);
        }
        rooms.push(Joined {
            room_id,
            room: key,
            at,
        });
        drop(rooms);
        attachment.resumed(room_id);
        true
    }

    /// Ends that. What it still may have is put into its outbox. None if it was not in the room.
    pub(crate) fn unsubscribe(
        &mut self,
        attachment: &Rc<Attachment>,
        room_id: RoomId,
    ) -> Option<Departure> {
        let key = *self.ids.get(&room_id)?;
        let at = attachment.place_in(key)?;
        self.catch_up(key, at);
        Some(self.take_out(attachment, key, at))
    }

    fn take_out(&mut self, attachment: &Attachment, key: RoomKey, at: usize) -> Departure {
        attachment.forget(key);
        let room = &mut self.rooms[key];
        room.walk.leave(at);
        if let Some(moved) = room.walk.member(at) {
            moved.attachment.moved_to(key, at);
        }
        let departure = Departure {
            room: room.handle.clone(),
            user_id: attachment.user_id(),
            was_behind: room.forget_straggler(attachment.key),
        };
        if room.walk.is_empty() {
            let stage = room.stage;
            self.unschedule(key, stage);
            self.rooms.remove(key);
            self.ids.remove(&departure.room.id());
        }
        departure
    }

    fn local(&self, room_id: RoomId) -> Option<&LocalRoom> {
        self.rooms.get(*self.ids.get(&room_id)?)
    }

    fn local_mut(&mut self, room_id: RoomId) -> Option<&mut LocalRoom> {
        self.rooms.get_mut(*self.ids.get(&room_id)?)
    }

    /// The last event of a room given to this thread; none if nobody here is in it.
    pub(crate) fn position(&self, room_id: RoomId) -> Option<Seq> {
        self.local(room_id).map(|room| room.position)
    }

    /// Has a connection written to soon.
    pub(crate) fn mark(&mut self, attachment: &Rc<Attachment>) {
        if !attachment.is_dirty.replace(true) {
            if self.marked.is_empty() {
                self.schedule.add(Flow::Marked, TURN_UNITS);
            }
            self.marked.push_back(Rc::clone(attachment));
        }
    }

    /// Those of a room's connections that are meant.
    pub(crate) fn in_room(
        &self,
        room_id: RoomId,
        is_meant: impl Fn(&Attachment) -> bool,
    ) -> Vec<Rc<Attachment>> {
        let members = self.local(room_id).map(|room| room.walk.members());
        let members = members.into_iter().flatten();
        let attachments = members.map(|member| &member.attachment);
        attachments.filter(|it| is_meant(it)).cloned().collect()
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
        let joined = joined
            .iter()
            .filter_map(|joined| self.position_at(joined.room_id, joined.room, joined.at));
        let is_other =
            |position: &Position| besides.is_none_or(|besides| besides.room_id != position.room_id);
        let others = joined.chain(resuming.iter().copied()).filter(is_other);
        others.chain(besides).collect()
    }

    /// The room's actor, if a connection of this thread is in the room.
    pub(crate) fn room(&self, room_id: RoomId) -> Option<&RoomHandle> {
        self.local(room_id).map(|room| &room.handle)
    }
}
