//! The order in which entries are written. Pure.
//!
//! The rules that keep a room's entries in the order in which they came:
//! * an entry that cannot go into this batch keeps all later ones of its room out of it, too;
//! * a room whose head somebody else has locked is *held*: its entries go on the patient lane,
//!   later ones wait until that lane has let go of the room. That lane tries one room at a time,
//!   so that no free head is kept locked while a locked one is waited for;
//! * in a batch a room has either messages and events, or changes of messages that do not touch each
//!   other, or one membership change: the statements that write them run one after the other, and
//!   each sees only what was before it;
//! * a key is in a batch once: the same thing that comes with it a second time *follows* the first
//!   and shares its fate, without a place of its own. Something else under the key is a mistake of
//!   its sender, and waits for the next batch to be told so.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::entry::{Content, Entry};
use crate::protocol::command::MessageChange;
use crate::protocol::id::{EventId, RoomId, UserId};

/// Bounds of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// Entries.
    pub(super) max_events: usize,
    /// Bytes, by [`Entry::size_bytes`]; one entry always fits.
    pub(super) max_bytes: usize,
}

/// What goes to Postgres in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// Entries with a key that one of `entries` has.
    pub(super) followers: Vec<Entry>,
}

/// The entries of one writer that are not on their way to Postgres yet.
#[derive(Debug)]
pub(super) struct Queue {
    limits: BatchLimits,
    waiting: VecDeque<Entry>,
    /// What the patient lane tries next, and after it.
    patient: VecDeque<Held>,
    /// The rooms of the patient lane: of `patient` and of the batch that it is writing.
    held: HashSet<RoomId>,
}

/// A room's entries on the patient lane.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) room: RoomId,
    /// When the head was found locked first.
    pub(super) since: Instant,
    pub(super) entries: Vec<Entry>,
}

impl Queue {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            patient: VecDeque::new(),
            held: HashSet::new(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        let patient = self.patient.iter().map(|held| held.entries.len());
        self.waiting.len() + patient.sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry at the end.
    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// Takes the next batch; empty if nothing can go now.
    pub(super) fn next_batch(&mut self) -> Batch {
        let mut batch = Vec::new();
        let mut followers = Vec::new();
        let mut bytes = 0;
        let mut rooms = RoomsOfBatch::default();
        let mut passed_over = VecDeque::new();
        let mut blocked = HashSet::new();
        while let Some(entry) = self.waiting.pop_front() {
            if batch.len() + followers.len() >= self.limits.max_events
                || (!batch.is_empty() && bytes + entry.size_bytes() > self.limits.max_bytes)
            {
                self.waiting.push_front(entry);
                break;
            }
            let room = entry.room_id;
            let is_free = !self.held.contains(&room) && !blocked.contains(&room);
            let admission = if is_free {
                rooms.admit(&entry, &batch)
            } else {
                Admission::Wait
            };
            match admission {
                Admission::Join => {
                    bytes += entry.size_bytes();
                    batch.push(entry);
                }
                Admission::Follow => followers.push(entry),
                Admission::Wait => {
                    blocked.insert(room);
                    passed_over.push_back(entry);
                }
            }
        }
        while let Some(entry) = passed_over.pop_back() {
            self.waiting.push_front(entry);
        }
        Batch {
            entries: batch,
            followers,
        }
    }

    /// Puts entries whose heads were locked on the patient lane; their rooms are held from now.
    /// `since` is when they were found locked first.
    pub(super) fn hold(&mut self, entries: Vec<Entry>, since: Instant) {
        let mut tried: Vec<Held> = Vec::new();
        for entry in entries {
            let room = entry.room_id;
            match tried.iter_mut().find(|held| held.room == room) {
                Some(held) => held.entries.push(entry),
                None => tried.push(Held {
                    room,
                    since,
                    entries: vec![entry],
                }),
            }
        }
        self.held.extend(tried.iter().map(|held| held.room));
        self.patient.extend(tried);
    }

    /// Takes the room that the patient lane tries next. It keeps the rules, because its entries
    /// were in one batch.
    pub(super) fn next_patient(&mut self) -> Option<Held> {
        self.patient.pop_front()
    }

    /// The patient lane has tried a room: unless it is on that lane again, it is free.
    pub(super) fn release(&mut self, room: RoomId) {
        if self.patient.iter().all(|held| held.room != room) {
            self.held.remove(&room);
        }
    }

    /// Takes out what the sender still has waiting in the room: an earlier publish has failed.
    pub(super) fn take_later(&mut self, room: RoomId, sender: UserId) -> Vec<Entry> {
        let is_later = |entry: &Entry| entry.room_id == room && entry.user_id == sender;
        let (later, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(is_later);
        self.waiting = rest.into();
        later
    }

    /// Takes out what waits for the patient lane.
    pub(super) fn take_patient(&mut self) -> Vec<Entry> {
        let mut all = Vec::new();
        for patient in self.patient.drain(..) {
            self.held.remove(&patient.room);
            all.extend(patient.entries);
        }
        all
    }

    /// Takes out everything. What the patient lane is writing stays held: newcomers must not
    /// overtake it.
    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        let mut all = self.take_patient();
        all.extend(self.waiting.drain(..));
        all
    }
}

/// What a batch has of each room so far.
#[derive(Default)]
struct RoomsOfBatch {
    rooms: HashMap<RoomId, Part>,
    touched: Touched,
    /// Where in the batch the entry with the key is.
    keys: HashMap<(RoomId, UserId, Box<str>), usize>,
}

/// Which statement writes a room's part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Appends,
    MessageChanges,
    /// A membership or the room itself: one change.
    Alone,
}

