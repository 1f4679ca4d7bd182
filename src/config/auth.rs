//! Sessions, cookies, tickets and passwords.

use serde::{Deserialize, Serialize};

use super::check::Checks;
use super::node::is_name;

/// A WebSocket ticket is good for this long at most, seconds. The end of a session, which ends its
/// tickets, is remembered for longer.
pub const TICKET_TTL_MAX_S: u64 = 60;

/// The section `auth`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// A session ends this long after its last use.
    pub session_ttl_s: u64,
    /// How long a session that was found is remembered; 0 is not at all.
    pub session_cache_s: u64,
    /// Sessions remembered at most.
    pub session_cache_max: u64,
    /// How long Redis keeps a session for all nodes; 0 is not at all.
    pub session_shared_s: u64,
    /// Ended sessions that are remembered at most.
    pub ended_sessions_max: usize,
    /// The name of the session's cookie.
    pub cookie_name: String,
    /// Whether the cookie is `Secure`.
    pub cookie_secure: CookieSecure,
    /// The cookie's `SameSite`.
    pub cookie_same_site: CookieSameSite,
    /// How long a WebSocket ticket is good.
    pub ticket_ttl_s: u64,
    /// Unused tickets kept at most.
    pub tickets_max: usize,
    /// Memory of argon2id, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of argon2id.
    pub argon2_iterations: u32,
    /// Lanes of argon2id.
    pub argon2_parallelism: u32,
    /// Hashes computed at the same time; 0 is one for each core.
    pub hash_concurrency: usize,
    /// Hashes that may wait for their turn.
    pub hash_queue_max: usize,
    /// Shortest password, in characters.
    pub password_min_chars: usize,
    /// Longest password.
    pub password_max_bytes: usize,
}

/// When the session's cookie is `Secure` (RFC 6265, section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CookieSecure {
    /// Always, except over plain HTTP on loopback.
    Auto,
    /// Always.
    Always,
    /// Never: for plain HTTP in a trusted network.
    Never,
}

/// The `SameSite` attribute of the session's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CookieSameSite {
    /// Sent with links from elsewhere.
    Lax,
    /// Sent from our own pages only.
    Strict,
}

impl Auth {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("auth.session_ttl_s", self.session_ttl_s, 60..=31_536_000);
        checks.range("auth.session_cache_s", self.session_cache_s, 0..=3600);
        checks.range(
            "auth.session_cache_max",
            self.session_cache_max,
            1..=100_000_000,
        );
        checks.range(
            "auth.session_shared_s",
            self.session_shared_s,
            0..=31_536_000,
        );
        checks.range(
            "auth.ended_sessions_max",
            self.ended_sessions_max,
            1..=10_000_000,
        );
        checks.require(is_name(&self.cookie_name), "auth.cookie_name", || {
            format!(
                "{:?} is empty, too long or has other characters",
                self.cookie_name
            )
        });
        checks.range("auth.ticket_ttl_s", self.ticket_ttl_s, 1..=TICKET_TTL_MAX_S);
        checks.range("auth.tickets_max", self.tickets_max, 1..=100_000_000);
        checks.range(
            "auth.argon2_memory_kib",
            self.argon2_memory_kib,
            8..=4_194_304,
        );
        checks.range("auth.argon2_iterations", self.argon2_iterations, 1..=1000);
        checks.range("auth.argon2_parallelism", self.argon2_parallelism, 1..=64);
        // RFC 9106, section 3.1.
        let least = self.argon2_parallelism.saturating_mul(8);
        checks.at_least(
            ("auth.argon2_memory_kib", self.argon2_memory_kib),
            ("8 x auth.argon2_parallelism", least),
        );
        checks.range("auth.hash_concurrency", self.hash_concurrency, 0..=1024);
        checks.range("auth.hash_queue_max", self.hash_queue_max, 1..=100_000);
        checks.range("auth.password_min_chars", self.password_min_chars, 1..=1024);
        checks.range(
            "auth.password_max_bytes",
            self.password_max_bytes,
            64..=65_536,
        );
        checks.at_most(
            ("auth.password_min_chars", self.password_min_chars),
            ("auth.password_max_bytes", self.password_max_bytes),
        );
    }
}
