//! How long things are kept.

use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S};

/// The section `retention`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Events of the rooms' logs are kept for so many days; 0 is for ever.
    pub log_days: u32,
    /// The keys of what was published are kept for so many days.
    pub keys_days: u32,
    /// Hours that entries of the control log are kept.
    pub control_log_hours: u32,
    /// Hours that answers to requests with an `Idempotency-Key` are kept.
    pub request_keys_hours: u32,
    /// Time between runs.
    pub every_s: u64,
    /// Rows removed in one transaction at most.
    pub step_rows: u32,
    /// Pause between transactions.
    pub step_pause_ms: u64,
}

impl Retention {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("retention.log_days", self.log_days, 0..=36_500);
        checks.range("retention.keys_days", self.keys_days, 14..=36_500);
        checks.range(
            "retention.control_log_hours",
            self.control_log_hours,
            1..=87_600,
        );
        checks.range(
            "retention.request_keys_hours",
            self.request_keys_hours,
            1..=720,
        );
        checks.range("retention.every_s", self.every_s, 1..=DAY_S);
        checks.range("retention.step_rows", self.step_rows, 1..=100_000);
        checks.range("retention.step_pause_ms", self.step_pause_ms, 0..=60_000);
    }
}
