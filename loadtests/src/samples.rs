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

    /// They as pairs of microseconds and how many there were, to be sent to another process.
    pub(crate) fn counts(&self) -> Vec<(u64, u64)> {
        let recorded = self.0.iter_recorded();
        recorded
            .map(|step| (step.value_iterated_to(), step.count_at_value().into()))
            .collect()
    }

    /// Adds what another process has sent.
    pub(crate) fn merge_counts(&mut self, counts: &[(u64, u64)]) {
        for (micros, count) in counts {
            let mut left = *count;
            while left > 0 {
                let some = u32::try_from(left).unwrap_or(u32::MAX);
                self.0.saturating_record_n(*micros, some);
                left -= u64::from(some);
            }
        }
    }

    /// What they amount to as latencies.
    pub(crate) fn latency(&self) -> Latency {
        let micros = |quantile| self.0.value_at_quantile(quantile);
        Latency {
            p50_us: micros(0.5),
            p90_us: micros(0.9),
            p95_us: micros(0.95),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
            max_us: self.0.max(),
        }
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

/// How long operations took, microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the unit is part of the name in JSON"
)]
pub(crate) struct Latency {
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl Latency {
    /// A line of a page: what it is of, and p50, p99 and the longest in ms.
    pub(crate) fn line(&self, what: &str) -> String {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let (p50, p99, max) = (ms(self.p50_us), ms(self.p99_us), ms(self.max_us));
        format!("{what:44}{p50:9.1} {p99:9.1} {max:9.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_processes_have_measured_is_merged_without_loss() {
        let [mut one, mut other, mut both, mut merged] =
            std::array::from_fn(|_| Samples::new().unwrap());
        for n in 0..5000_u64 {
            let latency = Duration::from_micros(n * n % 999_983);
            if n % 3 == 0 { &mut one } else { &mut other }.add(latency);
            both.add(latency);
        }
        for part in [&one, &other] {
            merged.merge_counts(&part.counts());
        }
        assert_eq!(merged.0, both.0);
        assert_eq!(merged.latency().p99_us, both.latency().p99_us);
    }

    #[test]
    fn a_latency_beyond_the_bounds_counts_as_the_longest() {
        let mut samples = Samples::new().unwrap();
        samples.add(Duration::from_secs(3600));
        assert!(samples.latency().max_us >= 60_000_000);
    }
}
