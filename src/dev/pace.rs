//! When to start again what has died: soon, and later and later if it dies again and again. Pure.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);

/// And the longest.
const LONGEST: Duration = Duration::from_secs(5);

/// What lived for so long is not dying again and again.
const SOUND: Duration = Duration::from_secs(10);

/// The waits before the next start.
#[derive(Debug, Default)]
pub(super) struct Pace {
    deaths: u32,
}

impl Pace {
    /// It has died after `lived`: how long to wait.
    pub(super) fn died(&mut self, lived: Duration) -> Duration {
        if lived >= SOUND {
            self.deaths = 0;
        }
        let factor = 2u32.saturating_pow(self.deaths);
        self.deaths = self.deaths.saturating_add(1);
        FIRST.saturating_mul(factor).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_at_once_waits_longer_each_time_up_to_a_bound() {
        let mut pace = Pace::default();
        let waits: Vec<u128> = (0..8)
            .map(|_| pace.died(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        for _ in 0..40 {
            assert_eq!(pace.died(Duration::ZERO), LONGEST);
        }
    }

    #[test]
    fn who_lived_begins_anew() {
        let mut pace = Pace::default();
        for _ in 0..5 {
            pace.died(Duration::ZERO);
        }
        assert_eq!(pace.died(SOUND), FIRST);
        assert_eq!(pace.died(Duration::ZERO), FIRST * 2);
    }
}
