//! Logging, and what is noticed of blocked threads.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::check::Checks;

/// The section `telemetry`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged, in the syntax of `RUST_LOG`.
    pub log: String,
    /// How it is written.
    pub format: LogFormat,
    /// A thread that is blocked for this long is counted and logged; 0: none is watched.
    pub stall_ms: u64,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Telemetry {
    pub(super) fn check(&self, checks: &mut Checks) {
        // Below it is the kernel's scheduler that would be measured.
        if self.stall_ms != 0 {
            checks.range("telemetry.stall_ms", self.stall_ms, 10..=60_000);
        }
        if let Err(error) = EnvFilter::builder().parse(&self.log) {
            checks.require(false, "telemetry.log", || {
                format!("{:?} is not a filter: {error}", self.log)
            });
        }
    }
}
