//! How far this machine's clock is off. Only Postgres's counts, so a wrong one does no harm here; but it
//! is written into the log, and whoever looks after the machine wants to know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::hub::metrics::CLOCK_OFF;

/// What is told, seconds: more than a machine's clock is off that anybody looks after, and far more than
/// it takes to ask Postgres.
const FAR_S: i64 = 30;

/// Whether it has been told.
#[derive(Debug, Default)]
pub(super) struct Clock {
    is_told: AtomicBool,
}

impl Clock {
    /// Compares this machine's clock with what Postgres's has just shown, microseconds since 1970.
    pub(super) fn compare(&self, postgres_us: i64) {
        let Ok(own) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
            return;
        };
        let own_us = i64::try_from(own.as_micros()).unwrap_or(i64::MAX);
        let ahead_s = own_us.saturating_sub(postgres_us) / 1_000_000;
        CLOCK_OFF.set(ahead_s.saturating_abs());
        let is_far = ahead_s.saturating_abs() >= FAR_S;
        if self.is_told.swap(is_far, Ordering::Relaxed) == is_far {
            return;
        }
        if is_far {
            tracing::warn!(
                ahead_s,
                "this machine's clock is not Postgres's: only the times in this log are wrong by it"
            );
        } else {
            tracing::info!("this machine's clock is Postgres's again");
        }
    }
}
