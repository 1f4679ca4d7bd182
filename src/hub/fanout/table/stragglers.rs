//! Members whose outboxes are full. They get nothing of what the room is given until their sockets
//! have taken what waits; then what they lack comes out of the room's memory or log, until they are
//! among the others again. So nobody who reads is closed for a burst, and nobody else waits.
//!
//! Who takes nothing meanwhile, or does not catch up in time, reads too slowly and is closed.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::room::{Entry, LocalRoom, Stage};
use super::{Attachment, ConnectionKey, RoomKey, Table};
use crate::hub::connection::outbox::{BATCH_MAX_BYTES, Class, Outbox, Tally};
use crate::hub::encoded::SharedEvent;
use crate::hub::metrics::STRAGGLERS;
use crate::hub::room::{RoomHandle, Standing};
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;

/// What is given in one go to the stragglers of a room, bytes.
const GO_BYTES: usize = 2 * 1024 * 1024;

/// A room that does not bring what it was asked for is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Those of a room.
#[derive(Debug, Default)]
pub(super) struct Stragglers {
    members: HashMap<ConnectionKey, Straggler>,
    /// What follows an event was asked for.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Straggler {
    /// The last event that it was given.
    position: Seq,
    since: Instant,
    /// What its outbox had got rid of, bytes, and when it was last seen to have got rid of more.
    taken: u64,
    moved: Instant,
}

impl Straggler {
    fn new(position: Seq, outbox: &Outbox) -> Self {
        let now = Instant::now();
        Self {
            position,
            since: now,
            taken: outbox.taken(),
            moved: now,
        }
    }

    /// Whether it reads too slowly. An outbox without anything waits for us.
    fn is_overdue(&mut self, now: Instant, outbox: &Outbox) -> bool {
        let taken = outbox.taken();
        if taken != self.taken || outbox.queued_bytes() == 0 {
            self.taken = taken;
            self.moved = now;
        }
        now.duration_since(self.moved) > outbox.max_stall()
            || now.duration_since(self.since) > outbox.max_age()
    }
}

/// What a look after the stragglers comes to.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Rooms that are to say what comes after a position.
    pub(crate) asks: Vec<(RoomHandle, Standing)>,
    /// Connections that read too slowly.
    pub(crate) overdue: Vec<Rc<Attachment>>,
}

impl LocalRoom {
    /// Where a member stands that is set aside.
    pub(super) fn position_of_straggler(&self, connection: ConnectionKey) -> Option<Seq> {
        let straggler = self.stragglers.as_ref()?.members.get(&connection)?;
        Some(straggler.position)
    }

    /// Whether it was one.
    pub(super) fn forget_straggler(&mut self, connection: ConnectionKey) -> bool {
        let Some(stragglers) = &mut self.stragglers else {
            return false;
        };
        let was_one = stragglers.members.remove(&connection).is_some();
        if stragglers.members.is_empty() {
            self.stragglers = None;
        }
        was_one
    }
}

impl Table {
    /// The member at a place has no room for the next event.
    pub(super) fn fall_behind(&mut self, key: RoomKey, at: usize) {
        let room = &mut self.rooms[key];
        let position = room.position_of(at);
        let Some(member) = room.walk.member(at) else {
            return;
        };
        let straggler = Straggler::new(position, &member.outbox);
        let connection = member.attachment.key;
        room.walk.set_aside(at);
        let stragglers = room.stragglers.get_or_insert_default();
        stragglers.members.insert(connection, straggler);
        STRAGGLERS.with_label_values(&["behind"]).inc();
        let room_id = room.handle.id();
        if !self.straggling.contains(&room_id) {
            self.straggling.push(room_id);
        }
    }

    /// Whether there are any.
    pub(crate) fn has_stragglers(&self) -> bool {
        !self.straggling.is_empty()
    }

