//! What can be measured of logging in and of limits.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounterVec, register_histogram, register_int_counter_vec};

/// Attempts to log in, by `result`: `ok`, `wrong`, `limited`, `overloaded`, `failed`.
pub(super) static LOGINS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("auth_logins_total", "Attempts to log in.", &["result"])
        .unwrap_or_else(|error| defect(&error))
});

/// Requests refused by a rate limit, by `bucket`.
pub(super) static RATE_LIMITED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "rate_limited_total",
        "Requests refused by a rate limit.",
        &["bucket"]
    )
    .unwrap_or_else(|error| defect(&error))
});

/// From the wish for a password's hash to the hash, seconds: what waiting costs is in it.
pub(super) static HASH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "auth_password_hash_seconds",
        "Time to hash a password, with the wait for a turn.",
        vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
    )
    .unwrap_or_else(|error| defect(&error))
});

/// Names and labels are constants: only a mistake in this file gets here, on the first use.
fn defect(error: &prometheus::Error) -> ! {
    panic!("a metric of auth cannot be registered: {error}")
}
