//! How long to leave a server alone that has failed.

use std::time::Duration;

/// The pauses between attempts: each twice as long as the one before, a random half of it, up to a
/// maximum. They are short again only after a connection that has lasted, so that a server that
/// takes connections and fails is not asked for more often than one that takes none.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            failures: 0,
        }
    }

    /// The pause after a failure of a connection that had lasted for so long; `random` is from 0
    /// to 1.
    pub(crate) fn pause(&mut self, lasted: Duration, random: f64) -> Duration {
        if lasted >= self.max {
            self.failures = 0;
        }
        let factor = 2u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let full = self.min.saturating_mul(factor).min(self.max);
        full.div_f64(2.0) + full.mul_f64(random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_grow_to_the_maximum_and_begin_anew_after_what_lasted() {
        let mut backoff = Backoff::new(50 * MS, 300 * MS);
        let mut pause = |lasted| backoff.pause(lasted, 1.0);
        assert_eq!(pause(Duration::ZERO), 50 * MS);
        assert_eq!(pause(299 * MS), 100 * MS);
        assert_eq!(pause(Duration::ZERO), 200 * MS);
        for _ in 0..100 {
            assert_eq!(pause(Duration::ZERO), 300 * MS);
        }
        assert_eq!(pause(300 * MS), 50 * MS);
    }

    #[test]
    fn half_of_a_pause_is_random() {
        let mut backoff = Backoff::new(100 * MS, 100 * MS);
        assert_eq!(backoff.pause(Duration::ZERO, 0.0), 50 * MS);
        assert_eq!(backoff.pause(Duration::ZERO, 0.5), 75 * MS);
    }
}
