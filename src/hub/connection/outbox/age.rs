//! How long the oldest of what waits has been waiting. Pure.
//!
//! No frame has a time of its own: now and then, and only while the socket takes nothing, it is
//! noted up to which byte the queue reaches. What the socket has not taken up to there is as old as
//! the note.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The bound is divided into so many notes.
const NOTES: u32 = 8;

/// The notes of one connection. Empty, and without memory, while nothing waits.
#[derive(Debug, Default)]
pub(super) struct Ages {
    notes: VecDeque<Note>,
}

/// By this time so many bytes had been pushed, from the connection's beginning.
#[derive(Debug, Clone, Copy)]
struct Note {
    at: Instant,
    pushed: u64,
}

impl Ages {
    /// Notes how far the queue reaches now, unless it was noted a moment ago.
    pub(super) fn note(&mut self, at: Instant, pushed: u64, max_age: Duration) {
        let is_recent = |last: &Note| at.duration_since(last.at) < max_age / NOTES;
        if !self.notes.back().is_some_and(is_recent) {
            self.notes.push_back(Note { at, pushed });
        }
    }

    /// Whether something has been waiting for longer than `max_age`, given what was taken so far.
    pub(super) fn is_overdue(&mut self, now: Instant, taken: u64, max_age: Duration) -> bool {
        while self.notes.front().is_some_and(|note| note.pushed <= taken) {
            self.notes.pop_front();
        }
        self.notes
            .front()
            .is_some_and(|oldest| now.duration_since(oldest.at) > max_age)
    }

    /// Everything has been taken.
    pub(super) fn clear(&mut self) {
        self.notes = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(8);

    #[test]
    fn what_waits_too_long_is_found() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut ages = Ages::default();
        assert!(!ages.is_overdue(at(100), 0, MAX));
        ages.note(at(0), 10, MAX);
        assert!(!ages.is_overdue(at(8), 0, MAX));
        assert!(ages.is_overdue(at(9), 0, MAX));
        assert!(ages.is_overdue(at(9), 9, MAX), "a byte of it is enough");
        assert!(!ages.is_overdue(at(9), 10, MAX));
    }

    #[test]
    fn a_queue_that_moves_is_as_old_as_its_oldest_and_the_notes_are_few() {
        let begun = Instant::now();
        let mut ages = Ages::default();
        // A byte each 10 ms, taken 5 s later.
        for tick in 0..10_000 {
            let now = begun + Duration::from_millis(10 * tick);
            ages.note(now, tick + 1, MAX);
            assert!(!ages.is_overdue(now, tick.saturating_sub(500), MAX));
            assert!(ages.notes.len() <= NOTES as usize + 1);
        }
        // And then no more.
        let end = begun + Duration::from_secs(100);
        assert!(ages.is_overdue(end + Duration::from_secs(4), 9_500, MAX));
    }
}
