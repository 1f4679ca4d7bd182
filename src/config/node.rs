//! The node's name and folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{Checks, HOUR_MS};

/// The section `node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The node's name; empty: made once and kept in `data_dir/node_id`.
    pub id: String,
    /// The folder for what the node keeps.
    pub data_dir: PathBuf,
    /// How long others take the node for living after they have last heard of it.
    pub lease_ms: u64,
    /// How often it renews its lease and looks at those of others.
    pub report_ms: u64,
}

impl Node {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.require(self.id.is_empty() || is_name(&self.id), "node.id", || {
            format!("{:?} is too long or has other characters", self.id)
        });
        checks.require(
            !self.data_dir.as_os_str().is_empty(),
            "node.data_dir",
            || "it is empty".to_owned(),
        );
        checks.range("node.lease_ms", self.lease_ms, 1000..=HOUR_MS);
        checks.range("node.report_ms", self.report_ms, 100..=HOUR_MS);
        checks.require(
            self.report_ms <= self.lease_ms / 3,
            "node.report_ms",
            || "it is more than a third of node.lease_ms".to_owned(),
        );
    }
}

/// Whether `text` is 1 to 64 characters that need no escaping in a path, a cookie or a log.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
