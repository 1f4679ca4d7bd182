//! Latencies of many operations, and how many there were in a time.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::LoadError;

/// Latencies from 1 µs to a minute, with three digits.
pub(crate) struct Samples(Histogram<u32>);

impl Samples {
    pub(crate) fn new() -> Result<Self, LoadError> {
        Histogram::new_with_bounds(1, 60_000_000, 3)
            .map(Self)
            .map_err(|error| LoadError::Unexpected(error.to_string()))
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// What they amount to; an operation may be of many rows.
    pub(crate) fn rate(&self, elapsed: Duration, rows_each: u32) -> Rate {
        let micros = |quantile| self.0.value_at_quantile(quantile);
        let rows = self.0.len() * u64::from(rows_each);
        Rate {
            rows,
            per_second: rows as f64 / elapsed.as_secs_f64(),
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            max_us: self.0.max(),
        }
    }
}

/// A measured rate, with the latencies of the operations.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rate {
    pub(crate) rows: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}
