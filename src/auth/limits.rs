//! Who may ask how often.
//!
//! Each bucket counts for itself, so that reading does not use up writing. A key is a user where
//! one is known, else an address. Who goes on and on after being refused is blocked for a while
//! ([`tally`]).
//!
//! Each node decides by its own counters ([`counter`]), without waiting. Where there is a Redis, they
//! tell it what they have counted and hear what all nodes have ([`telling`]), so that a limit is one
//! for all of them. Attempts to log in and writes, which are few and matter more, are asked for in
//! Redis one by one ([`Bucket::is_asked`]). When Redis is away the node's own counters go on.
//!
//! Pure: [`counter`], [`gcra`], [`rules`], [`script`], [`subject`], [`tally`].

mod counter;
pub mod gcra;
mod refused;
mod rules;
pub mod script;
mod standing;
mod subject;
pub mod tally;
mod telling;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::Mutex;

use self::counter::Counter;
pub use self::refused::RateLimited;
use self::refused::limited;
use self::rules::Rules;
pub use self::standing::Standing;
use self::subject::Key;
pub(crate) use self::subject::network;
pub use self::subject::{Bucket, Subject};
use self::tally::{Rule, Verdict};
use self::telling::Telegraph;
use super::metrics;
use crate::config;
use crate::redis::Client;

/// The counters of this node. They are bounded in number: when there are too many keys, those
/// that are rarely seen are forgotten, and so allowed anew, unless Redis knows better.
pub struct Limits {
    rules: Rules,
    exempt: Vec<IpNet>,
    keys: moka::sync::Cache<Key, Arc<Counted>>,
    started: Instant,
    telegraph: Option<Telegraph>,
}

/// A key and its counter.
#[derive(Debug)]
struct Counted {
    key: Key,
    rule: Rule,
    counter: Mutex<Counter>,
}

impl Limits {
    /// Counters at zero, that are this node's own.
    #[must_use]
    pub fn new(config: &config::Limits) -> Self {
        // A state that is older than both has nothing left to tell; a debt takes two minutes.
        let memory = Duration::from_secs(config.block_s.max(120) + 1);
        Self {
            rules: Rules::from(config),
            exempt: config.exempt.clone(),
            keys: moka::sync::Cache::builder()
                .max_capacity(config.keys_max)
                .time_to_idle(memory)
                .build(),
            started: Instant::now(),
            telegraph: None,
        }
    }

    /// Counters at zero, that count together with those of other nodes if there is a Redis. Within a
    /// tokio runtime, on which the counters are told for as long as this lives.
    #[must_use]
    pub fn shared(config: &config::Limits, redis: Option<Client>) -> Self {
        let limits = Self::new(config);
        let started = limits.started;
        Self {
            telegraph: redis.map(|client| Telegraph::start(client, config, started)),
            ..limits
        }
    }

    /// Counts one request of `subject` that came from `address`; exempt networks always pass. Where
    /// the bucket is one that is asked for, Redis decides, if it does so in time.
    pub async fn take(
        &self,
        bucket: Bucket,
        subject: Subject,
        address: IpAddr,
    ) -> Result<(), RateLimited> {
        let Some(counted) = self.counted(bucket, subject, address) else {
            return Ok(());
        };
        if let Some(telegraph) = &self.telegraph
            && bucket.is_asked()
            && let Some(verdict) = telegraph.ask(&counted).await
        {
            return outcome(&counted, verdict);
        }
        self.decide(&counted, self.now_us())
    }

    /// The same, decided by this node's counters at once.
    pub fn take_now(
        &self,
        bucket: Bucket,
        subject: Subject,
        address: IpAddr,
    ) -> Result<(), RateLimited> {
        let counted = self.counted(bucket, subject, address);
        counted.map_or(Ok(()), |counted| self.decide(&counted, self.now_us()))
    }

    /// Whether a request of `subject` would be refused now, as far as this node knows; counts
    /// nothing. For turning away an address before the database is asked who it is.
    pub fn check(
        &self,
        bucket: Bucket,
        subject: Subject,
        address: IpAddr,
    ) -> Result<(), RateLimited> {
        if self.is_exempt(address) {
            return Ok(());
        }
        let Some(counted) = self.keys.get(&(bucket, subject.normalised())) else {
            return Ok(());
        };
        let wait_us = counted.counter.lock().wait_us(&counted.rule, self.now_us());
        match wait_us {
            0 => Ok(()),
            wait_us => Err(limited(bucket, counted.rule.quota, wait_us)),
        }
    }

    /// Where it is counted; nowhere if the address is exempt.
    fn counted(&self, bucket: Bucket, subject: Subject, address: IpAddr) -> Option<Arc<Counted>> {
        if self.is_exempt(address) {
            return None;
        }
        let key = (bucket, subject.normalised());
        if let Some(counted) = self.keys.get(&key) {
            return Some(counted);
        }
        let fresh = Arc::new(Counted {
            rule: self.rules.of(&key),
            key: key.clone(),
            counter: Mutex::default(),
        });
        Some(self.keys.get_with(key, || fresh))
    }

    /// By this node's counters.
    fn decide(&self, counted: &Arc<Counted>, now_us: u64) -> Result<(), RateLimited> {
        let verdict = {
            let mut counter = counted.counter.lock();
            let verdict = counter.take(&counted.rule, now_us);
            if let Some(telegraph) = &self.telegraph {
                telegraph.note(counted, &mut counter);
            }
            verdict
        };
        outcome(counted, verdict)
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.exempt.iter().any(|network| network.contains(&address))
    }

    /// Microseconds since these counters were made.
    fn now_us(&self) -> u64 {
        since_us(self.started)
    }
}

fn outcome(counted: &Counted, verdict: Verdict) -> Result<(), RateLimited> {
    let (bucket, _) = counted.key;
    match verdict {
        Verdict::Admitted => Ok(()),
        Verdict::Refused { wait_us } => {
            metrics::RATE_LIMITED
                .with_label_values(&[bucket.as_str()])
                .inc();
            Err(limited(bucket, counted.rule.quota, wait_us))
        }
    }
}

fn since_us(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
}
