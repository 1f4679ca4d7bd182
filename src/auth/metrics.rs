//! What can be measured of logging in and of limits.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

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

/// Counters of rate limits that have something to tell Redis.
pub(super) static COUNTERS_WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "rate_limit_counters_waiting",
        "Counters of rate limits that have something to tell Redis",
    )
});

/// Counters that had, and for which there was no room.
pub(super) static COUNTERS_UNTOLD: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "rate_limit_counters_untold_total",
        "Counters of rate limits that Redis was not told of, for want of room",
    )
});

/// Counters in Redis that were not what a node had put there.
pub(super) static BAD_COUNTERS: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "rate_limit_counters_bad_total",
        "Counters in Redis that were not what a node had put there",
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
