//! Postgres and its pool.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, HOUR_MS};
use super::{optional, redact};

/// The replicas at most.
const REPLICAS_MAX: usize = 16;

/// A minute, the longest that a replica may keep a read waiting, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// The section `database`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The server's connection string; none: an embedded Postgres. Holds a password.
    #[serde(with = "optional")]
    pub url: Option<String>,
    /// Connections in the pool at most.
    pub pool_max: usize,
    /// Nodes that share the server's connections at least.
    pub nodes_expected: usize,
    /// Connections kept open when idle.
    pub pool_min: usize,
    /// Longest wait for a connection of the pool.
    pub acquire_timeout_ms: u64,
    /// Longest time for opening a connection.
    pub connect_timeout_ms: u64,
    /// After this time without use a connection above `pool_min` is closed.
    pub idle_timeout_s: u64,
    /// The server ends a statement that runs longer.
    pub statement_timeout_ms: u64,
    /// A statement or wait that takes longer has the server probed.
    pub suspect_after_ms: u64,
    /// Slower statements are logged by name.
    pub slow_query_ms: u64,
    /// Log every statement by name.
    pub log_queries: bool,
    /// Refuse a server with `fsync` off.
    pub require_fsync: bool,
    /// Connection strings of read replicas. They hold passwords.
    pub replica_urls: Vec<String>,
    /// Connections to each of them at most.
    pub replica_pool_max: usize,
    /// A replica that takes longer for a read is not waited for.
    pub replica_timeout_ms: u64,
    /// The private Postgres used when there is no `url`.
    pub embedded: Embedded,
}

/// The section `database.embedded`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// The folder with `initdb` and `postgres`; none: looked for.
    #[serde(with = "optional")]
    pub bin_dir: Option<PathBuf>,
    /// Longest time until the server answers.
    pub start_timeout_ms: u64,
    /// The unprivileged user that runs it when the node is root.
    pub user: String,
}

impl Database {
    /// Where the replicas are, without what is needed to get in.
    #[must_use]
    pub fn replica_places(&self) -> Vec<String> {
        let urls = self.replica_urls.iter();
        urls.map(|url| redact::database_url(url)).collect()
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        if let Some(url) = &self.url {
            // The parser's own message may quote the text, which holds a password.
            let parsed = url.parse::<tokio_postgres::Config>();
            checks.require(parsed.is_ok(), "database.url", || {
                "it is not a connection string that Postgres clients understand".to_owned()
            });
        }
        self.check_replicas(checks);
        checks.range("database.pool_max", self.pool_max, 1..=10_000);
        checks.range("database.nodes_expected", self.nodes_expected, 1..=1000);
        checks.range("database.pool_min", self.pool_min, 0..=10_000);
        checks.at_most(
            ("database.pool_min", self.pool_min),
            ("database.pool_max", self.pool_max),
        );
        for (key, value) in [
            ("database.acquire_timeout_ms", self.acquire_timeout_ms),
            ("database.connect_timeout_ms", self.connect_timeout_ms),
            ("database.statement_timeout_ms", self.statement_timeout_ms),
            ("database.suspect_after_ms", self.suspect_after_ms),
            ("database.slow_query_ms", self.slow_query_ms),
            (
                "database.embedded.start_timeout_ms",
                self.embedded.start_timeout_ms,
            ),
        ] {
            checks.range(key, value, 1..=HOUR_MS);
        }
        checks.range("database.idle_timeout_s", self.idle_timeout_s, 1..=DAY_S);
        checks.require(
            !self.embedded.user.is_empty(),
            "database.embedded.user",
            || "it is empty".to_owned(),
        );
    }

    fn check_replicas(&self, checks: &mut Checks) {
        const KEY: &str = "database.replica_urls";
        for (at, url) in self.replica_urls.iter().enumerate() {
            let parsed = url.parse::<tokio_postgres::Config>();
            checks.require(parsed.is_ok(), KEY, || {
                let number = at + 1;
                format!(
                    "number {number} is not a connection string that Postgres clients understand"
                )
            });
        }
        let count = self.replica_urls.len();
        checks.require(count <= REPLICAS_MAX, KEY, || {
            format!("{count} are too many")
        });
        checks.require(count == 0 || self.url.is_some(), KEY, || {
            "there is no database.url that they could be replicas of".to_owned()
        });
        checks.range("database.replica_pool_max", self.replica_pool_max, 1..=1000);
        checks.range(
            "database.replica_timeout_ms",
            self.replica_timeout_ms,
            1..=MINUTE_MS,
        );
    }
}

/// Without the password, so that no log line can hold it.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url.as_deref().map(redact::database_url))
            .field("pool_max", &self.pool_max)
            .field("nodes_expected", &self.nodes_expected)
            .field("pool_min", &self.pool_min)
            .field("replica_urls", &self.replica_places())
            .field("embedded", &self.embedded)
            .finish_non_exhaustive()
    }
}
