//! What is counted of presence and of who is online.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::metric::{counter, counters, gauge, gauges};

/// What this node has told others of presence, by kind.
pub(crate) static PRESENCE_SAID: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_presence_said_total",
        "What this node has told other nodes of presence, by kind",
        &["kind"],
    )
});

/// What was heard of other nodes' presence, by kind and what became of it.
pub(crate) static PRESENCE_HEARD: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_presence_heard_total",
        "What was heard of other nodes' presence, by kind and fate",
        &["kind", "fate"],
    )
});

/// Questions to other nodes of who is present there, by outcome.
pub(crate) static PRESENCE_PULLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "hub_presence_pulls_total",
        "Questions to other nodes of who is present there, by outcome",
        &["outcome"],
    )
});

/// Users in rooms, by all nodes, as far as each shard knows.
pub(crate) static PRESENT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauges(
        "hub_present_users",
        "Users who are present in rooms, each once for every room, by all nodes",
        &["shard"],
    )
});

/// Other nodes whose people are not seen.
pub(crate) static PRESENCE_UNSEEN: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "hub_presence_nodes_unseen",
        "Living nodes whose people are not seen here, because there are more than 63 others",
    )
});

/// Users of whom was written that they came online or went.
pub(crate) static ONLINE_WRITTEN: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_online_written_total",
        "Users of whom this node has written that they came online or went",
    )
});

/// Attempts to write that which failed.
pub(crate) static ONLINE_FAILED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "hub_online_failed_total",
        "Attempts to write who is online that failed; they are repeated",
    )
});
