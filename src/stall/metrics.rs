//! What can be measured of stalls.

use std::sync::LazyLock;

use prometheus::{Histogram, HistogramVec, IntCounterVec};

use crate::metric;

const SECONDS: &[f64] = &[0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Threads that were blocked, by kind and activity; counted while it lasts if it is noticed then.
pub(super) static STALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "hub_stalls_total",
        "Times a thread was blocked for longer than telemetry.stall_ms",
        &["thread", "activity"],
    )
});

/// For how long, once it is over.
pub(super) static STALL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metric::histograms(
        "hub_stall_seconds",
        "For how long threads were blocked",
        &["thread", "activity"],
        SECONDS,
    )
});

/// How long the whole machine, or this process, got no processor.
pub(super) static MACHINE_STALL_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metric::histogram(
        "hub_machine_stall_seconds",
        "How late the thread came that looks for blocked ones: nothing ran meanwhile",
        SECONDS,
    )
});
