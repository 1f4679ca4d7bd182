//! How much of what is allowed to whom.

use super::gcra::Quota;
use super::subject::{Bucket, Key, Subject};
use super::tally::Rule;
use crate::config;

/// An address may try this many times the logins that it may try for one name: an office behind
/// one address has many names, a guesser of one name has one.
const LOGINS_PER_ADDRESS: u32 = 10;

/// Microseconds in a second.
pub(super) const SECOND_US: u64 = 1_000_000;

/// The quotas of the buckets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    reads: Quota,
    writes: Quota,
    publishes: Quota,
    logins: Quota,
    connects: Quota,
    block_us: u64,
}

impl From<&config::Limits> for Rules {
    fn from(config: &config::Limits) -> Self {
        Self {
            reads: Quota::per_minute(config.reads_per_min),
            writes: Quota::per_minute(config.writes_per_min),
            publishes: Quota::per_minute(config.publishes_per_min),
            logins: Quota::per_minute(config.logins_per_min),
            connects: Quota::per_minute(config.connects_per_min),
            block_us: config.block_s * SECOND_US,
        }
    }
}

impl Rules {
    /// The rule of a key.
    pub(super) fn of(&self, (bucket, subject): &Key) -> Rule {
        let quota = match (bucket, subject) {
            (Bucket::Reads, _) => self.reads,
            (Bucket::Writes, _) => self.writes,
            (Bucket::Publishes, _) => self.publishes,
            (Bucket::Connects, _) => self.connects,
            (Bucket::Logins, Subject::Address(_)) => {
                Quota::per_minute(self.logins.limit().saturating_mul(LOGINS_PER_ADDRESS))
            }
            (Bucket::Logins, _) => self.logins,
        };
        Rule {
            quota,
            block_us: self.block_us,
        }
    }
}
