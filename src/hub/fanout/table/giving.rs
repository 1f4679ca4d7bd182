//! Giving a room's members what has come for them, and writing.
//!
//! Nothing is put into an outbox whose socket takes it at once: all that a member lacks is one
//! [`Batch`](crate::hub::connection::outbox::Batch), made once for all who lack the same, and one `write`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batches::Batches;
use super::room::{Entry, LocalRoom, Stage};
use super::{Attachment, ConnectionKey, Flow, RoomKey, TURN_UNITS, Table, Turn};
use crate::hub::connection::outbox::{BATCH_MAX_BYTES, Class, Outbox, Parts, Tally};
use crate::hub::encoded::{Encoded, SharedEvent, SharedPush};
use crate::hub::metrics::EPHEMERAL_DROPPED;
use crate::protocol::cursor::Position;
use crate::protocol::id::RoomId;

/// So many bytes cost as much as another write.
const UNIT_BYTES: usize = 16 * 1024;

/// What comes of a pass.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// Connections whose sockets take no more, or that are closing.
    pub(crate) to_look_after: Vec<Rc<Attachment>>,
    /// Rooms that had too much pending for an event and have no longer.
    pub(crate) short: Vec<RoomId>,
    /// Something is left for another pass.
    pub(crate) is_left: bool,
    tally: Tally,
}

/// Rooms that wait for what else may come, by when they wait no more.
#[derive(Debug, Default)]
pub(super) struct Gathering(VecDeque<(Instant, RoomKey)>);

impl Table {
    /// Takes an event for everyone in its room, if it is the next one.
    pub(crate) fn deliver(&mut self, event: &Arc<SharedEvent>) -> Turn {
        let Some(&key) = self.ids.get(&event.event.room_id) else {
            return Turn::Nobody;
        };
        let room = &mut self.rooms[key];
        let turn = room.turn(event.event.epoch, event.event.seq);
        if turn != Turn::Next {
            return turn;
        }
        let entry = Entry::Event(Arc::clone(event));
        if room.is_short || !room.has_room(&entry, &self.limits) {
            room.is_short = true;
            return Turn::Full;
        }
        room.position = event.event.seq;
        self.put(key, entry, None);
        turn
    }

    /// Has an event given to everyone in its room but one, whether it is the next one or not.
    #[cfg(feature = "failpoints")]
    pub(crate) fn deliver_anyway(&mut self, event: &Arc<SharedEvent>, but: Option<ConnectionKey>) {
        if let Some(&key) = self.ids.get(&event.event.room_id) {
            self.put(key, Entry::Event(Arc::clone(event)), but);
        }
    }

    /// Puts what a connection lacks in a room into its outbox.
    #[cfg(feature = "failpoints")]
    pub(crate) fn catch_up_in(&mut self, attachment: &Rc<Attachment>, room_id: RoomId) {
        if let Some(&key) = self.ids.get(&room_id)
            && let Some(at) = attachment.place_in(key)
        {
            self.catch_up(key, at);
        }
    }

    /// Takes something ephemeral for everyone in a room but one.
    pub(crate) fn broadcast(&mut self, push: Arc<SharedPush>, but: Option<ConnectionKey>) {
        let Some(&key) = self.ids.get(&push.content.room_id()) else {
            return;
        };
        let entry = Entry::Push(push);
        let room = &self.rooms[key];
        // What is owed goes first.
        if !room.is_short && room.has_room(&entry, &self.limits) {
            self.put(key, entry, but);
        } else {
            EPHEMERAL_DROPPED.with_label_values(&["fanout"]).inc();
        }
    }

