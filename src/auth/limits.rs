//! Who may ask how often.
//!
//! Each bucket counts for itself, so that reading does not use up writing. A key is a user where
//! one is known, else an address. Who goes on and on after being refused is blocked for a while:
//! the refusals are counted by a second cell with the same quota, and when that one is full too,
//! the block begins.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::gcra::{Cell, Decision, Quota};
use super::metrics;
use crate::config;
use crate::protocol::id::UserId;

/// An address may try this many times the logins that it may try for one name: an office behind
/// one address has many names, a guesser of one name has one.
const LOGINS_PER_ADDRESS: u32 = 10;

/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Requests that change nothing.
    Reads,
    /// Requests that change something.
    Writes,
    /// Messages and other events, over whatever transport.
    Publishes,
    /// Attempts to log in or register.
    Logins,
    /// New sockets.
    Connects,
}

impl Bucket {
    /// The name in headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Publishes => "publishes",
            Self::Logins => "logins",
            Self::Connects => "connects",
        }
    }
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A user, over all their addresses.
    User(UserId),
    /// An address of which nothing more is known.
    Address(IpAddr),
    /// An address from which somebody registers.
    Newcomer(IpAddr),
    /// An address that tries to log in under this name.
    Login {
        /// From where.
        address: IpAddr,
        /// The name or e-mail address, as it was given.
        login: Box<str>,
    },
}

impl Subject {
    /// The key under which it is counted. Whoever has an IPv6 address has 2⁶⁴ of them, so
    /// there the network counts. Names are counted whatever their case.
    fn normalised(self) -> Self {
        match self {
            Self::User(_) => self,
            Self::Address(address) => Self::Address(network(address)),
            Self::Newcomer(address) => Self::Newcomer(network(address)),
            Self::Login { address, login } => Self::Login {
                address: network(address),
                login: login.to_lowercase().into(),
            },
        }
    }
}

/// The address of whom one counts: whoever has an IPv6 address has 2⁶⁴ of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

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

#[derive(Default)]
struct State {
    requests: Cell,
    refusals: Cell,
    blocked_until_us: u64,
}

type Key = (Bucket, Subject);

/// The counters of this node. They are bounded in number: when there are too many keys, those
/// that are rarely seen are forgotten, and so allowed anew.
pub struct Limits {
    reads: Quota,
    writes: Quota,
    publishes: Quota,
    logins: Quota,
    connects: Quota,
    exempt: Vec<IpNet>,
    block_us: u64,
    keys: moka::sync::Cache<Key, Arc<Mutex<State>>>,
    started: Instant,
}

impl Limits {
    /// Counters at zero.
    #[must_use]
    pub fn new(config: &config::Limits) -> Self {
        // A state that is older than both has nothing left to tell.
        let memory = Duration::from_secs(config.block_s.max(60) + 1);
        Self {
            reads: Quota::per_minute(config.reads_per_min),
            writes: Quota::per_minute(config.writes_per_min),
            publishes: Quota::per_minute(config.publishes_per_min),
            logins: Quota::per_minute(config.logins_per_min),
            connects: Quota::per_minute(config.connects_per_min),
            exempt: config.exempt.clone(),
            block_us: config.block_s * SECOND_US,
            keys: moka::sync::Cache::builder()
                .max_capacity(config.keys_max)
                .time_to_idle(memory)
                .build(),
            started: Instant::now(),
        }
    }

    /// Counts one request of `subject` that came from `address`; exempt networks always pass.
    pub fn take(
        &self,
        bucket: Bucket,
        subject: Subject,
        address: IpAddr,
    ) -> Result<(), RateLimited> {
        if self.is_exempt(address) {
            return Ok(());
        }
        let now_us = self.now_us();
        self.take_at(bucket, subject, now_us).inspect_err(|_| {
            metrics::RATE_LIMITED
                .with_label_values(&[bucket.as_str()])
                .inc();
        })
    }

    /// Whether a request of `subject` would be refused now; counts nothing. For turning away an
    /// address before the database is asked who it is.
    pub fn check(
        &self,
        bucket: Bucket,
        subject: Subject,
        address: IpAddr,
    ) -> Result<(), RateLimited> {
        if self.is_exempt(address) {
            return Ok(());
        }
        let quota = self.quota(bucket, &subject);
        let Some(state) = self.keys.get(&(bucket, subject.normalised())) else {
            return Ok(());
        };
        let now_us = self.now_us();
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait_us = match state.requests.peek(quota, now_us) {
            Decision::Allowed => 0,
            Decision::Refused { retry_after_us } => retry_after_us,
        };
        match wait_us.max(state.blocked_until_us.saturating_sub(now_us)) {
            0 => Ok(()),
            wait_us => Err(limited(bucket, quota, wait_us)),
        }
    }

    fn take_at(&self, bucket: Bucket, subject: Subject, now_us: u64) -> Result<(), RateLimited> {
        let quota = self.quota(bucket, &subject);
        let state = self
            .keys
            .get_with((bucket, subject.normalised()), Arc::default);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait_us @ 1..) = state.blocked_until_us.checked_sub(now_us) {
            return Err(limited(bucket, quota, wait_us));
        }
        let Decision::Refused { retry_after_us } = state.requests.take(quota, now_us) else {
            return Ok(());
        };
        if state.refusals.take(quota, now_us) == Decision::Allowed {
            return Err(limited(bucket, quota, retry_after_us));
        }
        state.blocked_until_us = now_us + self.block_us;
        Err(limited(bucket, quota, self.block_us.max(retry_after_us)))
    }

    fn quota(&self, bucket: Bucket, subject: &Subject) -> Quota {
        match (bucket, subject) {
            (Bucket::Reads, _) => self.reads,
            (Bucket::Writes, _) => self.writes,
            (Bucket::Publishes, _) => self.publishes,
            (Bucket::Connects, _) => self.connects,
            (Bucket::Logins, Subject::Address(_)) => {
                Quota::per_minute(self.logins.limit().saturating_mul(LOGINS_PER_ADDRESS))
            }
            (Bucket::Logins, _) => self.logins,
        }
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.exempt.iter().any(|network| network.contains(&address))
    }

    /// Microseconds since these counters were made.
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }
}

fn limited(bucket: Bucket, quota: Quota, wait_us: u64) -> RateLimited {
    RateLimited {
        bucket,
        limit: quota.limit(),
        retry_after: Duration::from_micros(wait_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            invitations_per_room: 1,
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
            .filter(|_| limits.take_at(bucket, subject.clone(), now_us).is_ok())
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
        let refused = limits
            .take_at(Bucket::Writes, subject.clone(), 2 * MINUTE_US)
            .unwrap_err();
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
                limits.take(Bucket::Logins, Subject::Newcomer(inside), inside),
                Ok(())
            );
            assert_eq!(
                limits.check(Bucket::Reads, Subject::Address(outside), outside),
                Ok(())
            );
        }
        for _ in 0..40 {
            let _ = limits.take(Bucket::Reads, Subject::Address(outside), outside);
        }
        assert!(
            limits
                .check(Bucket::Reads, Subject::Address(outside), outside)
                .is_err()
        );
    }
}
