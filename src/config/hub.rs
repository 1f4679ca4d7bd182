//! Rooms, presence and fan-out.

use serde::{Deserialize, Serialize};

use super::check::{Checks, DAY_S, GIB, HOUR_MS, TEN_MINUTES_MS};

/// The section `hub`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Threads that run rooms and presence; 0 is one for each core.
    pub arbiters: usize,
    /// Messages that may wait for one room, and joins that may wait until it has caught up.
    pub room_mailbox: usize,
    /// Events of a room kept in memory.
    pub room_memory_events: usize,
    /// Bytes of a room's events kept in memory.
    pub room_memory_bytes: usize,
    /// A room without connections is put away after this time.
    pub room_idle_s: u64,
    /// How long a room waits for a missing event before it reads the log.
    pub gap_wait_ms: u64,
    /// How often the heads of all active rooms are compared with their logs.
    pub anti_entropy_ms: u64,
    /// Events read from Postgres at once for a replay.
    pub replay_page_events: u32,
    /// Pages and checks for replays at once on the node.
    pub replay_pages_max: usize,
    /// How long such a page may wait for its turn.
    pub replay_wait_ms: u64,
    /// Restarts of one room, or of one kind of other actor, within the window.
    pub restart_max: u32,
    /// The window of `restart_max`.
    pub restart_window_s: u64,
    /// Read markers of this time are stored together.
    pub read_coalesce_ms: u64,
    /// Read markers that may wait to be stored.
    pub read_queue_max: usize,
    /// Frames that may wait for one worker thread.
    pub fanout_queue: usize,
    /// Messages that may wait for one presence tracker.
    pub presence_mailbox: usize,
    /// Joins and leaves of this time are sent as one diff.
    pub presence_coalesce_ms: u64,
    /// Rooms whose heads may wait to be told by NOTIFY.
    pub notify_rooms_max: usize,
    /// Without a look at the control log for so long, what not everybody may do is refused.
    pub control_stale_ms: u64,
    /// A room with more present users is told their number alone.
    pub presence_list_max: usize,
    /// And no more often than this.
    pub presence_count_ms: u64,
    /// A user whose connection or node was lost is still present for so long.
    pub presence_grace_ms: u64,
    /// How often nodes tell each other where they stand with presence.
    pub presence_digest_ms: u64,
    /// Users in rooms that are known of each other node.
    pub presence_peer_max: usize,
    /// How often who is online is written down.
    pub online_every_ms: u64,
}

impl Hub {
    /// How many threads run rooms and presence.
    #[must_use]
    pub fn arbiters(&self) -> usize {
        match self.arbiters {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            count => count,
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range("hub.arbiters", self.arbiters, 0..=1024);
        checks.range("hub.room_mailbox", self.room_mailbox, 1..=1_000_000);
        checks.range(
            "hub.room_memory_events",
            self.room_memory_events,
            1..=1_000_000,
        );
        checks.range("hub.room_memory_bytes", self.room_memory_bytes, 1024..=GIB);
        checks.range("hub.room_idle_s", self.room_idle_s, 1..=DAY_S);
        checks.range("hub.gap_wait_ms", self.gap_wait_ms, 0..=10_000);
        checks.range("hub.anti_entropy_ms", self.anti_entropy_ms, 100..=60_000);
        checks.range(
            "hub.replay_page_events",
            self.replay_page_events,
            1..=10_000,
        );
        checks.range("hub.replay_pages_max", self.replay_pages_max, 1..=10_000);
        checks.range(
            "hub.replay_wait_ms",
            self.replay_wait_ms,
            1..=TEN_MINUTES_MS,
        );
        checks.range("hub.restart_max", self.restart_max, 1..=10_000);
        checks.range("hub.restart_window_s", self.restart_window_s, 1..=DAY_S);
        checks.range("hub.read_coalesce_ms", self.read_coalesce_ms, 0..=10_000);
        checks.range("hub.read_queue_max", self.read_queue_max, 1..=1_000_000);
        checks.range("hub.fanout_queue", self.fanout_queue, 1..=10_000_000);
        checks.range(
            "hub.presence_mailbox",
            self.presence_mailbox,
            1..=10_000_000,
        );
        checks.range(
            "hub.presence_coalesce_ms",
            self.presence_coalesce_ms,
            0..=60_000,
        );
        checks.range("hub.notify_rooms_max", self.notify_rooms_max, 1..=1_000_000);
        checks.range(
            "hub.control_stale_ms",
            self.control_stale_ms,
            3000..=HOUR_MS,
        );
        checks.range(
            "hub.presence_list_max",
            self.presence_list_max,
            0..=1_000_000,
        );
        checks.range("hub.presence_count_ms", self.presence_count_ms, 0..=60_000);
        checks.range(
            "hub.presence_grace_ms",
            self.presence_grace_ms,
            0..=TEN_MINUTES_MS,
        );
        checks.range(
            "hub.presence_digest_ms",
            self.presence_digest_ms,
            100..=60_000,
        );
        checks.range(
            "hub.presence_peer_max",
            self.presence_peer_max,
            1000..=100_000_000,
        );
        checks.range("hub.online_every_ms", self.online_every_ms, 100..=60_000);
    }
}
