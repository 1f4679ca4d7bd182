//! Who is in which room, by how many connections, and what has changed. Pure.

use std::collections::{HashMap, HashSet};

use crate::protocol::id::{RoomId, UserId};

/// What changed in a room since the last diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) room_id: RoomId,
    /// Who is here now and was not.
    pub(crate) joins: Vec<UserId>,
    /// Who was here and is not any more.
    pub(crate) leaves: Vec<UserId>,
    /// How many are here.
    pub(crate) count: u64,
    /// What was told before does not count: `joins` is everybody who is here.
    pub(crate) is_whole: bool,
}

/// The state of a presence shard.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// For each user the connections in the room. A departure may overtake its arrival when a
    /// mailbox is full: the count is then below zero for a moment.
    rooms: HashMap<RoomId, HashMap<UserId, isize>>,
    /// For each room the users that came or went since the last diff, and whether they were here
    /// then: who comes and goes in between is not in the diff.
    changed: HashMap<RoomId, HashMap<UserId, bool>>,
    /// Rooms that are told everybody next, instead of what changed.
    whole: HashSet<RoomId>,
}

impl Tracker {
    /// So many connections of a user are in a room, as is found out now.
    pub(crate) fn announce(&mut self, room: RoomId, user: UserId, connections: usize) {
        let connections = isize::try_from(connections).unwrap_or(isize::MAX);
        self.count(room, user, connections);
        self.tell_whole(room);
    }

    /// The room may not know who is here: the next diff is everybody.
    pub(crate) fn tell_whole(&mut self, room: RoomId) {
        if self.rooms.contains_key(&room) {
            self.whole.insert(room);
        }
    }

    /// A connection of a user has come into a room.
    pub(crate) fn arrive(&mut self, room: RoomId, user: UserId) {
        self.count(room, user, 1);
    }

    /// A connection of a user has gone from a room.
    pub(crate) fn depart(&mut self, room: RoomId, user: UserId) {
        self.count(room, user, -1);
    }

    fn count(&mut self, room: RoomId, user: UserId, change: isize) {
        let users = self.rooms.entry(room).or_default();
        let connections = users.entry(user).or_default();
        let was_here = *connections > 0;
        *connections += change;
        let is_here = *connections > 0;
        if *connections == 0 {
            users.remove(&user);
        }
        if users.is_empty() {
            self.rooms.remove(&room);
        }
        if was_here != is_here {
            self.note(room, user, was_here);
        }
    }

    fn note(&mut self, room: RoomId, user: UserId, was_here: bool) {
        let changed = self.changed.entry(room).or_default();
        changed.entry(user).or_insert(was_here);
    }

    /// Whether there is something to tell.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed.is_empty() || !self.whole.is_empty()
    }

    /// Takes what has changed.
    pub(crate) fn take_diffs(&mut self) -> Vec<Diff> {
        let mut changed = std::mem::take(&mut self.changed);
        let whole = std::mem::take(&mut self.whole);
        let mut diffs = Vec::with_capacity(changed.len() + whole.len());
        for room_id in whole {
            changed.remove(&room_id);
            diffs.push(self.everybody(room_id));
        }
        let changed = changed.into_iter().filter_map(|(room_id, users)| {
            let here = self.rooms.get(&room_id);
            let is_here = |user: &UserId| here.is_some_and(|here| here.get(user) > Some(&0));
            let (mut joins, mut leaves) = (Vec::new(), Vec::new());
            for (user, was_here) in users {
                match (was_here, is_here(&user)) {
                    (false, true) => joins.push(user),
                    (true, false) => leaves.push(user),
                    _ => {}
                }
            }
            let count = here.map_or(0, present);
            let is_empty = joins.is_empty() && leaves.is_empty();
            (!is_empty).then_some(Diff {
                room_id,
                joins,
                leaves,
                count,
                is_whole: false,
            })
        });
        diffs.extend(changed);
        diffs
    }

    fn everybody(&self, room_id: RoomId) -> Diff {
        let (count, joins) = self.who(room_id, usize::MAX);
        Diff {
            room_id,
            joins,
            leaves: Vec::new(),
            count,
            is_whole: true,
        }
    }

    /// How many are in a room, and up to `max` of them.
    pub(crate) fn who(&self, room: RoomId, max: usize) -> (u64, Vec<UserId>) {
        let Some(users) = self.rooms.get(&room) else {
            return (0, Vec::new());
        };
        let here = users.iter().filter(|(_, connections)| **connections > 0);
        let mut some: Vec<_> = here.map(|(user, _)| *user).take(max).collect();
        some.sort_unstable();
        (present(users), some)
    }
}

