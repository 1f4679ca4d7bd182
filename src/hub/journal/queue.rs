//! The order in which entries are written. Pure.
//!
//! The rules that keep a room's entries in the order in which they came:
//! * an entry that cannot go into this batch keeps all later ones of its room out of it, too;
//! * a room whose head somebody else has locked is *held*: its entries go on the patient lane,
//!   later ones wait until that lane has let go of the room;
//! * in a batch a room has either messages and events, or one membership change: the statements
//!   that write them run one after the other;
//! * a key is in a batch once: what comes with it a second time *follows* the first and shares
//!   its fate, without a place of its own.

use std::collections::{HashSet, VecDeque};

use super::entry::Entry;
use crate::protocol::id::{RoomId, UserId};

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
    /// Entries whose rooms' heads were locked, for the patient lane.
    patient: Vec<Entry>,
    /// The rooms of the patient lane: of `patient` and of the batch that it is writing.
    held: HashSet<RoomId>,
}

impl Queue {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            patient: Vec::new(),
            held: HashSet::new(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.patient.len()
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
                rooms.admit(&entry)
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
    pub(super) fn hold(&mut self, entries: Vec<Entry>) {
        self.held.extend(entries.iter().map(|entry| entry.room_id));
        self.patient.extend(entries);
    }

    /// Takes what the patient lane writes next; empty if there is nothing. The batch keeps the
    /// rules, because its entries were a batch, or several of different rooms.
    pub(super) fn next_patient_batch(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.patient)
    }

    /// The patient lane is done with these rooms.
    pub(super) fn release(&mut self, rooms: impl IntoIterator<Item = RoomId>) {
        for room in rooms {
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
        for entry in &self.patient {
            self.held.remove(&entry.room_id);
        }
        std::mem::take(&mut self.patient)
    }

    /// Takes out everything. What the patient lane is writing stays held: newcomers must not
    /// overtake it.
    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        let mut all = self.take_patient();
        all.extend(std::mem::take(&mut self.waiting));
        all
    }
}

/// What a batch has of each room so far.
#[derive(Default)]
struct RoomsOfBatch {
    appended: HashSet<RoomId>,
    changed: HashSet<RoomId>,
    keys: HashSet<(RoomId, UserId, Box<str>)>,
}

impl RoomsOfBatch {
    /// What becomes of the entry in this batch; if it joins, it counts as in it.
    fn admit(&mut self, entry: &Entry) -> Admission {
        let room = entry.room_id;
        if entry.content.is_membership() {
            return match !self.appended.contains(&room) && self.changed.insert(room) {
                true => Admission::Join,
                false => Admission::Wait,
            };
        }
        if self.changed.contains(&room) {
            return Admission::Wait;
        }
        if let Some(client_id) = entry.content.client_id()
            && !self.keys.insert((room, entry.user_id, client_id.into()))
        {
            return Admission::Follow;
        }
        self.appended.insert(room);
        Admission::Join
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
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::hub::journal::entry::{Content, ReplyTo};
    use crate::protocol::event::MembershipChange;
    use crate::protocol::id::EventId;

    const LIMITS: BatchLimits = BatchLimits {
        max_events: 4,
        max_bytes: 10_000,
    };

    fn entry(room_id: RoomId, user_id: UserId, content: Content) -> Entry {
        Entry {
            room_id,
            user_id,
            id: EventId::generate(),
            content,
            received_at: Instant::now(),
            reply_to: ReplyTo::caller().0,
            permit: None,
        }
    }

    fn message(room: RoomId, sender: UserId, client_id: &str) -> Entry {
        entry(
            room,
            sender,
            Content::Message {
                body: "x".into(),
                client_id: client_id.into(),
            },
        )
    }

    fn leave(room: RoomId, member_id: UserId) -> Entry {
        entry(
            room,
            member_id,
            Content::Membership {
                member_id,
                change: MembershipChange::Left,
                role: None,
            },
        )
    }

    fn keys(batch: &[Entry]) -> Vec<&str> {
        batch
            .iter()
            .map(|e| e.content.client_id().unwrap_or("-"))
            .collect()
    }

    fn queue(entries: Vec<Entry>) -> Queue {
        let mut queue = Queue::new(LIMITS);
        for entry in entries {
            queue.push(entry);
        }
        queue
    }

    #[test]
    fn batches_are_bounded_and_in_order() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let mut queue = queue(
            ["a", "b", "c", "d", "e"]
                .map(|k| message(room, user, k))
                .into(),
        );
        assert_eq!(keys(&queue.next_batch().entries), ["a", "b", "c", "d"]);
        assert_eq!(keys(&queue.next_batch().entries), ["e"]);
        assert!(queue.next_batch().entries.is_empty());
        assert!(queue.is_empty());
    }

    #[test]
    fn one_entry_goes_whatever_its_size() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let big = Content::Message {
            body: "x".repeat(20_000).into(),
            client_id: "big".into(),
        };
        let mut queue = queue(vec![entry(room, user, big), message(room, user, "small")]);
        assert_eq!(keys(&queue.next_batch().entries), ["big"]);
        assert_eq!(keys(&queue.next_batch().entries), ["small"]);
    }

    #[test]
    fn a_key_is_in_a_batch_once_and_holds_nobody_up() {
        let (room, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
        let mut queue = queue(vec![
            message(room, user, "a"),
            message(room, user, "a"),
            message(room, user, "b"),
            message(other, user, "a"),
        ]);
        let batch = queue.next_batch();
        assert_eq!(keys(&batch.entries), ["a", "b", "a"]);
        assert_eq!(keys(&batch.followers), ["a"]);
        assert_eq!(batch.followers[0].room_id, room);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_membership_change_is_alone_with_its_room() {
        let (room, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
        let mut queue = queue(vec![
            message(room, user, "a"),
            leave(room, user),
            message(room, user, "b"),
            leave(other, user),
        ]);
        assert_eq!(keys(&queue.next_batch().entries), ["a", "-"]);
        assert_eq!(keys(&queue.next_batch().entries), ["-"]);
        assert_eq!(keys(&queue.next_batch().entries), ["b"]);
    }

    #[test]
    fn a_held_room_waits_and_the_others_go_on() {
        let (held, free, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
        let mut queue = queue(vec![message(held, user, "b"), message(free, user, "c")]);
        queue.hold(vec![message(held, user, "a")]);
        assert_eq!(keys(&queue.next_batch().entries), ["c"]);
        assert_eq!(keys(&queue.next_patient_batch()), ["a"]);
        assert!(
            queue.next_batch().entries.is_empty(),
            "still held by the lane"
        );
        queue.release([held]);
        assert_eq!(keys(&queue.next_batch().entries), ["b"]);
    }

    #[test]
    fn what_a_sender_has_waiting_after_a_failure_is_taken_out() {
        let (room, user, other) = (RoomId::generate(), UserId::generate(), UserId::generate());
        let mut queue = queue(vec![
            message(room, user, "a"),
            message(room, other, "b"),
            message(room, user, "c"),
        ]);
        assert_eq!(keys(&queue.take_later(room, user)), ["a", "c"]);
        assert_eq!(keys(&queue.next_batch().entries), ["b"]);
    }
}
