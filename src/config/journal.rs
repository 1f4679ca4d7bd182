//! The writers of durable events.

use serde::{Deserialize, Serialize};

use super::check::{Checks, GIB, TEN_MINUTES_MS};

/// The section `journal`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Connections that write, each with the rooms that hash to it.
    pub writers: usize,
    /// Publishes in one transaction at most.
    pub batch_max_events: usize,
    /// Bytes in one transaction at most.
    pub batch_max_bytes: usize,
    /// Publishes that wait for one writer at most.
    pub queue_max_events: usize,
    /// How long a batch waits for a locked head.
    pub lock_timeout_ms: u64,
    /// How long the publishes of such a room wait on a second connection.
    pub patient_lock_timeout_ms: u64,
    /// Longest time from sending a transaction to its answer.
    pub flight_timeout_ms: u64,
    /// Age of an unanswered transaction at which Postgres counts as stalled.
    pub stalled_after_ms: u64,
    /// Longest pause between attempts to reconnect.
    pub reconnect_max_ms: u64,
}

impl Journal {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("journal.writers", self.writers, 1..=64);
        checks.range(
            "journal.batch_max_events",
            self.batch_max_events,
            1..=10_000,
        );
        checks.range("journal.batch_max_bytes", self.batch_max_bytes, 1024..=GIB);
        checks.range(
            "journal.queue_max_events",
            self.queue_max_events,
            1..=1_000_000,
        );
        checks.at_least(
            ("journal.queue_max_events", self.queue_max_events),
            ("journal.batch_max_events", self.batch_max_events),
        );
        checks.range("journal.lock_timeout_ms", self.lock_timeout_ms, 1..=60_000);
        for (key, value) in [
            (
                "journal.patient_lock_timeout_ms",
                self.patient_lock_timeout_ms,
            ),
            ("journal.flight_timeout_ms", self.flight_timeout_ms),
            ("journal.stalled_after_ms", self.stalled_after_ms),
            ("journal.reconnect_max_ms", self.reconnect_max_ms),
        ] {
            checks.range(key, value, 1..=TEN_MINUTES_MS);
        }
        checks.at_most(
            ("journal.lock_timeout_ms", self.lock_timeout_ms),
            (
                "journal.patient_lock_timeout_ms",
                self.patient_lock_timeout_ms,
            ),
        );
        checks.require(
            self.lock_timeout_ms < self.flight_timeout_ms,
            "journal.lock_timeout_ms",
            || {
                format!(
                    "{} is not below journal.flight_timeout_ms, which is {}",
                    self.lock_timeout_ms, self.flight_timeout_ms
                )
            },
        );
    }
}
