//! What can be measured of logging in and of limits.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounterVec};

use crate::metric;

/// Attempts to log in, by `result`: `ok`, `wrong`, `limited`, `overloaded`, `failed`.
pub(super) static LOGINS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metric::counters("auth_logins_total", "Attempts to log in", &["result"]));

/// Sessions looked for in Redis, by `result`: `hit`, `due` (found, and Postgres told of the use),
/// `miss`, `bad` (not what a node has put there), `ended`, `expired`, `unknown` (read before this node
/// knew of all ends), `unreachable`.
pub(super) static SHARED_SESSIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "auth_shared_sessions_total",
        "Sessions looked for in Redis",
        &["result"],
    )
});

/// Requests refused by a rate limit, by `bucket`.
pub(super) static RATE_LIMITED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "rate_limited_total",
        "Requests refused by a rate limit",
        &["bucket"],
    )
});

/// From the wish for a password's hash to the hash, seconds: what waiting costs is in it.
pub(super) static HASH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metric::histogram(
        "auth_password_hash_seconds",
        "Time to hash a password, with the wait for a turn",
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
    )
});