    /// Looks which of them have room, and which read too slowly.
    pub(crate) fn look_after_stragglers(&mut self) -> Look {
        let mut look = Look::default();
        let now = Instant::now();
        let Self {
            straggling,
            rooms,
            ids,
            connections,
            ..
        } = self;
        straggling.retain(|room_id| {
            let room = ids.get(room_id).and_then(|key| rooms.get_mut(*key));
            let Some(room) = room else { return false };
            let Some(stragglers) = &mut room.stragglers else {
                return false;
            };
            let mut least: Option<Seq> = None;
            for (connection, straggler) in &mut stragglers.members {
                let attachment = connections.get(connection.index);
                let Some(attachment) = attachment.filter(|it| it.key == *connection) else {
                    continue;
                };
                let outbox = &attachment.outbox;
                if outbox.is_over() {
                    continue;
                }
                if straggler.is_overdue(now, outbox) {
                    look.overdue.push(Rc::clone(attachment));
                } else if outbox.has_room(BATCH_MAX_BYTES) {
                    let position = straggler.position;
                    least = Some(least.map_or(position, |least| least.min(position)));
                }
            }
            let is_asked = stragglers.asked.is_some_and(|at| now - at < ASK_AGAIN);
            if let Some(position) = least.filter(|_| !is_asked) {
                stragglers.asked = Some(now);
                let epoch = room.epoch;
                look.asks
                    .push((room.handle.clone(), Standing { epoch, position }));
            }
            true
        });
        look
    }

    /// Those of a room.
    pub(crate) fn stragglers_of(&self, room_id: RoomId) -> Vec<Rc<Attachment>> {
        let stragglers = self
            .local(room_id)
            .and_then(|room| room.stragglers.as_ref());
        let keys = stragglers.into_iter().flat_map(|it| it.members.keys());
        keys.filter_map(|key| self.get(*key)).collect()
    }

    /// Gives a room's stragglers what they lack of these events, as far as they have room. Says who
    /// needs to be looked after.
    pub(crate) fn bring_up(
        &mut self,
        room_id: RoomId,
        events: &[Arc<SharedEvent>],
    ) -> Vec<Rc<Attachment>> {
        let Some(&key) = self.ids.get(&room_id) else {
            return Vec::new();
        };
        if let Some(stragglers) = &mut self.rooms[key].stragglers {
            stragglers.asked = None;
        }
        let mut to_look_after = Vec::new();
        let mut tally = Tally::default();
        let mut given = 0;
        for attachment in self.stragglers_of(room_id) {
            if given >= GO_BYTES {
                // The next look finds the others.
                break;
            }
            given += self.bring_up_one(key, &attachment, events, &mut tally);
            self.take_back(key, &attachment);
            attachment.outbox.flush();
            if attachment.outbox.needs_care() {
                to_look_after.push(attachment);
            }
        }
        tally.tell();
        if self.rooms[key].walk.is_pending() && self.rooms[key].stage == Stage::AtRest {
            self.schedule(key);
        }
        to_look_after
    }

    fn bring_up_one(
        &mut self,
        key: RoomKey,
        attachment: &Rc<Attachment>,
        events: &[Arc<SharedEvent>],
        tally: &mut Tally,
    ) -> usize {
        let (outbox, format) = (&attachment.outbox, attachment.format.get());
        let mut given = 0;
        loop {
            let room = &mut self.rooms[key];
            let epoch = room.epoch;
            let stragglers = room.stragglers.as_mut();
            let straggler = stragglers.and_then(|it| it.members.get_mut(&attachment.key));
            let Some(straggler) = straggler else {
                return given;
            };
            let next = straggler.position + 1;
            let first = events.first().map_or(next, |event| event.event.seq);
            let index = next.checked_sub(first).and_then(|it| it.try_into().ok());
            let event = index.and_then(|index: usize| events.get(index));
            let Some(event) = event.filter(|it| it.event.seq == next && it.event.epoch == epoch)
            else {
                return given;
            };
            let encoded = event.encoded(format);
            let bytes = encoded.max_bytes(attachment.rooms_in_cursor());
            if !outbox.has_room(bytes) || outbox.is_over() {
                return given;
            }
            straggler.position = next;
            let frame = self.sealed(encoded, attachment);
            let pushed = outbox.push_parts(frame, Class::Durable);
            tally.count(pushed, Class::Durable);
            given += bytes;
            if outbox.queued_bytes() > BATCH_MAX_BYTES && !outbox.is_blocked() {
                outbox.flush();
            }
        }
    }

    /// Puts a straggler among the others again if what follows for it comes to them, too.
    fn take_back(&mut self, key: RoomKey, attachment: &Attachment) {
        let room = &mut self.rooms[key];
        let Some((at, position)) = attachment
            .place_in(key)
            .zip(room.position_of_straggler(attachment.key))
        else {
            return;
        };
        let is_next = |entry: &Entry| match entry {
            Entry::Event(event) => event.event.seq == position + 1,
            Entry::Push(_) => false,
        };
        if position >= room.position || room.walk.entries().any(is_next) {
            room.walk.take_back(at, is_next);
            room.forget_straggler(attachment.key);
            STRAGGLERS.with_label_values(&["caught_up"]).inc();
        }
    }
}
