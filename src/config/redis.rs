//! Redis: the bus between nodes, and what they share of sessions and limits.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo as _};
use serde::{Deserialize, Serialize};

use super::check::{Checks, GIB, HOUR_MS, TEN_MINUTES_MS};
use super::{optional, redact};

/// A minute, the longest that Redis may keep the node waiting, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// The section `redis`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Addresses, separated by commas; none: no bus between nodes, nothing shared. May hold passwords.
    #[serde(with = "optional")]
    pub url: Option<String>,
    /// Whether a single address is of a cluster.
    pub cluster: bool,
    /// Whom to trust for TLS, PEM; none: whom the system trusts.
    #[serde(with = "optional")]
    pub tls_ca: Option<PathBuf>,
    /// What the names of all channels and keys begin with.
    pub channel_prefix: String,
    /// Longest time for connecting.
    pub connect_timeout_ms: u64,
    /// Longest time until an answer.
    pub response_timeout_ms: u64,
    /// Longest time until an answer to what there is another way for.
    pub call_timeout_ms: u64,
    /// Such questions on their way at most.
    pub calls_max: usize,
    /// So many of them in a row without an answer in time, and Redis counts as away.
    pub breaker_timeouts: u32,
    /// How often each connection is tried out.
    pub ping_interval_ms: u64,
    /// The first pause before connecting again.
    pub reconnect_min_ms: u64,
    /// The longest pause.
    pub reconnect_max_ms: u64,
    /// How often a cluster is asked for its masters.
    pub topology_interval_ms: u64,
    /// Messages that may wait to be written to one Redis.
    pub publish_queue_max: usize,
    /// Bytes that may wait so.
    pub publish_queue_bytes: usize,
    /// While messages follow each other closely: how long they are gathered, microseconds; 0: not.
    pub coalesce_us: u64,
    /// Messages in one write at most.
    pub publish_batch_max: usize,
    /// Rooms that are subscribed to in one go.
    pub subscribe_batch_max: usize,
    /// Messages that may wait for each thread that decodes them.
    pub receive_queue_max: usize,
    /// Bytes that may wait so.
    pub receive_queue_bytes: usize,
    /// Largest message on the bus.
    pub envelope_max_bytes: usize,
}

impl Redis {
    /// The single addresses; none without a Redis. They may hold passwords.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        let url = self.url.as_deref();
        url.map(redact::redis_addresses).unwrap_or_default()
    }

    /// Where they are, without what is needed to get in.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        let places = self.addresses().into_iter().filter_map(|address| {
            let info = address.into_connection_info().ok()?;
            Some(info.addr().to_string())
        });
        places.collect()
    }

    /// Whether they are of a cluster.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.cluster || self.addresses().len() > 1
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        self.check_addresses(checks);
        checks.require(
            is_prefix(&self.channel_prefix),
            "redis.channel_prefix",
            || {
                format!(
                    "{:?} is empty, too long or has other characters",
                    self.channel_prefix
                )
            },
        );
        for (key, value) in [
            ("redis.connect_timeout_ms", self.connect_timeout_ms),
            ("redis.response_timeout_ms", self.response_timeout_ms),
            ("redis.call_timeout_ms", self.call_timeout_ms),
            ("redis.ping_interval_ms", self.ping_interval_ms),
        ] {
            checks.range(key, value, 10..=MINUTE_MS);
        }
        checks.range("redis.calls_max", self.calls_max, 1..=1_000_000);
        checks.range("redis.breaker_timeouts", self.breaker_timeouts, 1..=1000);
        checks.range(
            "redis.reconnect_min_ms",
            self.reconnect_min_ms,
            1..=MINUTE_MS,
        );
        checks.range(
            "redis.reconnect_max_ms",
            self.reconnect_max_ms,
            1..=TEN_MINUTES_MS,
        );
        checks.at_most(
            ("redis.reconnect_min_ms", self.reconnect_min_ms),
            ("redis.reconnect_max_ms", self.reconnect_max_ms),
        );
        checks.range(
            "redis.topology_interval_ms",
            self.topology_interval_ms,
            100..=HOUR_MS,
        );
        checks.range("redis.coalesce_us", self.coalesce_us, 0..=10_000);
        for (key, value) in [
            ("redis.publish_queue_max", self.publish_queue_max),
            ("redis.receive_queue_max", self.receive_queue_max),
        ] {
            checks.range(key, value, 1..=1_000_000);
        }
        for (key, value) in [
            ("redis.publish_batch_max", self.publish_batch_max),
            ("redis.subscribe_batch_max", self.subscribe_batch_max),
        ] {
            checks.range(key, value, 1..=10_000);
        }
        for (key, value) in [
            ("redis.publish_queue_bytes", self.publish_queue_bytes),
            ("redis.receive_queue_bytes", self.receive_queue_bytes),
        ] {
            checks.range(key, value, 1 << 20..=GIB);
        }
        checks.range(
            "redis.envelope_max_bytes",
            self.envelope_max_bytes,
            65_536..=GIB,
        );
    }

    fn check_addresses(&self, checks: &mut Checks) {
        let addresses = self.addresses();
        for address in &addresses {
            // The parser's own message may quote the text, which may hold a password.
            let what = match address.into_connection_info() {
                Err(_) => "it is not an address that Redis clients understand",
                Ok(info)
                    if address.contains('#') || matches!(info.addr(), ConnectionAddr::Unix(_)) =>
                {
                    "it is not of the form redis://… or rediss://…"
                }
                Ok(info) if self.is_cluster() && info.redis_settings().db() != 0 => {
                    "a cluster has no databases"
                }
                Ok(_) => continue,
            };
            checks.require(false, "redis.url", || what.to_owned());
        }
        let is_tls = |address: &&str| address.starts_with("rediss://");
        let tls = addresses.iter().filter(|it| is_tls(it)).count();
        checks.require(tls == 0 || tls == addresses.len(), "redis.url", || {
            "some addresses are with TLS and some without".to_owned()
        });
        checks.require(self.tls_ca.is_none() || tls > 0, "redis.tls_ca", || {
            "redis.url is not with TLS".to_owned()
        });
    }
}

/// Whether it can begin a channel's name. Braces would put all rooms of a cluster into one slot.
fn is_prefix(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Without passwords, so that no log line can hold one.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("url", &self.url.as_deref().map(redact::redis_url))
            .field("cluster", &self.cluster)
            .field("channel_prefix", &self.channel_prefix)
            .finish_non_exhaustive()
    }
}
