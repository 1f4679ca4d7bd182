//! Whose fault a stall is. Pure.

use std::collections::VecDeque;

use super::Millis;

/// So many times when the machine stood still are remembered: those of the last seconds.
const REMEMBERED: usize = 64;

/// What the watcher comes late by more often than not, milliseconds.
const USUAL: Millis = 2;

/// Knows when the machine stood still.
#[derive(Debug)]
pub(super) struct Judge {
    stall: Millis,
    /// When the watcher should have woken, and when it did.
    still: VecDeque<(Millis, Millis)>,
}

impl Judge {
    /// What takes `stall` or longer is one.
    pub(super) fn new(stall: Millis) -> Self {
        Self {
            stall,
            still: VecDeque::new(),
        }
    }

    /// The watcher has woken. Gives how long the machine stood still, if that was a stall.
    pub(super) fn woke(&mut self, planned: Millis, now: Millis) -> Option<Millis> {
        let late = now.saturating_sub(planned);
        if late > USUAL {
            if self.still.len() == REMEMBERED {
                self.still.pop_front();
            }
            self.still.push_back((planned, now));
        }
        (late >= self.stall).then_some(late)
    }

    /// How much of a time was the thread's own, if that was a stall.
    pub(super) fn stall(&self, since: Millis, until: Millis) -> Option<Millis> {
        let still: Millis = self
            .still
            .iter()
            .map(|(from, to)| (*to).min(until).saturating_sub((*from).max(since)))
            .sum();
        let own = until.saturating_sub(since).saturating_sub(still);
        (own >= self.stall).then_some(own)
    }
}

/// Lets a few of something be told in a while, and counts the others.
#[derive(Debug)]
pub(super) struct Seldom {
    max: u32,
    every: Millis,
    /// When the present while began.
    begun: Millis,
    told: u32,
    untold: u64,
}

impl Seldom {
    /// At most `max` in each `every`.
    pub(super) fn new(max: u32, every: Millis) -> Self {
        Self {
            max,
            every,
            begun: 0,
            told: 0,
            untold: 0,
        }
    }

    /// Whether to tell this one, and how many there were since the last that were not told.
    pub(super) fn tell(&mut self, now: Millis) -> Option<u64> {
        if now >= self.begun + self.every {
            self.begun = now;
            self.told = 0;
        }
        if self.told == self.max {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_blocked_alone_is_to_blame() {
        let mut judge = Judge::new(50);
        assert_eq!(judge.woke(25, 26), None);
        assert_eq!(judge.stall(0, 49), None);
        assert_eq!(judge.stall(0, 50), Some(50));
    }

    #[test]
    fn nobody_is_blamed_while_the_machine_stood_still() {
        let mut judge = Judge::new(50);
        assert_eq!(judge.woke(1025, 1100), Some(75));
        assert_eq!(judge.stall(1010, 1101), None, "16 of 91 were its own");
        assert_eq!(judge.stall(1000, 1150), Some(75), "besides, it was blocked");
        assert_eq!(judge.stall(1200, 1250), Some(50), "later");
        assert_eq!(judge.stall(900, 1025), Some(125), "before");
    }

    #[test]
    fn many_late_wake_ups_add_up_and_only_the_last_are_kept() {
        let mut judge = Judge::new(50);
        for n in 0..1000 {
            assert_eq!(judge.woke(n * 40, n * 40 + 20), None, "too short to count");
        }
        assert!(judge.still.len() <= REMEMBERED);
        assert_eq!(judge.stall(999 * 40 - 40, 999 * 40 + 40), None);
    }

    #[test]
    fn a_few_in_a_while_are_told() {
        let mut seldom = Seldom::new(2, 1000);
        let told = [5, 6, 7, 999, 1000, 1999, 2000].map(|now| seldom.tell(now));
        let expected = [Some(0), Some(0), None, None, Some(2), Some(0), Some(0)];
        assert_eq!(told, expected);
    }
}
