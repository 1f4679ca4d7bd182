//! How long things are kept.

use serde::{Deserialize, Serialize};

use super::check::Checks;

/// The section `retention`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Hours that entries of the control log are kept.
    pub control_log_hours: u32,
}

impl Retention {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range(
            "retention.control_log_hours",
            self.control_log_hours,
            1..=87_600,
        );
    }
}
