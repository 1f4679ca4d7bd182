//! Rate and size limits.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, GIB};

/// The section `limits`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Networks to which no rate limit applies.
    pub exempt: Vec<IpNet>,
    /// Largest body of one message or event.
    pub message_bytes: usize,
    /// Different emojis that one message may have as reactions.
    pub reactions_per_message: u32,
    /// Messages that may be pinned in one room.
    pub pins_per_room: u32,
    /// REST reads.
    pub reads_per_min: u32,
    /// REST writes other than messages.
    pub writes_per_min: u32,
    /// Messages and events.
    pub publishes_per_min: u32,
    /// Logins and registrations.
    pub logins_per_min: u32,
    /// WebSocket connections opened.
    pub connects_per_min: u32,
    /// How long abuse is blocked.
    pub block_s: u64,
    /// How long what was counted waits before the other nodes are told.
    pub share_ms: u64,
    /// With so much of its limit to tell a counter does not wait.
    pub share_percent: u64,
    /// Open invitations of one room.
    pub invitations_per_room: u32,
    /// Answers to requests with an `Idempotency-Key` that are kept of one user.
    pub request_keys_per_user: u32,
    /// Exports that run on a node at once.
    pub exports_per_node: usize,
    /// Users and addresses remembered at most.
    pub keys_max: u64,
}

impl Limits {
    pub(super) fn check(&self, checks: &mut Checks) {
        for network in &self.exempt {
            super::check::network(checks, "limits.exempt", network);
        }
        checks.range("limits.message_bytes", self.message_bytes, 1..=GIB);
        for (key, value) in [
            ("limits.reactions_per_message", self.reactions_per_message),
            ("limits.pins_per_room", self.pins_per_room),
        ] {
            checks.range(key, value, 1..=1000);
        }
        for (key, value) in [
            ("limits.reads_per_min", self.reads_per_min),
            ("limits.writes_per_min", self.writes_per_min),
            ("limits.publishes_per_min", self.publishes_per_min),
            ("limits.logins_per_min", self.logins_per_min),
            ("limits.connects_per_min", self.connects_per_min),
        ] {
            checks.range(key, value, 1..=100_000_000);
        }
        checks.range("limits.block_s", self.block_s, 1..=DAY_S);
        checks.range("limits.share_ms", self.share_ms, 10..=60_000);
        checks.range("limits.share_percent", self.share_percent, 0..=100);
        checks.range(
            "limits.invitations_per_room",
            self.invitations_per_room,
            1..=10_000,
        );
        checks.range(
            "limits.request_keys_per_user",
            self.request_keys_per_user,
            1..=1_000_000,
        );
        checks.range("limits.exports_per_node", self.exports_per_node, 0..=10_000);
        checks.range("limits.keys_max", self.keys_max, 1..=100_000_000);
    }
}
