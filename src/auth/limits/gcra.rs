//! The generic cell rate algorithm, pure: the caller brings the time.
//!
//! A cell holds one number, the theoretical arrival time (TAT): when the next request would come
//! if all came evenly. A request is refused if it comes so early that the TAT would lie more
//! than a whole period ahead. Unlike a fixed window it has no edge at which twice the limit
//! passes, and unlike a list of times it costs eight bytes.

/// The period in which a quota's limit counts, microseconds.
const PERIOD_US: u64 = 60_000_000;

/// How much is allowed: `limit` requests a minute, all at once if one likes (burst = limit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    limit: u32,
    /// What one request moves the TAT by.
    emission_us: u64,
}

impl Quota {
    /// So many requests a minute; 0 counts as 1, because a limit that lets nothing through is a
    /// mistake that should not lock everybody out.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        let limit = if limit == 0 { 1 } else { limit };
        Self {
            limit,
            emission_us: PERIOD_US / limit as u64,
        }
    }

    /// What one request moves the time by, microseconds.
    #[must_use]
    pub const fn emission_us(self) -> u64 {
        self.emission_us
    }

    /// What all that may come at once moves it by, microseconds.
    #[must_use]
    pub const fn burst_us(self) -> u64 {
        self.emission_us * self.limit as u64
    }

    /// Requests a minute.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit
    }
}

/// The state of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    tat_us: u64,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not, and it has cost nothing.
    Refused {
        /// When one would be allowed, microseconds from now.
        retry_after_us: u64,
    },
}

impl Cell {
    /// One whose theoretical arrival time is this.
    #[must_use]
    pub const fn at(tat_us: u64) -> Self {
        Self { tat_us }
    }

    /// The theoretical arrival time.
    #[must_use]
    pub const fn tat_us(self) -> u64 {
        self.tat_us
    }

    /// Where it would lie after so many more requests, whether they were allowed or not.
    pub(super) fn charged(self, quota: Quota, now_us: u64, requests: u64) -> u64 {
        let charged_us = quota.emission_us.saturating_mul(requests);
        self.tat_us.max(now_us).saturating_add(charged_us)
    }

    /// What a request at `now_us` would get, without taking it.
    #[must_use]
    pub fn peek(self, quota: Quota, now_us: u64) -> Decision {
        let burst_us = quota.burst_us();
        let next_us = self.tat_us.max(now_us) + quota.emission_us;
        match next_us.checked_sub(now_us + burst_us) {
            None | Some(0) => Decision::Allowed,
            Some(retry_after_us) => Decision::Refused { retry_after_us },
        }
    }

    /// Takes a request at `now_us`, on a clock that never goes back.
    pub fn take(&mut self, quota: Quota, now_us: u64) -> Decision {
        let decision = self.peek(quota, now_us);
        if decision == Decision::Allowed {
            self.tat_us = self.tat_us.max(now_us) + quota.emission_us;
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowed(cell: &mut Cell, quota: Quota, now_us: u64) -> bool {
        cell.take(quota, now_us) == Decision::Allowed
    }

    #[test]
    fn the_burst_is_the_limit_and_then_it_drips() {
        let quota = Quota::per_minute(60);
        let mut cell = Cell::default();
        assert_eq!(
            (0..100).filter(|_| allowed(&mut cell, quota, 0)).count(),
            60
        );
        assert_eq!(
            cell.take(quota, 0),
            Decision::Refused {
                retry_after_us: 1_000_000
            }
        );
        assert!(!allowed(&mut cell, quota, 999_999));
        assert!(allowed(&mut cell, quota, 1_000_000));
        assert!(!allowed(&mut cell, quota, 1_000_000));
    }

    #[test]
    fn after_a_minute_of_silence_all_is_there_again() {
        let quota = Quota::per_minute(7);
        let mut cell = Cell::default();
        for start_us in [0, PERIOD_US, 5 * PERIOD_US] {
            let passed = (0..20).filter(|_| allowed(&mut cell, quota, start_us));
            assert_eq!(passed.count(), 7);
        }
    }

    #[test]
    fn zero_counts_as_one() {
        let mut cell = Cell::default();
        assert!(allowed(&mut cell, Quota::per_minute(0), 5));
        assert!(!allowed(&mut cell, Quota::per_minute(0), 6));
    }

    proptest! {
        /// In any stretch of time no more passes than the burst and what drips meanwhile.
        #[test]
        fn never_more_than_burst_and_drip(
            limit in 1u32..200,
            gaps in prop::collection::vec(0u64..3_000_000, 1..400),
        ) {
            let quota = Quota::per_minute(limit);
            let mut cell = Cell::default();
            let (mut now_us, mut passed) = (0u64, Vec::new());
            for gap in gaps {
                now_us += gap;
                if allowed(&mut cell, quota, now_us) {
                    passed.push(now_us);
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    let dripped = (last - first) / quota.emission_us;
                    prop_assert!((j - i + 1) as u64 <= u64::from(limit) + dripped);
                }
            }
        }

        /// Who waits as long as was told gets through.
        #[test]
        fn retry_after_is_exact(limit in 1u32..5000, taken in 0usize..6000, now_us in 0u64..1u64 << 50) {
            let quota = Quota::per_minute(limit);
            let mut cell = Cell::default();
            for _ in 0..taken {
                let _ = cell.take(quota, now_us);
            }
            if let Decision::Refused { retry_after_us } = cell.peek(quota, now_us) {
                prop_assert!(cell.peek(quota, now_us + retry_after_us - 1) != Decision::Allowed);
                prop_assert_eq!(cell.peek(quota, now_us + retry_after_us), Decision::Allowed);
            }
        }
    }
}
