//! The order in which entries are written. Pure.
//!
//! The rules that keep a room's entries in the order in which they came:
//! * an entry that cannot go into this batch keeps all later ones of its room out of it, too;
//! * a room whose head somebody else has locked is *held*: its entries go on the patient lane,
//!   later ones wait until that lane has let go of the room. That lane tries one room at a time,
//!   so that no free head is kept locked while a locked one is waited for;
//! * in a batch a room has either messages and events, or one change of a membership or of the
//!   room itself: the statements that write them run one after the other;
//! * a key is in a batch once: what comes with it a second time *follows* the first and shares
//!   its fate, without a place of its own.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

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
    appended: HashSet<RoomId>,
    changed: HashSet<RoomId>,
    keys: HashSet<(RoomId, UserId, Box<str>)>,
}

impl RoomsOfBatch {
    /// What becomes of the entry in this batch; if it joins, it counts as in it.
    fn admit(&mut self, entry: &Entry) -> Admission {
        let room = entry.room_id;
        if entry.content.is_alone() {
            let is_alone = !self.appended.contains(&room) && self.changed.insert(room);
            return if is_alone {
                Admission::Join
            } else {
                Admission::Wait
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
    use super::*;
    use crate::hub::journal::entry::{Content, MemberChange, ReplyTo};
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
            Content::Membership(MemberChange::new(member_id, MembershipChange::Left)),
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
        queue.hold(vec![message(held, user, "a")], Instant::now());
        assert_eq!(keys(&queue.next_batch().entries), ["c"]);
        assert_eq!(keys(&queue.next_patient().unwrap().entries), ["a"]);
        assert!(
            queue.next_batch().entries.is_empty(),
            "still held by the lane"
        );
        queue.release(held);
        assert_eq!(keys(&queue.next_batch().entries), ["b"]);
    }

    #[test]
    fn held_rooms_are_tried_one_after_the_other_until_they_are_free() {
        let (one, other, user) = (RoomId::generate(), RoomId::generate(), UserId::generate());
        let mut queue = queue(vec![message(one, user, "later")]);
        let since = Instant::now();
        let entries = ["a", "b", "c"].map(|key| {
            let room = if key == "b" { other } else { one };
            message(room, user, key)
        });
        queue.hold(entries.into(), since);
        let first = queue.next_patient().unwrap();
        assert_eq!(keys(&first.entries), ["a", "c"]);
        queue.hold(first.entries, first.since);
        queue.release(one);
        assert!(
            queue.next_batch().entries.is_empty(),
            "locked again, so still held"
        );
        assert_eq!(keys(&queue.next_patient().unwrap().entries), ["b"]);
        let again = queue.next_patient().unwrap();
        assert_eq!((keys(&again.entries), again.since), (vec!["a", "c"], since));
        queue.release(one);
        assert_eq!(keys(&queue.next_batch().entries), ["later"]);
    }

    #[test]
    fn everything_can_be_taken_out_of_both_lanes() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let mut queue = queue(vec![message(room, user, "b")]);
        queue.hold(vec![message(room, user, "a")], Instant::now());
        assert_eq!(queue.len(), 2);
        assert_eq!(keys(&queue.take_all()), ["a", "b"]);
        queue.push(message(room, user, "c"));
        assert_eq!(keys(&queue.next_batch().entries), ["c"]);
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
