//! What can be measured of the channel between nodes.

use std::sync::LazyLock;

use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use crate::metric;

/// Questions to other nodes, by `query` and `outcome`.
pub(super) static CALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Questions to other nodes";
    metric::counters("peer_calls_total", help, &["query", "outcome"])
});

/// From a question to its answer or failure, seconds.
pub(super) static CALL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metric::histograms(
        "peer_call_seconds",
        "Time from a question to another node to its answer or failure",
        &["query"],
        &[
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
        ],
    )
});

/// Requests of other nodes that were let in, by `query` and HTTP `status`.
pub(super) static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests of other nodes that were authentic, and their answers";
    metric::counters("peer_requests_total", help, &["query", "status"])
});

/// Requests of other nodes, or of who pretends to be one, that were refused, by `code`.
pub(super) static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests between nodes that were refused";
    metric::counters("peer_requests_refused_total", help, &["code"])
});

/// Requests that are remembered so that none is accepted twice.
pub(super) static REMEMBERED: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "peer_requests_remembered",
        "Requests of other nodes that are remembered so that none is accepted twice",
    )
});

/// Looks at the table of nodes that failed; the one before is used meanwhile.
pub(super) static VIEW_FAILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Looks at the table of nodes that failed";
    metric::counters("peer_view_failed_total", help, &["reason"])
});
