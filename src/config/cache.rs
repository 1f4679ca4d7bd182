//! Copies of what is in the database.

use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, GIB, TEN_MINUTES_MS};

/// The section `cache`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Bytes of copies in the process.
    pub local_bytes: u64,
    /// Rooms that there may be copies of.
    pub rooms_max: usize,
    /// Whether rooms and pages of messages are kept in Redis, too.
    pub shared: bool,
    /// The largest of those.
    pub shared_max_bytes: usize,
    /// How long names are remembered that cannot change.
    pub static_ttl_s: u64,
    /// How long copies of users are fresh.
    pub user_ttl_s: u64,
    /// How long copies of rooms, members and memberships are fresh.
    pub room_ttl_s: u64,
    /// How long copies of messages are fresh.
    pub messages_ttl_s: u64,
    /// For so long after that they are given while they are made anew.
    pub stale_while_revalidate_s: u64,
    /// So old they may be if the database cannot be asked.
    pub stale_if_error_s: u64,
    /// So old they may be in any case.
    pub max_age_s: u64,
    /// Loads at once.
    pub loads_max: usize,
    /// Loads that are under way or wait for their turn.
    pub loads_waiting_max: usize,
    /// How long a load may take.
    pub load_timeout_ms: u64,
    /// Shorter bodies are not compressed.
    pub compress_min_bytes: usize,
    /// Longer bodies are not compressed.
    pub compress_max_bytes: usize,
    /// Rooms whose copies are made when the node starts.
    pub warm_rooms: u32,
}

impl Cache {
    pub(super) fn check(&self, checks: &mut Checks) {
        let most = GIB as u64;
        checks.range("cache.local_bytes", self.local_bytes, 0..=64 * most);
        checks.range("cache.rooms_max", self.rooms_max, 0..=1_000_000);
        checks.range("cache.shared_max_bytes", self.shared_max_bytes, 1024..=GIB);
        for (key, value) in [
            ("cache.static_ttl_s", self.static_ttl_s),
            ("cache.user_ttl_s", self.user_ttl_s),
            ("cache.room_ttl_s", self.room_ttl_s),
            ("cache.messages_ttl_s", self.messages_ttl_s),
            (
                "cache.stale_while_revalidate_s",
                self.stale_while_revalidate_s,
            ),
            ("cache.stale_if_error_s", self.stale_if_error_s),
            ("cache.max_age_s", self.max_age_s),
        ] {
            checks.range(key, value, 0..=DAY_S);
        }
        checks.range("cache.loads_max", self.loads_max, 1..=10_000);
        checks.range(
            "cache.loads_waiting_max",
            self.loads_waiting_max,
            1..=1_000_000,
        );
        checks.range(
            "cache.load_timeout_ms",
            self.load_timeout_ms,
            10..=TEN_MINUTES_MS,
        );
        checks.range("cache.compress_min_bytes", self.compress_min_bytes, 0..=GIB);
        checks.range("cache.compress_max_bytes", self.compress_max_bytes, 0..=GIB);
        checks.range("cache.warm_rooms", self.warm_rooms, 0..=100_000);
        checks.at_least(
            ("cache.loads_waiting_max", self.loads_waiting_max),
            ("cache.loads_max", self.loads_max),
        );
    }
}
