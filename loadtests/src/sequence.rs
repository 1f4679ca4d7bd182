//! Whether a receiver got every message of a room, once and in order.

use std::ops::Range;

/// Holes that are remembered; those beyond it count as lost whatever comes later.
const HOLES_MAX: usize = 256;

/// What a message is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Later than all before it.
    New,
    /// It was missing: a later one had come first.
    Disordered,
    /// It had come.
    Double,
}

/// The messages that one receiver got of one room.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// One past the highest number so far; nothing before the first of a receiver that came late.
    next: Option<u64>,
    /// What is missing below it, ascending.
    holes: Vec<Range<u64>>,
    /// Missing numbers that are no longer remembered.
    forgotten: u64,
    pub(crate) received: u64,
    pub(crate) doubled: u64,
    pub(crate) disordered: u64,
}

impl Sequence {
    /// Of a receiver that gets everything.
    pub(crate) fn from_start() -> Self {
        Self {
            next: Some(0),
            ..Self::default()
        }
    }

    /// Of one that comes in the middle: it begins with what it gets first.
    pub(crate) fn from_first() -> Self {
        Self::default()
    }

    /// A message came.
    pub(crate) fn see(&mut self, seq: u64) -> Seen {
        let next = self.next.unwrap_or(seq);
        if seq >= next {
            if seq > next {
                self.miss(next..seq);
            }
            self.next = Some(seq + 1);
            self.received += 1;
            return Seen::New;
        }
        let Some(at) = self.holes.iter().position(|hole| hole.contains(&seq)) else {
            self.doubled += 1;
            return Seen::Double;
        };
        let hole = self.holes.remove(at);
        let (before, after) = (hole.start..seq, seq + 1..hole.end);
        let rest = [before, after].into_iter().filter(|hole| !hole.is_empty());
        self.holes.splice(at..at, rest);
        self.received += 1;
        self.disordered += 1;
        Seen::Disordered
    }

    /// How many of the messages below `end` never came; below the highest that came, if `end` is
    /// lower.
    pub(crate) fn lost(&self, end: u64) -> u64 {
        let holes: u64 = self.holes.iter().map(|hole| hole.end - hole.start).sum();
        let rest = self.next.map_or(0, |next| end.saturating_sub(next));
        self.forgotten + holes + rest
    }

    fn miss(&mut self, hole: Range<u64>) {
        if self.holes.len() == HOLES_MAX {
            let oldest = self.holes.remove(0);
            self.forgotten += oldest.end - oldest.start;
        }
        self.holes.push(hole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: impl IntoIterator<Item = u64>) -> Sequence {
        let mut sequence = Sequence::from_start();
        for number in numbers {
            sequence.see(number);
        }
        sequence
    }

    #[test]
    fn everything_once_and_in_order_is_right() {
        let sequence = seen(0..100);
        assert_eq!(
            (
                sequence.received,
                sequence.lost(100),
                sequence.doubled,
                sequence.disordered
            ),
            (100, 0, 0, 0)
        );
    }

    #[test]
    fn losses_are_found_at_the_start_in_the_middle_and_at_the_end() {
        assert_eq!(seen([1, 2]).lost(3), 1);
        assert_eq!(seen([0, 3]).lost(4), 2);
        assert_eq!(seen([0, 1]).lost(5), 3);
        assert_eq!(seen([]).lost(5), 5);
    }

    #[test]
    fn doubles_are_found_and_are_no_deliveries() {
        let sequence = seen([0, 1, 1, 2, 0]);
        assert_eq!((sequence.received, sequence.doubled), (3, 2));
        assert_eq!(sequence.lost(3), 0);
    }

    #[test]
    fn disorder_is_told_from_loss_and_from_doubles() {
        let mut sequence = seen([0, 4]);
        assert_eq!(sequence.see(2), Seen::Disordered);
        assert_eq!(sequence.see(2), Seen::Double);
        assert_eq!(sequence.lost(5), 2);
        assert_eq!(sequence.see(1), Seen::Disordered);
        assert_eq!(sequence.see(3), Seen::Disordered);
        assert_eq!(sequence.lost(5), 0);
        assert_eq!((sequence.received, sequence.disordered), (5, 3));
    }

    #[test]
    fn who_comes_and_goes_in_the_middle_misses_only_what_lies_between() {
        let mut sequence = Sequence::from_first();
        assert_eq!(sequence.lost(0), 0);
        for number in [7, 8, 10] {
            sequence.see(number);
        }
        assert_eq!(sequence.lost(0), 1);
        assert_eq!(sequence.received, 3);
    }

    #[test]
    fn holes_beyond_the_bound_stay_lost() {
        let every_second = (0..2 * (HOLES_MAX as u64 + 10)).step_by(2);
        let end = 2 * (HOLES_MAX as u64 + 10) - 1;
        let sequence = seen(every_second);
        assert_eq!(sequence.holes.len(), HOLES_MAX);
        assert_eq!(sequence.lost(end), end - sequence.received);
    }
}
