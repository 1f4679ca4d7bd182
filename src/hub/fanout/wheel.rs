//! One timer wheel for all connections of a thread. Pure.
//!
//! A connection costs one key in one slot, no task and no heap node of its own. The wheel does not
//! know why a connection is due: it only says that it is time to look.

use crate::hub::connection::liveness::Second;

/// Slots of one second. What lies further ahead is looked at early and put back.
const SLOTS: u32 = 64;

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel<K> {
    slots: Vec<Vec<K>>,
    now: Second,
}

impl<K> Wheel<K> {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            now: 0,
        }
    }

    /// Has `key` come up at `at`, or earlier if that is far away; never before the next second.
    pub(super) fn schedule(&mut self, key: K, at: Second) {
        let earliest = self.now.saturating_add(1);
        let latest = self.now.saturating_add(SLOTS - 1);
        self.slots[(at.clamp(earliest, latest) % SLOTS) as usize].push(key);
    }

    /// Goes on to `now` and takes out what is due.
    pub(super) fn advance(&mut self, now: Second) -> Vec<K> {
        let mut due = Vec::new();
        let last = now.min(self.now.saturating_add(SLOTS));
        for second in self.now.saturating_add(1)..=last {
            due.append(&mut self.slots[(second % SLOTS) as usize]);
        }
        self.now = self.now.max(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_up_in_their_second() {
        let mut wheel = Wheel::new();
        wheel.schedule("a", 3);
        wheel.schedule("b", 0);
        wheel.schedule("far", 1000);
        assert_eq!(wheel.advance(1), ["b"]);
        assert!(wheel.advance(2).is_empty());
        assert_eq!(wheel.advance(3), ["a"]);
        assert_eq!(wheel.advance(63), ["far"], "early, to be put back");
    }

    #[test]
    fn a_long_stall_loses_none() {
        let mut wheel = Wheel::new();
        for at in 1..60 {
            wheel.schedule(at, at);
        }
        assert_eq!(wheel.advance(10_000).len(), 59);
        wheel.schedule(1, 10_001);
        assert_eq!(wheel.advance(10_001), [1]);
    }
}
