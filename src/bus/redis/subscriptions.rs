//! What is subscribed to on one server: what there should be, and what there is.

use std::collections::{HashSet, VecDeque};

use crate::protocol::id::RoomId;

/// The rooms of one connection.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// What there should be.
    wanted: HashSet<RoomId>,
    /// What the server has confirmed.
    held: HashSet<RoomId>,
    /// Rooms that are to be looked at, in the order in which they changed.
    changed: VecDeque<RoomId>,
    /// The same rooms, so that none is there twice.
    is_changed: HashSet<RoomId>,
}

/// What to ask the server for next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) subscribe: Vec<RoomId>,
    pub(super) unsubscribe: Vec<RoomId>,
}

impl Step {
    pub(super) fn is_empty(&self) -> bool {
        self.subscribe.is_empty() && self.unsubscribe.is_empty()
    }
}

impl Subscriptions {
    /// This room is wanted, or no longer.
    pub(super) fn set(&mut self, room: RoomId, is_wanted: bool) {
        let is_news = if is_wanted {
            self.wanted.insert(room)
        } else {
            self.wanted.remove(&room)
        };
        if is_news {
            self.mark(room);
        }
    }

    /// These rooms are wanted, and no others.
    pub(super) fn replace(&mut self, rooms: HashSet<RoomId>) {
        let before = std::mem::replace(&mut self.wanted, rooms);
        let changed: Vec<_> = before.symmetric_difference(&self.wanted).copied().collect();
        for room in changed {
            self.mark(room);
        }
    }

    /// There is a new connection, which has nothing.
    pub(super) fn begin(&mut self) {
        self.held.clear();
        self.is_changed.clone_from(&self.wanted);
        self.changed = self.wanted.iter().copied().collect();
    }

    /// What to ask for next, at most `max` rooms; nothing if all is as it should be.
    pub(super) fn next(&mut self, max: usize) -> Step {
        let mut step = Step::default();
        while step.subscribe.len() + step.unsubscribe.len() < max {
            let Some(room) = self.changed.pop_front() else {
                break;
            };
            self.is_changed.remove(&room);
            match (self.wanted.contains(&room), self.held.contains(&room)) {
                (true, false) => step.subscribe.push(room),
                (false, true) => step.unsubscribe.push(room),
                // It came and went, or went and came, before anybody was asked.
                _ => {}
            }
        }
        step
    }

    /// The server has done it.
    pub(super) fn done(&mut self, step: &Step) {
        self.held.extend(&step.subscribe);
        for room in &step.unsubscribe {
            self.held.remove(room);
        }
        // What changed while it was on its way is marked anyway.
    }

    fn mark(&mut self, room: RoomId) {
        if self.is_changed.insert(room) {
            self.changed.push_back(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settle(subscriptions: &mut Subscriptions, max: usize) {
        loop {
            let step = subscriptions.next(max);
            if step.is_empty() {
                break;
            }
            assert!(step.subscribe.len() + step.unsubscribe.len() <= max);
            subscriptions.done(&step);
        }
        assert_eq!(subscriptions.held, subscriptions.wanted);
    }

    #[test]
    fn a_room_that_changes_while_it_is_asked_for_ends_right() {
        let room = RoomId::generate();
        let mut subscriptions = Subscriptions::default();
        subscriptions.set(room, true);
        let step = subscriptions.next(9);
        assert_eq!(step.subscribe, [room]);
        subscriptions.set(room, false);
        subscriptions.done(&step);
        let step = subscriptions.next(9);
        assert_eq!(step.unsubscribe, [room]);
        subscriptions.set(room, true);
        subscriptions.done(&step);
        assert_eq!(subscriptions.next(9).subscribe, [room]);
    }

    #[test]
    fn a_new_connection_is_given_everything_in_parts() {
        let rooms: Vec<_> = std::iter::repeat_with(RoomId::generate)
            .take(1300)
            .collect();
        let mut subscriptions = Subscriptions::default();
        for room in &rooms {
            subscriptions.set(*room, true);
        }
        settle(&mut subscriptions, 512);
        subscriptions.begin();
        let sizes = std::iter::repeat_with(|| {
            let step = subscriptions.next(512);
            subscriptions.done(&step);
            step.subscribe.len()
        });
        assert_eq!(sizes.take(4).collect::<Vec<_>>(), [512, 512, 276, 0]);
    }

    proptest! {
        #[test]
        fn whatever_happens_in_between_the_end_is_right(
            steps in proptest::collection::vec((0..8usize, 0..6usize), 0..80),
            max in 1..4usize,
        ) {
            let rooms: Vec<_> = std::iter::repeat_with(RoomId::generate).take(8).collect();
            let mut subscriptions = Subscriptions::default();
            let mut asked = None;
            for (room, action) in steps {
                match action {
                    0 | 1 => subscriptions.set(rooms[room], true),
                    2 => subscriptions.set(rooms[room], false),
                    3 => subscriptions.replace(rooms[room..].iter().copied().collect()),
                    4 => {
                        subscriptions.begin();
                        asked = None;
                    }
                    _ => match asked.take() {
                        None => asked = Some(subscriptions.next(max)),
                        Some(step) => subscriptions.done(&step),
                    },
                }
            }
            if let Some(step) = asked {
                subscriptions.done(&step);
            }
            settle(&mut subscriptions, max);
        }
    }
}
