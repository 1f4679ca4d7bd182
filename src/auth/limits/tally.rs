//! What is counted of one key. Pure: the caller brings the time, and the script in Redis does the very
//! same ([`super::script`]).
//!
//! Who goes on and on after being refused is blocked for a while: the refusals are counted by a second
//! cell with the same quota, and when that one is full, too, the block begins.
//!
//! What several nodes have admitted at the same moment may be more than the limit. It is charged all
//! the same, and so becomes a debt, which is paid before anything more is admitted; it is bounded by
//! what drips in one more period.

use super::gcra::{Cell, Decision, Quota};

/// What holds for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How much is allowed.
    pub quota: Quota,
    /// For how long who abuses it is blocked, microseconds.
    pub block_us: u64,
}

impl Rule {
    /// The furthest that the requests' cell may lie ahead.
    const fn most_us(&self) -> u64 {
        2 * self.quota.burst_us()
    }
}

/// What was counted. All times are on one clock that never goes back, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was admitted.
    pub requests: Cell,
    /// What was refused.
    pub refusals: Cell,
    /// Until when nothing is admitted.
    pub blocked_until_us: u64,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Admitted,
    /// It does not.
    Refused {
        /// When to come again, microseconds from now.
        wait_us: u64,
    },
}

impl Tally {
    /// How long the next request would have to wait; 0: not at all.
    #[must_use]
    pub fn wait_us(&self, rule: &Rule, now_us: u64) -> u64 {
        let wait_us = match self.requests.peek(rule.quota, now_us) {
            Decision::Allowed => 0,
            Decision::Refused { retry_after_us } => retry_after_us,
        };
        wait_us.max(self.blocked_until_us.saturating_sub(now_us))
    }

    /// Counts one request.
    pub fn take(&mut self, rule: &Rule, now_us: u64) -> Verdict {
        if let Some(wait_us @ 1..) = self.blocked_until_us.checked_sub(now_us) {
            return Verdict::Refused { wait_us };
        }
        let Decision::Refused { retry_after_us } = self.requests.take(rule.quota, now_us) else {
            return Verdict::Admitted;
        };
        if self.refusals.take(rule.quota, now_us) == Decision::Allowed {
            return Verdict::Refused {
                wait_us: retry_after_us,
            };
        }
        self.blocked_until_us = now_us + rule.block_us;
        Verdict::Refused {
            wait_us: rule.block_us.max(retry_after_us),
        }
    }

    /// Counts what was decided elsewhere.
    pub fn charge(&mut self, rule: &Rule, now_us: u64, admitted: u64, refused: u64) {
        if admitted > 0 {
            let charged_us = self.requests.charged(rule.quota, now_us, admitted);
            self.requests = Cell::at(charged_us.min(now_us + rule.most_us()));
        }
        if refused > 0 && self.blocked_until_us <= now_us {
            let charged_us = self.refusals.charged(rule.quota, now_us, refused);
            if charged_us <= now_us + rule.quota.burst_us() {
                self.refusals = Cell::at(charged_us);
            } else {
                self.blocked_until_us = now_us + rule.block_us;
            }
        }
    }

    /// Forgets what cannot be: nothing of ours lies so far ahead.
    pub fn heal(&mut self, rule: &Rule, now_us: u64) {
        if self.requests.tat_us() > now_us + rule.most_us() {
            self.requests = Cell::default();
        }
        if self.refusals.tat_us() > now_us + rule.quota.burst_us() {
            self.refusals = Cell::default();
        }
        if self.blocked_until_us > now_us + rule.block_us {
            self.blocked_until_us = 0;
        }
    }

    /// Takes what another has counted, of the same key on the same clock: whichever is more.
    pub fn merge(&mut self, other: &Self) {
        let most = |ours: Cell, theirs: Cell| Cell::at(ours.tat_us().max(theirs.tat_us()));
        self.requests = most(self.requests, other.requests);
        self.refusals = most(self.refusals, other.refusals);
        self.blocked_until_us = self.blocked_until_us.max(other.blocked_until_us);
    }

    /// The same on another clock, which shows `to_us` when this one shows `from_us`. What is over by
    /// then is over there, too.
    #[must_use]
    pub fn moved(&self, from_us: u64, to_us: u64) -> Self {
        let moved = |at_us: u64| match at_us.saturating_sub(from_us) {
            0 => 0,
            ahead_us => to_us.saturating_add(ahead_us),
        };
        Self {
            requests: Cell::at(moved(self.requests.tat_us())),
            refusals: Cell::at(moved(self.refusals.tat_us())),
            blocked_until_us: moved(self.blocked_until_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: Rule = Rule {
        quota: Quota::per_minute(10),
        block_us: 300_000_000,
    };

    #[test]
    fn a_debt_is_paid_first_and_bounded() {
        let mut tally = Tally::default();
        tally.charge(&RULE, 1000, 15, 0);
        // Fifteen of ten: five and one must drip first.
        assert_eq!(tally.wait_us(&RULE, 1000), 36_000_000);
        tally.charge(&RULE, 1000, 1_000_000, 0);
        assert_eq!(tally.wait_us(&RULE, 1000), 66_000_000);
        let before = tally;
        tally.heal(&RULE, 1000);
        assert_eq!(tally, before);
    }

    #[test]
    fn refusals_of_all_nodes_together_lead_to_a_block() {
        let mut tally = Tally::default();
        tally.charge(&RULE, 0, 0, 6);
        assert_eq!(tally.wait_us(&RULE, 0), 0);
        tally.charge(&RULE, 0, 0, 5);
        assert_eq!(tally.wait_us(&RULE, 0), RULE.block_us);
        // It is not begun anew by more of them.
        tally.charge(&RULE, 5, 0, 100);
        assert_eq!(tally.blocked_until_us, RULE.block_us);
    }

    #[test]
    fn what_cannot_be_is_forgotten() {
        let mut tally = Tally {
            requests: Cell::at(u64::MAX / 4),
            refusals: Cell::at(61_000_000),
            blocked_until_us: 301_000_000,
        };
        tally.heal(&RULE, 1);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn on_another_clock_it_lies_as_far_ahead() {
        let tally = Tally {
            requests: Cell::at(1500),
            refusals: Cell::at(900),
            blocked_until_us: 1001,
        };
        let moved = tally.moved(1000, 50);
        assert_eq!(moved.requests.tat_us(), 550);
        assert_eq!(moved.refusals.tat_us(), 0);
        assert_eq!(moved.blocked_until_us, 51);
    }

    proptest! {
        /// One at a time or all together is the same, until there is a debt.
        #[test]
        fn charging_is_counting(taken in 0u64..10, now_us in 0u64..1 << 40) {
            let (mut one, mut all) = (Tally::default(), Tally::default());
            for _ in 0..taken {
                prop_assert_eq!(one.take(&RULE, now_us), Verdict::Admitted);
            }
            all.charge(&RULE, now_us, taken, 0);
            prop_assert_eq!(one, all);
        }
    }
}
