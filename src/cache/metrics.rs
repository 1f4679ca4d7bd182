//! What can be measured of the copies. Hits and misses by `cache_type` are in [`crate::metric`].

use std::sync::LazyLock;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

use crate::metric;

/// Bytes that the copies of this process weigh.
pub(super) static BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| metric::gauge("cache_bytes", "Bytes that the copies in this process take"));

/// Copies of this process.
pub(super) static ENTRIES: LazyLock<IntGauge> =
    LazyLock::new(|| metric::gauge("cache_entries", "Copies in this process"));

/// Rooms that are followed, because there are copies of them.
pub(super) static ROOMS: LazyLock<IntGauge> =
    LazyLock::new(|| metric::gauge("cache_rooms", "Rooms that are followed for their copies"));

/// Copies that went for want of room, or because their time was over.
pub(super) static EVICTIONS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metric::counters("cache_evictions_total", "Copies that went", &["cause"]));

/// Requests that waited for a load that another had begun.
pub(super) static COALESCED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "cache_coalesced_total",
        "Requests that shared a load that another began",
        &["cache_type"],
    )
});

/// Answers from copies that were not fresh: `aged`, or `error` if nothing better could be had.
pub(super) static STALE: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "cache_stale_total",
        "Answers that were not fresh",
        &["cache_type", "why"],
    )
});

/// Loads by `outcome`: `filled`, `outdated` (something changed meanwhile: not kept), `older` (what
/// there was is newer), `absent`, `unfollowed` (no place for its room), `failed`, `timeout`,
/// `overloaded`.
pub(super) static LOADS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metric::counters("cache_loads_total", "Loads", &["cache_type", "outcome"]));

/// From the beginning of a load to its end, seconds.
pub(super) static LOAD_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metric::histograms(
        "cache_load_seconds",
        "Time that loads take",
        &["cache_type"],
        &[
            0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
        ],
    )
});

/// Invalidations that were told, by `what`: `room`, `user`, `doubt` (unknown what), `order` (an
/// operator's), `compared` (found by comparing heads).
pub(super) static INVALIDATIONS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metric::counters("cache_invalidations_total", "Invalidations", &["what"]));

/// Times when all copies were given up, because what had changed may not have been told.
pub(super) static FEED_BREAKS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "cache_feed_breaks_total",
        "Times when all copies were given up",
        &["why"],
    )
});

/// Requests whose `Hubbub-Min-Cursor` no copy reached, so that it was read again.
pub(super) static BEHIND: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "cache_behind_total",
        "Reads that were needed because a client had seen more than the copy",
    )
});

/// What came of asking read replicas for pages of messages: `answered`, `behind` (what this node knows or
/// the client has seen), `unreachable`, `not_asked` (there is none that could be, or nothing is known of the
/// room that a page could be held against).
pub(super) static REPLICA_PAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "cache_replica_pages_total",
        "What came of asking read replicas for pages of messages",
        &["result"],
    )
});

/// What was found in the copies that nodes share by Redis: `hit`, `miss`, `older` (than what this node
/// knows), `bad`, `unreachable`.
pub(super) static SHARED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "cache_shared_total",
        "What was found in the shared copies",
        &["result"],
    )
});
