//! Logging.

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
        if let Err(error) = EnvFilter::builder().parse(&self.log) {
            checks.require(false, "telemetry.log", || {
                format!("{:?} is not a filter: {error}", self.log)
            });
        }
    }
}