impl RoomsOfBatch {
    /// What becomes of the entry in this batch; if it joins, it counts as in it.
    fn admit(&mut self, entry: &Entry, batch: &[Entry]) -> Admission {
        let room = entry.room_id;
        let part = match &entry.content {
            Content::Message { .. } | Content::Custom { .. } => Part::Appends,
            Content::Change { .. } => Part::MessageChanges,
            Content::Membership(_) | Content::Room(_) => Part::Alone,
        };
        let fits = match self.rooms.get(&room) {
            None => true,
            Some(Part::Alone) => false,
            Some(other) => *other == part,
        };
        if !fits {
            return Admission::Wait;
        }
        let key = entry.content.client_id();
        let key = key.map(|client_id| (room, entry.user_id, client_id.into()));
        let first = key.as_ref().and_then(|key| self.keys.get(key));
        if let Some(first) = first.and_then(|at| batch.get(*at)) {
            let is_same = first.content.fingerprint() == entry.content.fingerprint();
            return if is_same {
                Admission::Follow
            } else {
                Admission::Wait
            };
        }
        if let Content::Change {
            message_id, change, ..
        } = &entry.content
            && !self.touched.admit(*message_id, change, entry.user_id)
        {
            return Admission::Wait;
        }
        self.keys.extend(key.map(|key| (key, batch.len())));
        self.rooms.insert(room, part);
        Admission::Join
    }
}

/// The messages that a batch changes. Either one change touches a message, or several reactions
/// do that differ in user or emoji.
#[derive(Default)]
struct Touched {
    /// Changed by anything but a reaction.
    whole: HashSet<EventId>,
    reacted: HashMap<EventId, HashSet<(UserId, Box<str>)>>,
}

impl Touched {
    fn admit(&mut self, message: EventId, change: &MessageChange, user: UserId) -> bool {
        if self.whole.contains(&message) {
            return false;
        }
        if let MessageChange::React { emoji, .. } = change {
            let reactions = self.reacted.entry(message).or_default();
            return reactions.insert((user, emoji.clone()));
        }
        !self.reacted.contains_key(&message) && self.whole.insert(message)
    }
}

/// What becomes of an entry in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Join,
    /// Its key is in the batch already.
    Follow,
    Wait,
}

#[cfg(test)]
mod tests;
