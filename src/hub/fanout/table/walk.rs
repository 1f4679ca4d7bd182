//! A room's way through its members: what came for them, and how far each has been given it. Pure.
//!
//! What comes is put down once. A hand goes round the members and gives each all that it lacks
//! then, so that a room whose events come faster than it can be walked gives more to each member
//! at a time, instead of falling behind or holding a copy for each. The walk can stop and go on
//! after any member.

use std::collections::VecDeque;

/// Room for so many entries is kept while nothing is pending: a room at rest holds next to nothing.
const ENTRIES_KEPT: usize = 8;

/// The next entry of a member that is set aside: it comes to it in no way of its own.
const SET_ASIDE: u64 = u64::MAX;

/// Members `M`, and entries `E` that they have not all been given.
#[derive(Debug)]
pub(super) struct Walk<M, E> {
    places: Vec<Place<M>>,
    entries: VecDeque<E>,
    /// The number of the first of `entries`.
    first: u64,
    /// The next place to visit.
    hand: usize,
    /// Who lacks something is among so many places from the hand on, around the end.
    left: usize,
    /// The hand has passed the end: there may be entries that everybody has.
    is_round: bool,
}

/// A member, and the number of the next entry for it.
#[derive(Debug)]
struct Place<M> {
    member: M,
    next: u64,
}

