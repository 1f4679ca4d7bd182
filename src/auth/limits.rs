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
//! Pure: [`counter`], [`gcra`], [`script`], [`subject`], [`tally`].

mod counter;
pub mod gcra;
mod refused;
pub mod script;
mod standing;
mod subject;
pub mod tally;
mod telling;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::Mutex;

use self::counter::Counter;
use self::gcra::Quota;
pub use self::refused::RateLimited;
use self::refused::limited;
pub use self::standing::Standing;
use self::subject::Key;
pub(crate) use self::subject::network;
pub use self::subject::{Bucket, Subject};
use self::tally::{Rule, Verdict};
use self::telling::Telegraph;
use super::metrics;
use crate::config;
use crate::redis::Client;

/// An address may try this many times the logins that it may try for one name: an office behind
/// one address has many names, a guesser of one name has one.
const LOGINS_PER_ADDRESS: u32 = 10;

/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

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

/// How much of what is allowed.
#[derive(Debug, Clone, Copy)]
struct Rules {
    reads: Quota,
    writes: Quota,
    publishes: Quota,
    logins: Quota,
    connects: Quota,
    block_us: u64,
}

impl Rules {
    fn of(&self, (bucket, subject): &Key) -> Rule {
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

impl Limits {
    /// Counters at zero, that are this node's own.
    #[must_use]
    pub fn new(config: &config::Limits) -> Self {
        // A state that is older than both has nothing left to tell; a debt takes two minutes.
        let memory = Duration::from_secs(config.block_s.max(120) + 1);
        Self {
            rules: Rules {
                reads: Quota::per_minute(config.reads_per_min),
                writes: Quota::per_minute(config.writes_per_min),
                publishes: Quota::per_minute(config.publishes_per_min),
                logins: Quota::per_minute(config.logins_per_min),
                connects: Quota::per_minute(config.connects_per_min),
                block_us: config.block_s * SECOND_US,
            },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::UserId;

    fn take_at(
        limits: &Limits,
        bucket: Bucket,
        subject: Subject,
        now_us: u64,
    ) -> Result<(), RateLimited> {
        let counted = limits.counted(bucket, subject, [192, 0, 2, 1].into());
        limits.decide(&counted.unwrap(), now_us)
    }

    const MINUTE_US: u64 = 60 * SECOND_US;

    fn limits(exempt: &[&str]) -> Limits {
        Limits::new(&config::Limits {
            exempt: exempt.iter().map(|net| net.parse().unwrap()).collect(),
            message_bytes: 65536,
            reactions_per_message: 50,
            pins_per_room: 50,
            reads_per_min: 20,
            writes_per_min: 10,
            publishes_per_min: 10,
            logins_per_min: 3,
            connects_per_min: 10,
            block_s: 300,
            share_ms: 500,
            share_percent: 5,
            invitations_per_room: 1,
            request_keys_per_user: 1,
            exports_per_node: 1,
            keys_max: 1000,
        })
    }

    fn login(address: &str, login: &str) -> Subject {
        Subject::Login {
            address: address.parse().unwrap(),
            login: login.into(),
        }
    }

    fn address(text: &str) -> Subject {
        Subject::Address(text.parse().unwrap())
    }

    /// How many of `n` requests at once pass.
    fn passing(limits: &Limits, bucket: Bucket, subject: &Subject, now_us: u64, n: usize) -> usize {
        (0..n)
            .filter(|_| take_at(limits, bucket, subject.clone(), now_us).is_ok())
            .count()
    }

    #[test]
    fn buckets_and_subjects_count_apart() {
        let limits = limits(&[]);
        let (ann, ben) = (
            Subject::User(UserId::generate()),
            Subject::User(UserId::generate()),
        );
        assert_eq!(passing(&limits, Bucket::Writes, &ann, 0, 15), 10);
        assert_eq!(passing(&limits, Bucket::Reads, &ann, 0, 15), 15);
        assert_eq!(passing(&limits, Bucket::Writes, &ben, 0, 15), 10);
    }

    #[test]
    fn persistence_is_blocked_and_patience_is_not() {
        let limits = limits(&[]);
        let subject = address("192.0.2.1");
        assert_eq!(passing(&limits, Bucket::Writes, &subject, 0, 20), 10);
        // One every six seconds drips; ten refusals a minute are borne.
        assert_eq!(
            passing(&limits, Bucket::Writes, &subject, 6 * SECOND_US, 1),
            1
        );
        // But not more.
        passing(&limits, Bucket::Writes, &subject, 7 * SECOND_US, 20);
        let refused = take_at(&limits, Bucket::Writes, subject.clone(), 2 * MINUTE_US).unwrap_err();
        assert!(refused.retry_after_s() > 100, "{refused}");
        assert_eq!(
            passing(&limits, Bucket::Writes, &subject, 6 * MINUTE_US, 20),
            10
        );
    }

    #[test]
    fn guessing_one_name_leaves_the_others_of_the_address_alone() {
        let limits = limits(&[]);
        assert_eq!(
            passing(&limits, Bucket::Logins, &login("192.0.2.1", "ann"), 0, 1000),
            3
        );
        assert_eq!(
            passing(&limits, Bucket::Logins, &login("192.0.2.1", "ANN"), 0, 1000),
            0
        );
        assert_eq!(
            passing(&limits, Bucket::Logins, &login("192.0.2.1", "ben"), 0, 1),
            1
        );
        assert_eq!(
            passing(&limits, Bucket::Logins, &login("192.0.2.2", "ann"), 0, 1),
            1
        );
        assert_eq!(
            passing(&limits, Bucket::Logins, &address("192.0.2.1"), 0, 1000),
            30
        );
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let limits = limits(&[]);
        assert_eq!(
            passing(&limits, Bucket::Connects, &address("2001:db8::1"), 0, 20),
            10
        );
        assert_eq!(
            passing(&limits, Bucket::Connects, &address("2001:db8::2"), 0, 20),
            0
        );
        assert_eq!(
            passing(
                &limits,
                Bucket::Connects,
                &address("2001:db8:0:1::2"),
                0,
                20
            ),
            10
        );
        assert_eq!(
            passing(
                &limits,
                Bucket::Connects,
                &address("::ffff:192.0.2.1"),
                0,
                20
            ),
            10
        );
        assert_eq!(
            passing(&limits, Bucket::Connects, &address("192.0.2.1"), 0, 20),
            0
        );
    }

    #[test]
    fn exempt_networks_pass_and_checks_count_nothing() {
        let limits = limits(&["127.0.0.0/8"]);
        let (inside, outside) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        for _ in 0..100 {
            assert_eq!(
                limits.take_now(Bucket::Logins, Subject::Newcomer(inside), inside),
                Ok(())
            );
            assert_eq!(
                limits.check(Bucket::Reads, Subject::Address(outside), outside),
                Ok(())
            );
        }
        for _ in 0..40 {
            let _ = limits.take_now(Bucket::Reads, Subject::Address(outside), outside);
        }
        assert!(
            limits
                .check(Bucket::Reads, Subject::Address(outside), outside)
                .is_err()
        );
    }
}
