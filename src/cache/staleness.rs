//! How old a copy may be. Pure.
//!
//! Whether a copy is *right* is for the ledger to say. Age is the second line: it bounds for how long
//! anything is believed that no invalidation has touched.

use std::time::Duration;

/// How long copies of a kind are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// Fresh for so long, of which a tenth is random for each copy.
    pub(super) ttl: Duration,
    /// For so long beyond, it is given while it is made anew behind.
    pub(super) revalidate: Duration,
    /// So old it may be if nothing better can be had.
    pub(super) on_error: Duration,
    /// Older than this it is not used in any case.
    pub(super) most: Duration,
}

/// What a copy's age allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// To be given.
    Fresh,
    /// To be given, and made anew meanwhile.
    Aged,
    /// To be given only if nothing better can be had.
    Reserve,
    /// Not to be given.
    Over,
}

impl Lifetime {
    /// What a copy of this age is good for, whose own random part of the ttl is `jitter`, 0 to 1.
    #[must_use]
    pub(super) fn judge(&self, age: Duration, jitter: f64) -> Freshness {
        let ttl = self.ttl.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 10.0);
        if age > self.most {
            Freshness::Over
        } else if age < ttl {
            Freshness::Fresh
        } else if age < ttl + self.revalidate {
            Freshness::Aged
        } else if age <= self.on_error {
            Freshness::Reserve
        } else {
            Freshness::Over
        }
    }

    /// How long a copy is worth keeping.
    #[must_use]
    pub(super) fn keep(&self) -> Duration {
        (self.ttl + self.revalidate)
            .max(self.on_error)
            .min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_copy_ages() {
        let lifetime = Lifetime {
            ttl: s(30),
            revalidate: s(10),
            on_error: s(300),
            most: s(200),
        };
        let judge = |age| lifetime.judge(s(age), 0.0);
        assert_eq!(judge(0), Freshness::Fresh);
        assert_eq!(judge(29), Freshness::Fresh);
        assert_eq!(judge(30), Freshness::Aged);
        assert_eq!(judge(40), Freshness::Reserve);
        assert_eq!(judge(200), Freshness::Reserve);
        assert_eq!(judge(201), Freshness::Over);
        assert_eq!(lifetime.judge(s(28), 1.0), Freshness::Aged);
        assert_eq!(lifetime.keep(), s(200));
        let short = Lifetime {
            on_error: s(0),
            ..lifetime
        };
        assert_eq!(short.judge(s(41), 0.0), Freshness::Over);
        assert_eq!(short.keep(), s(40));
    }
}
