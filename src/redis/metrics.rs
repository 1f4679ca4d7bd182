//! What can be measured of asking Redis.

use std::sync::LazyLock;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

use crate::metric;

/// Calls by `purpose` and `outcome`: `ok`, `refused` (Redis said no), `timeout`, `lost` (the
/// connection ended), `away` (refused at once, as there is none), `busy` (too many on their way).
pub(super) static CALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "redis_calls_total",
        "Calls to Redis",
        &["purpose", "outcome"],
    )
});

/// From a call to its answer or its time-out, seconds, by `purpose`.
pub(super) static CALL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metric::histograms(
        "redis_call_seconds",
        "Time from a call to Redis to its answer",
        &["purpose"],
        &[
            0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
        ],
    )
});

/// Calls on their way.
pub(super) static IN_FLIGHT: LazyLock<IntGauge> =
    LazyLock::new(|| metric::gauge("redis_calls_in_flight", "Calls to Redis on their way"));

/// Servers that are not asked, because the last connection failed and no probe was answered since.
pub(super) static BREAKER_OPEN: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "redis_breaker_open",
        "Redis servers that are not asked until a probe is answered",
    )
});

/// Connections that were given up because calls were not answered in time.
pub(super) static TRIPS: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "redis_breaker_trips_total",
        "Connections to Redis given up because calls were not answered in time",
    )
});

/// Calls that a server of the cluster sent elsewhere.
pub(super) static REDIRECTS: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "redis_redirects_total",
        "Calls that a server of the Redis Cluster sent to another",
    )
});