/// How many are here.
fn present(users: &HashMap<UserId, isize>) -> u64 {
    users
        .values()
        .filter(|connections| **connections > 0)
        .count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn several_devices_are_one_user() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let mut tracker = Tracker::default();
        tracker.arrive(room, user);
        tracker.arrive(room, user);
        assert_eq!(tracker.who(room, 10), (1, vec![user]));
        let diff = tracker.take_diffs().remove(0);
        assert_eq!(
            (diff.joins, diff.leaves, diff.count),
            (vec![user], vec![], 1)
        );
        tracker.depart(room, user);
        assert!(!tracker.has_changes());
        tracker.depart(room, user);
        let diff = tracker.take_diffs().remove(0);
        assert_eq!(
            (diff.joins, diff.leaves, diff.count),
            (vec![], vec![user], 0)
        );
        assert!(tracker.rooms.is_empty());
    }

    #[test]
    fn who_comes_and_goes_in_between_is_not_told() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let mut tracker = Tracker::default();
        tracker.arrive(room, user);
        tracker.depart(room, user);
        assert!(tracker.take_diffs().is_empty());
    }

    #[test]
    fn a_departure_that_overtakes_its_arrival_leaves_nothing() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let mut tracker = Tracker::default();
        tracker.depart(room, user);
        assert_eq!(tracker.who(room, 10), (0, vec![]));
        tracker.arrive(room, user);
        assert!(tracker.rooms.is_empty());
        assert!(!tracker.has_changes());
    }

    #[test]
    fn a_room_that_may_not_know_is_told_everybody_once() {
        let (room, other) = (RoomId::generate(), RoomId::generate());
        let [ann, bob] = [UserId::generate(), UserId::generate()];
        let mut tracker = Tracker::default();
        tracker.announce(room, ann, 2);
        tracker.arrive(room, bob);
        tracker.tell_whole(other);
        let mut diffs = tracker.take_diffs();
        let diff = diffs.remove(0);
        assert!(diffs.is_empty(), "nobody is in the other");
        let mut everybody = [ann, bob];
        everybody.sort_unstable();
        assert_eq!((diff.joins.as_slice(), diff.count), (&everybody[..], 2));
        assert!(diff.is_whole && diff.leaves.is_empty());
        tracker.depart(room, ann);
        assert!(!tracker.has_changes(), "another connection is left");
        tracker.depart(room, ann);
        let diff = tracker.take_diffs().remove(0);
        assert_eq!((diff.is_whole, diff.leaves), (false, vec![ann]));
    }

    proptest! {
        /// The law of every push: the diffs applied to the old state give the fresh one.
        #[test]
        fn diffs_applied_give_the_present_state(steps in prop::collection::vec((0u8..4, any::<bool>(), any::<bool>(), any::<bool>()), 0..80)) {
            let room = RoomId::generate();
            let users: Vec<_> = (0..4).map(|_| UserId::generate()).collect();
            let mut tracker = Tracker::default();
            let mut seen = HashSet::new();
            for (user, comes, tell, forgot) in steps {
                let user = users[usize::from(user)];
                if comes { tracker.arrive(room, user) } else { tracker.depart(room, user) }
                if forgot { tracker.tell_whole(room); }
                if tell {
                    for diff in tracker.take_diffs() {
                        if diff.is_whole { seen.clear(); }
                        for join in diff.joins { prop_assert!(seen.insert(join)); }
                        for leave in diff.leaves { prop_assert!(seen.remove(&leave)); }
                        prop_assert_eq!(diff.count, seen.len() as u64);
                    }
                    let fresh: HashSet<_> = tracker.who(room, 10).1.into_iter().collect();
                    prop_assert_eq!(&seen, &fresh);
                }
            }
        }
    }
}
