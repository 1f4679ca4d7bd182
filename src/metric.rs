//! Making metrics, on the default registry. Each layer defines its own beside its code; the page
//! at `/metrics` gathers them all.
//!
//! # Panics
//! A name that is malformed or taken is a defect of the program, not of its input; the first use
//! of the metric panics, which any test that touches it shows.

use std::sync::LazyLock;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::Collector,
};

/// Answers that a cache had, by `cache_type`. Caches of several layers share this and the next.
pub(crate) static CACHE_HITS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Answers that a cache had";
    counters("cache_hits_total", help, &["cache_type"])
});

/// Answers that a cache did not have, or was not to be asked for, by `cache_type`.
pub(crate) static CACHE_MISSES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Answers that a cache did not have, or was not to be asked for";
    counters("cache_misses_total", help, &["cache_type"])
});

fn registered<C: Collector + Clone + 'static>(name: &str, made: prometheus::Result<C>) -> C {
    let registered = made.and_then(|metric| {
        prometheus::register(Box::new(metric.clone()))?;
        Ok(metric)
    });
    match registered {
        Ok(metric) => metric,
        Err(error) => panic!("metric {name}: {error}"),
    }
}

/// A counter.
pub(crate) fn counter(name: &str, help: &str) -> IntCounter {
    registered(name, IntCounter::new(name, help))
}

/// A counter for each combination of labels.
pub(crate) fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(name, IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge.
pub(crate) fn gauge(name: &str, help: &str) -> IntGauge {
    registered(name, IntGauge::new(name, help))
}

/// A gauge for each combination of labels.
pub(crate) fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(name, IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram with these upper bounds.
pub(crate) fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(name, Histogram::with_opts(options))
}

/// A histogram for each combination of labels.
pub(crate) fn histograms(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(name, HistogramVec::new(options, labels))
}

/// Counts one more in a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(&'static IntGauge);

impl Counted {
    pub(crate) fn new(gauge: &'static IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