impl<M, E> Walk<M, E> {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            entries: VecDeque::new(),
            first: 0,
            hand: 0,
            left: 0,
            is_round: false,
        }
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether somebody may lack something.
    pub(super) fn is_pending(&self) -> bool {
        self.left > 0
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &M> {
        self.places.iter().map(|place| &place.member)
    }

    /// The member at a place.
    pub(super) fn member(&self, at: usize) -> Option<&M> {
        self.places.get(at).map(|place| &place.member)
    }

    /// As [`Walk::member`], to change what it is.
    pub(super) fn member_mut(&mut self, at: usize) -> Option<&mut M> {
        self.places.get_mut(at).map(|place| &mut place.member)
    }

    /// Adds a member, who gets what comes from now on. Gives its place.
    pub(super) fn join(&mut self, member: M) -> usize {
        let next = self.end();
        self.places.push(Place { member, next });
        if self.left > 0 {
            // Those that are left may go on behind the end, which has moved.
            self.left += 1;
        }
        self.places.len() - 1
    }

    /// Takes a member out. The last one takes its place.
    pub(super) fn leave(&mut self, at: usize) -> M {
        let place = self.places.swap_remove(at);
        if self.hand >= self.places.len() {
            self.hand = 0;
        }
        if self.left > 0 {
            // The last one may have come to a place that the hand has passed.
            self.left = self.places.len();
        }
        place.member
    }

    /// Something for every member.
    pub(super) fn push(&mut self, entry: E) {
        if self.places.is_empty() {
            return;
        }
        self.entries.push_back(entry);
        self.left = self.places.len();
    }

    /// The same for all but the member at this place, who must lack nothing.
    pub(super) fn push_for_others(&mut self, entry: E, at: usize) {
        self.push(entry);
        let end = self.end();
        if let Some(place) = self.places.get_mut(at) {
            debug_assert_eq!(place.next + 1, end, "it lacks something");
            place.next = end;
        }
    }

    /// The next member that lacks something, by its place. It is visited once in a round, whether
    /// it is given something or not.
    pub(super) fn visit(&mut self) -> Option<usize> {
        let end = self.end();
        while self.left > 0 {
            self.left -= 1;
            let at = self.hand;
            self.hand += 1;
            if self.hand >= self.places.len() {
                self.hand = 0;
                self.is_round = true;
            }
            if self.places.get(at).is_some_and(|place| place.next < end) {
                return Some(at);
            }
        }
        None
    }

    /// The number of the next entry for the member at a place.
    pub(super) fn next(&self, at: usize) -> u64 {
        self.places.get(at).map_or(self.end(), |place| place.next)
    }

    /// Whether the member at a place lacks something.
    pub(super) fn lacks(&self, at: usize) -> bool {
        self.next(at) < self.end()
    }

    /// The member at a place, and the next entry for it.
    pub(super) fn next_of(&self, at: usize) -> Option<(&M, &E)> {
        let place = self.places.get(at)?;
        let entry = self.entries_from(place.next).next()?;
        Some((&place.member, entry))
    }

    /// All that somebody lacks.
    pub(super) fn entries(&self) -> impl Iterator<Item = &E> {
        self.entries.iter()
    }

    /// The entries from a number on.
    pub(super) fn entries_from(&self, number: u64) -> impl Iterator<Item = &E> {
        let from = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        self.entries.range(from.min(self.entries.len())..)
    }

    /// The member at a place has been given so many of the entries that it lacks.
    pub(super) fn give(&mut self, at: usize, count: usize) {
        let end = self.end();
        if let Some(place) = self.places.get_mut(at) {
            place.next = end.min(place.next + count as u64);
            if place.next < end {
                // The rest in another round.
                self.left = self.places.len();
            }
        }
    }

    /// The member at a place gets nothing until it is taken back, and holds nothing up.
    pub(super) fn set_aside(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at) {
            place.next = SET_ASIDE;
        }
    }

    pub(super) fn is_set_aside(&self, at: usize) -> bool {
        self.places
            .get(at)
            .is_some_and(|place| place.next == SET_ASIDE)
    }

    /// Takes the member at a place back. It goes on with the first of the entries that is meant, or
    /// with what comes from now on.
    pub(super) fn take_back(&mut self, at: usize, is_meant: impl Fn(&E) -> bool) {
        let end = self.end();
        let next = (self.first..)
            .zip(&self.entries)
            .find(|(_, entry)| is_meant(entry));
        let next = next.map_or(end, |(number, _)| number);
        if let Some(place) = self.places.get_mut(at) {
            place.next = next;
            if next < end {
                self.left = self.places.len();
            }
        }
    }

    /// Takes out the entries that everybody has.
    pub(super) fn finish(&mut self, mut finished: impl FnMut(E)) {
        let until = if self.left == 0 {
            self.hand = 0;
            self.end()
        } else if std::mem::take(&mut self.is_round) {
            let places = self.places.iter();
            let least = places.map(|place| place.next).min();
            least.map_or(self.end(), |least| least.min(self.end()))
        } else {
            return;
        };
        while self.first < until {
            self.first += 1;
            self.entries.pop_front().map(&mut finished);
        }
        if self.entries.is_empty() && self.entries.capacity() > ENTRIES_KEPT {
            self.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A member that knows what it should have been given, and what it has.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Recipient {
        expected: Vec<u32>,
        given: Vec<u32>,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join,
        Leave(usize),
        Push,
        PushForOthers(usize),
        Visit(usize),
        SetAside(usize),
        TakeBack(usize),
        Finish,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Join),
            1 => any::<usize>().prop_map(Step::Leave),
            3 => Just(Step::Push),
            1 => any::<usize>().prop_map(Step::PushForOthers),
            6 => (1_usize..4).prop_map(Step::Visit),
            1 => any::<usize>().prop_map(Step::SetAside),
            1 => any::<usize>().prop_map(Step::TakeBack),
            1 => Just(Step::Finish),
        ]
    }

    type Tested = Walk<Recipient, u32>;

    fn give(walk: &mut Tested, at: usize, max: usize) {
        let lacks: Vec<u32> = walk
            .entries_from(walk.next(at))
            .take(max)
            .copied()
            .collect();
        walk.give(at, lacks.len());
        walk.places[at].member.given.extend(lacks);
    }

    /// Gives a member that was set aside, from elsewhere, what it lacks of that which nobody else does.
    fn take_back(walk: &mut Tested, at: usize) {
        if !walk.is_set_aside(at) {
            return;
        }
        let first = walk.entries.front().copied().unwrap_or(u32::MAX);
        let Recipient { expected, given } = &mut walk.places[at].member;
        let missed = expected[given.len()..].iter().copied();
        given.extend(missed.take_while(|entry| *entry < first));
        let next = expected.get(given.len()).copied();
        walk.take_back(at, |entry| Some(*entry) == next);
    }

    fn expect(walk: &mut Tested, entry: u32, but: Option<usize>) {
        for (at, place) in walk.places.iter_mut().enumerate() {
            if Some(at) != but {
                place.member.expected.push(entry);
            }
        }
    }

    proptest! {
        #[test]
        fn whoever_is_a_member_gets_everything_once_and_in_order(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut walk = Tested::new();
            let mut entry = 0;
            for step in steps {
                match step {
                    Step::SetAside(at) if !walk.is_empty() => {
                        walk.set_aside(at % walk.len());
                    }
                    Step::TakeBack(at) if !walk.is_empty() => {
                        let at = at % walk.len();
                        take_back(&mut walk, at);
                    }
                    Step::Join => {
                        walk.join(Recipient::default());
                    }
                    Step::Leave(at) if !walk.is_empty() => {
                        let at = at % walk.len();
                        take_back(&mut walk, at);
                        give(&mut walk, at, usize::MAX);
                        let left = walk.leave(at);
                        prop_assert_eq!(left.given, left.expected);
                    }
                    Step::Push => {
                        entry += 1;
                        walk.push(entry);
                        expect(&mut walk, entry, None);
                    }
                    Step::PushForOthers(at) if !walk.is_empty() => {
                        entry += 1;
                        let at = at % walk.len();
                        take_back(&mut walk, at);
                        give(&mut walk, at, usize::MAX);
                        walk.push_for_others(entry, at);
                        expect(&mut walk, entry, Some(at));
                    }
                    Step::Visit(max) => {
                        if let Some(at) = walk.visit() {
                            give(&mut walk, at, max);
                        }
                    }
                    Step::Leave(_)
                    | Step::PushForOthers(_)
                    | Step::SetAside(_)
                    | Step::TakeBack(_) => {}
                    Step::Finish => walk.finish(drop),
                }
            }
            for at in 0..walk.len() {
                take_back(&mut walk, at);
            }
            while let Some(at) = walk.visit() {
                give(&mut walk, at, 2);
            }
            for member in walk.members() {
                prop_assert_eq!(&member.given, &member.expected);
            }
            walk.finish(drop);
            prop_assert!(walk.entries.is_empty());
        }
    }

    #[test]
    fn a_member_gets_all_that_came_meanwhile_in_one_visit() {
        let mut walk = Tested::new();
        for _ in 0..3 {
            walk.join(Recipient::default());
        }
        walk.push(1);
        let first = walk.visit().unwrap();
        give(&mut walk, first, usize::MAX);
        walk.push(2);
        walk.push(3);
        let mut visits = 0;
        while let Some(at) = walk.visit() {
            give(&mut walk, at, usize::MAX);
            visits += 1;
        }
        assert_eq!(visits, 3, "the first once more, the others once");
        assert!(!walk.is_pending());
    }

    #[test]
    fn what_everybody_has_is_let_go_while_the_walk_goes_on() {
        let mut walk = Tested::new();
        walk.join(Recipient::default());
        walk.join(Recipient::default());
        for entry in 0..100 {
            walk.push(entry);
            let at = walk.visit().unwrap();
            give(&mut walk, at, usize::MAX);
            walk.finish(drop);
            assert!(walk.is_pending());
            assert!(walk.entries.len() <= 2);
        }
    }
}
