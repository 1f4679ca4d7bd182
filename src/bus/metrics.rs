//! What the bus counts.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::metric::{counter, counters, gauge, gauges, histogram};

/// Envelopes on the bus, by what became of them.
pub(crate) static ENVELOPES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_bus_envelopes_total",
        "Envelopes on the bus: in, out, own (came back to their sender), lost (a queue was full or Redis away), failed (Redis refused them), overflow (came in faster than they were decoded); refused: bad (cannot be read), version (of an unknown version), misplaced (of another room than their channel's), too_large",
        &["fate"],
    )
});

/// Those that every message counts, looked up once.
pub(super) static OWN: LazyLock<IntCounter> =
    LazyLock::new(|| ENVELOPES.with_label_values(&["own"]));
pub(super) static OUT: LazyLock<IntCounter> =
    LazyLock::new(|| ENVELOPES.with_label_values(&["out"]));
pub(crate) static IN: LazyLock<IntCounter> = LazyLock::new(|| ENVELOPES.with_label_values(&["in"]));

/// Which way events go, 1 for the one and 0 for the others.
pub(super) static STATE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauges(
        "hub_bus_state",
        "Which way events go to other nodes: 1 for one of local, redis, fallback",
        &["state"],
    )
});

/// Attempts to connect, by outcome.
pub(super) static CONNECTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_bus_connects_total",
        "Attempts to connect to Redis, by connection (publish, subscribe) and outcome (ok, failed)",
        &["connection", "outcome"],
    )
});

/// Connections that broke.
pub(super) static DISCONNECTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_bus_disconnects_total",
        "Connections to Redis that were lost or given up, by connection",
        &["connection"],
    )
});

/// Rooms wanted.
pub(super) static ROOMS: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_bus_rooms",
        "Rooms that this node wants to hear of by the bus",
    )
});

/// Envelopes that wait to be written.
pub(super) static WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_bus_publish_queue",
        "Envelopes that wait to be written to Redis, or for its answer",
    )
});

/// Envelopes for each write.
pub(super) static BATCH: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "hub_bus_publish_batch",
        "Envelopes in one write to Redis",
        &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
    )
});

/// How long a write takes until it is answered.
pub(super) static PUBLISH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "hub_bus_publish_seconds",
        "From writing envelopes to Redis to its answer",
        &[
            0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
        ],
    )
});

/// Subscriptions that the server ended by itself.
pub(super) static TAKEN: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_bus_subscriptions_taken_total",
        "Subscriptions that Redis ended because their slot went to another master",
    )
});