    fn put(&mut self, key: RoomKey, entry: Entry, but: Option<ConnectionKey>) {
        let but = but.and_then(|it| self.get(it));
        let but = but.and_then(|it| Some((it.place_in(key)?, it)));
        if let Some((at, attachment)) = &but
            && self.catch_up(key, *at)
        {
            self.mark(attachment);
        }
        // Who is set aside gets nothing ephemeral anyway.
        let but = but.filter(|(at, _)| !self.rooms[key].walk.is_set_aside(*at));
        let room = &mut self.rooms[key];
        room.pending_bytes += entry.size_bytes();
        match but {
            Some((at, _)) => room.walk.push_for_others(entry, at),
            None => room.walk.push(entry),
        }
        if room.stage != Stage::AtRest {
            return;
        }
        if !self.coalesce.is_zero()
            && let Some(begun) = room.begun
            && begun.elapsed() < self.coalesce
        {
            room.stage = Stage::Gathering;
            self.gathering.0.push_back((begun + self.coalesce, key));
            return;
        }
        self.schedule(key);
    }

    pub(super) fn schedule(&mut self, key: RoomKey) {
        let room = &mut self.rooms[key];
        room.stage = Stage::Scheduled;
        if !self.coalesce.is_zero() {
            room.begun = Some(Instant::now());
        }
        self.schedule.add(Flow::Room(key), room.walk.len());
    }

