//! What is said to those who come too often.

use std::time::Duration;

use super::gcra::Quota;
use super::subject::Bucket;

/// Too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many {}, try again in {} s", .bucket.as_str(), seconds_up(*.retry_after))]
pub struct RateLimited {
    /// Of what.
    pub bucket: Bucket,
    /// What is allowed, requests a minute.
    pub limit: u32,
    /// When to try again.
    pub retry_after: Duration,
}

impl RateLimited {
    /// When to try again, whole seconds, rounded up.
    #[must_use]
    pub fn retry_after_s(&self) -> u64 {
        seconds_up(self.retry_after)
    }
}

fn seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

pub(super) fn limited(bucket: Bucket, quota: Quota, wait_us: u64) -> RateLimited {
    RateLimited {
        bucket,
        limit: quota.limit(),
        retry_after: Duration::from_micros(wait_us),
    }
}
