//! The store's metrics, on prometheus's default registry.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
};

use crate::metric;

/// Seconds from 0.1 ms to 10 s: a primary-key read on a local server takes 0.1 to 0.3 ms, the
/// statement time-out is 5 s.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0,
];

static QUERY_SECONDS: LazyLock<Option<HistogramVec>> = LazyLock::new(|| {
    let opts = HistogramOpts::new(
        "database_query_duration_seconds",
        "Time from sending a statement to its last row, by the statement's name",
    );
    registered(HistogramVec::new(
        opts.buckets(SECONDS.to_vec()),
        &["query"],
    ))
});

static QUERY_ERRORS: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    let opts = Opts::new(
        "database_query_errors_total",
        "Failed statements, by what was wrong",
    );
    registered(IntCounterVec::new(opts, &["kind"]))
});

static ACQUIRE_SECONDS: LazyLock<Option<Histogram>> = LazyLock::new(|| {
    let opts = HistogramOpts::new(
        "database_pool_acquire_seconds",
        "Time a caller waited for a connection of the pool",
    );
    registered(Histogram::with_opts(opts.buckets(SECONDS.to_vec())))
});

static POOL_MAX: LazyLock<Option<IntGauge>> = LazyLock::new(|| {
    gauge(
        "database_pool_max",
        "Connections the pool may have, a part of the server's",
    )
});

static POOL_SIZE: LazyLock<Option<IntGauge>> =
    LazyLock::new(|| gauge("database_pool_size", "Open connections of the pool"));

static POOL_AVAILABLE: LazyLock<Option<IntGauge>> = LazyLock::new(|| {
    gauge(
        "database_pool_available",
        "Open connections of the pool that nobody uses",
    )
});

static POOL_WAITING: LazyLock<Option<IntGauge>> = LazyLock::new(|| {
    gauge(
        "database_pool_waiting",
        "Callers waiting for a connection of the pool",
    )
});

/// Notices of heads that were lost because too many waited.
pub(super) static HEARD_LOST: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "hub_head_notices_unheard_total",
        "Notices of heads by NOTIFY that were lost because too many waited; heads are compared",
    )
});

/// Whether the database counts as away.
pub(super) static BREAKER_OPEN: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "database_breaker_open",
        "1 while the database counts as away and requests to it are refused at once",
    )
});

/// How often the database was found to be away.
pub(super) static BREAKER_OPENED: LazyLock<IntCounter> = LazyLock::new(|| {
    metric::counter(
        "database_breaker_opened_total",
        "How often the database was found to be away or frozen",
    )
});

/// Read replicas that are asked.
pub(super) static REPLICAS_ASKED: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "database_replicas_asked",
        "Read replicas that answer and are asked, of those in database.replica_urls",
    )
});

/// Rows that retention has removed, by table.
pub static RETENTION_ROWS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metric::counters(
        "retention_rows_removed_total",
        "Rows that retention has removed, by table",
        &["table"],
    )
});

/// When retention last came to its end, Unix time in seconds; 0: not in this life.
pub static RETENTION_LAST_RUN: LazyLock<IntGauge> = LazyLock::new(|| {
    metric::gauge(
        "retention_last_run_timestamp_seconds",
        "When retention last came to its end",
    )
});

/// A metric that could not be registered is used all the same: it is missing from `/metrics`, and
/// nothing else is.
fn registered<C: Collector + Clone + 'static>(metric: prometheus::Result<C>) -> Option<C> {
    let metric = match metric {
        Ok(metric) => metric,
        Err(error) => {
            tracing::error!(%error, "a metric of the store cannot be made");
            return None;
        }
    };
    if let Err(error) = prometheus::register(Box::new(metric.clone())) {
        tracing::error!(%error, "a metric of the store cannot be registered");
    }
    Some(metric)
}

fn gauge(name: &str, help: &str) -> Option<IntGauge> {
    registered(IntGauge::new(name, help))
}

/// Records one execution of the statement `query`.
pub fn observe_query(query: &str, took: Duration) {
    if let Some(histogram) = &*QUERY_SECONDS {
        histogram
            .with_label_values(&[query])
            .observe(took.as_secs_f64());
    }
}

pub(super) fn count_error(kind: &str) {
    if let Some(counter) = &*QUERY_ERRORS {
        counter.with_label_values(&[kind]).inc();
    }
}

pub(super) fn observe_acquire(took: Duration) {
    if let Some(histogram) = &*ACQUIRE_SECONDS {
        histogram.observe(took.as_secs_f64());
    }
}

pub(super) fn show_pool(status: &deadpool_postgres::Status, size: usize, waiting: usize) {
    let show = |gauge: &Option<IntGauge>, value: usize| {
        if let Some(gauge) = gauge {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    };
    show(&POOL_MAX, size);
    show(&POOL_SIZE, status.size);
    show(&POOL_AVAILABLE, status.available);
    show(&POOL_WAITING, waiting);
}
