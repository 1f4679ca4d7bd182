//! How much is left to somebody, as answers say it. It costs a look at the node's own counter.

use std::net::IpAddr;
use std::time::Duration;

use super::{Bucket, Limits, Subject};

/// How much is left of a limit, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of what.
    pub bucket: Bucket,
    /// What is allowed, requests a minute.
    pub limit: u32,
    /// How many more may come at once.
    pub remaining: u64,
    /// When all of them may, if none comes until then.
    pub full_after: Duration,
}

impl Limits {
    /// What is left to `subject`, who was admitted just now; none if they are exempt.
    #[must_use]
    pub fn standing(&self, bucket: Bucket, subject: Subject, address: IpAddr) -> Option<Standing> {
        if self.is_exempt(address) {
            return None;
        }
        let counted = self.keys.get(&(bucket, subject.normalised()))?;
        let quota = counted.rule.quota;
        let ahead_us = counted.counter.lock().ahead_us(self.now_us());
        let left_us = quota.burst_us().saturating_sub(ahead_us);
        Some(Standing {
            bucket,
            limit: quota.limit(),
            remaining: left_us.checked_div(quota.emission_us()).unwrap_or(0),
            full_after: Duration::from_micros(ahead_us),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::protocol::id::UserId;

    #[test]
    fn each_request_takes_one_and_the_exempt_have_no_limit() {
        let config = Config::from_sources(None, std::iter::empty()).unwrap();
        let mut config = config.limits;
        config.reads_per_min = 60;
        config.exempt = vec!["127.0.0.0/8".parse().unwrap()];
        let limits = Limits::new(&config);
        let (outside, inside) = ([192, 0, 2, 1].into(), [127, 0, 0, 1].into());
        let ann = Subject::User(UserId::generate());
        let standing = || limits.standing(Bucket::Reads, ann.clone(), outside);
        assert_eq!(standing(), None, "nothing was counted yet");
        for taken in 1..=60 {
            limits
                .take_now(Bucket::Reads, ann.clone(), outside)
                .unwrap();
            let standing = standing().unwrap();
            assert_eq!(standing.limit, 60);
            // A second gives one back, should the machine stand still.
            assert!(
                (60 - taken..=62 - taken).contains(&standing.remaining),
                "{standing:?}"
            );
            assert!(standing.full_after <= Duration::from_secs(taken));
        }
        assert_eq!(limits.standing(Bucket::Reads, ann.clone(), inside), None);
    }
}