    /// Schedules the rooms that have waited long enough. Gives how long the next one waits.
    pub(crate) fn end_gathering(&mut self) -> Option<Duration> {
        while let Some((until, key)) = self.gathering.0.front().copied() {
            let wait = until.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return Some(wait);
            }
            self.gathering.0.pop_front();
            self.schedule(key);
        }
        None
    }

    /// A room has nobody in it any more.
    pub(super) fn unschedule(&mut self, key: RoomKey, stage: Stage) {
        match stage {
            Stage::AtRest => {}
            Stage::Gathering => self.gathering.0.retain(|(_, it)| *it != key),
            Stage::Scheduled => self.schedule.remove(Flow::Room(key)),
        }
    }

    /// Gives and writes what there is time for in one pass of the thread's loop.
    pub(crate) fn pass(&mut self) -> Pass {
        let mut pass = Pass::default();
        self.schedule.begin_pass();
        let mut begun = Instant::now();
        while let Some((flow, units)) = self.schedule.turn() {
            let spent = match flow {
                Flow::Room(key) => self.walk(key, units, &mut pass),
                Flow::Marked => self.write_marked(units, &mut pass),
            };
            let now = Instant::now();
            self.schedule.spent(spent, now - begun);
            begun = now;
        }
        pass.tally.tell();
        pass.is_left = !self.schedule.is_empty();
        pass
    }

    /// Goes on through a room's members. Gives what that cost.
    fn walk(&mut self, key: RoomKey, units: usize, pass: &mut Pass) -> usize {
        let mut spent = 0;
        let mut made = Batches::default();
        // Others have something for members that are in several rooms, too, and all is written at
        // once.
        let are_others_pending = !self.schedule.is_empty() || !self.gathering.0.is_empty();
        while spent < units {
            let Some(at) = self.rooms[key].walk.visit() else {
                break;
            };
            let Some(member) = self.rooms[key].walk.member(at) else {
                break;
            };
            if member.format.has_tails() {
                let attachment = Rc::clone(&member.attachment);
                spent += self.write_all(&attachment, pass);
                continue;
            }
            if are_others_pending && member.attachment.room_count() > 1 {
                let attachment = Rc::clone(&member.attachment);
                spent += self.write_all(&attachment, pass);
                continue;
            }
            let room = &mut self.rooms[key];
            let (sent, bytes, is_all) = give(room, at, &mut made, pass);
            room.walk.give(at, sent);
            if !is_all {
                self.fall_behind(key, at);
            }
            spent += 1 + bytes / UNIT_BYTES;
        }
        self.rest(key, pass);
        spent
    }

    /// After a room's turn.
    fn rest(&mut self, key: RoomKey, pass: &mut Pass) {
        let room = &mut self.rooms[key];
        room.finish();
        // What is asked for now comes while the rest is being written. Once a turn.
        if room.is_short && room.pending_bytes <= self.limits.max_bytes / 2 {
            room.is_short = false;
            pass.short.push(room.handle.id());
        }
        if room.walk.is_pending() {
            self.schedule.add(Flow::Room(key), room.walk.len());
        } else {
            room.stage = Stage::AtRest;
        }
    }

    /// Gives a connection all that it lacks in any of its rooms, and writes it at once.
    fn write_all(&mut self, attachment: &Rc<Attachment>, pass: &mut Pass) -> usize {
        let pushed = |outbox: &Outbox| outbox.taken() + outbox.queued_bytes() as u64;
        let before = pushed(&attachment.outbox);
        let mut index = 0;
        while let Some((key, at)) = attachment.place(index) {
            self.catch_up_tallied(key, at, &mut pass.tally);
            index += 1;
        }
        let bytes = pushed(&attachment.outbox).saturating_sub(before);
        attachment.outbox.flush();
        if attachment.outbox.needs_care() {
            pass.to_look_after.push(Rc::clone(attachment));
        }
        1 + usize::try_from(bytes).unwrap_or(usize::MAX) / UNIT_BYTES
    }

    /// Writes to connections that were marked.
    fn write_marked(&mut self, units: usize, pass: &mut Pass) -> usize {
        let mut spent = 0;
        while spent < units {
            let Some(attachment) = self.marked.pop_front() else {
                return spent;
            };
            attachment.unmark();
            spent += self.write_all(&attachment, pass);
        }
        if !self.marked.is_empty() {
            self.schedule.add(Flow::Marked, TURN_UNITS);
        }
        spent
    }

    /// Puts what the member at a place lacks into its outbox. False if that is nothing.
    pub(super) fn catch_up(&mut self, key: RoomKey, at: usize) -> bool {
        if !self.rooms[key].walk.lacks(at) {
            return false;
        }
        let mut tally = Tally::default();
        self.catch_up_tallied(key, at, &mut tally);
        tally.tell();
        true
    }

    fn catch_up_tallied(&mut self, key: RoomKey, at: usize, tally: &mut Tally) {
        while self.rooms[key].walk.lacks(at) {
            let room = &mut self.rooms[key];
            let Some((member, entry)) = room.walk.next_of(at) else {
                return;
            };
            let (attachment, format) = (Rc::clone(&member.attachment), member.format);
            let (encoded, class) = (entry.encoded(format), entry.class());
            if class == Class::Durable {
                let bytes = encoded.max_bytes(attachment.rooms_in_cursor());
                if !attachment.outbox.takes_event(bytes) {
                    return self.fall_behind(key, at);
                }
            }
            room.walk.give(at, 1);
            // It stands behind this one now.
            let frame = self.sealed(encoded, &attachment);
            let pushed = attachment.outbox.push_parts(frame, class);
            tally.count(pushed, class);
            // What is pending in several rooms, each within its bound, may be more than an outbox
            // holds. A compare for each frame; little is written together as ever.
            let outbox = &attachment.outbox;
            if outbox.queued_bytes() > BATCH_MAX_BYTES && !outbox.is_blocked() {
                outbox.flush();
            }
        }
    }

    /// The frame of an event for a connection that has been given it.
    pub(super) fn sealed(&self, encoded: Encoded, attachment: &Attachment) -> Parts {
        if encoded.is_open() {
            encoded.seal(&self.positions(attachment, None))
        } else {
            encoded.seal(&[])
        }
    }

    /// Where the member at a place stands.
    pub(super) fn position_at(&self, room_id: RoomId, key: RoomKey, at: usize) -> Option<Position> {
        let room = self.rooms.get(key)?;
        Some(Position {
            room_id,
            epoch: room.epoch,
            seq: room.position_of(at),
        })
    }
}

/// Gives the member at a place what it lacks, as far as it is given in one go. Says how many frames
/// and bytes that were, and whether there was room for all of them.
fn give(room: &LocalRoom, at: usize, made: &mut Batches, pass: &mut Pass) -> (usize, usize, bool) {
    let Some(member) = room.walk.member(at) else {
        return (0, 0, true);
    };
    let (format, from) = (member.format, room.walk.next(at));
    let batch = made.get(format, from, || room.batch(from, format));
    let sent = member.outbox.send(batch, &mut pass.tally);
    if sent.needs_care {
        pass.to_look_after.push(Rc::clone(&member.attachment));
    }
    (sent.frames, batch.bytes().len(), sent.frames == batch.len())
}

#[cfg(test)]
mod tests;
