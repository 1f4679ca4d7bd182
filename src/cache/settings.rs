//! What the cache works by.

use std::time::Duration;

use super::key::Kind;
use super::local::Lives;
use super::staleness::Lifetime;
use crate::config::Config;

/// Heads that were not compared in so many intervals leave it unknown what has changed.
const INTERVALS: u32 = 3;

/// A comparison itself may take this long.
const COMPARING: Duration = Duration::from_secs(1);

/// A room is followed for so much longer than its copies live.
const IDLE: Duration = Duration::from_secs(60);

/// The settings, in the form in which they are used.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) local_bytes: u64,
    pub(super) rooms_max: usize,
    pub(super) loads_max: usize,
    pub(super) loads_waiting_max: usize,
    pub(super) load_timeout: Duration,
    /// How long after a comparison of heads it is known what has changed.
    pub(super) sound_for: Duration,
    /// A room that was not asked for in so long is followed no longer.
    pub(super) idle_ms: u64,
    /// How long names are remembered that cannot change.
    pub(super) names: Duration,
    room: Duration,
    messages: Duration,
    user: Duration,
    revalidate: Duration,
    on_error: Duration,
    most: Duration,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        let cache = &config.cache;
        let seconds = Duration::from_secs;
        let most = seconds(cache.max_age_s);
        let idle = most + IDLE;
        Self {
            local_bytes: cache.local_bytes,
            rooms_max: cache.rooms_max,
            loads_max: cache.loads_max,
            loads_waiting_max: cache.loads_waiting_max,
            load_timeout: Duration::from_millis(cache.load_timeout_ms),
            sound_for: Duration::from_millis(config.hub.anti_entropy_ms) * INTERVALS + COMPARING,
            idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
            names: seconds(cache.static_ttl_s),
            room: seconds(cache.room_ttl_s),
            messages: seconds(cache.messages_ttl_s),
            user: seconds(cache.user_ttl_s),
            revalidate: seconds(cache.stale_while_revalidate_s),
            on_error: seconds(cache.stale_if_error_s),
            most,
        }
    }

    /// How long copies of this kind are good.
    pub(super) fn lifetime(&self, kind: Kind) -> Lifetime {
        let ttl = match kind {
            Kind::Access | Kind::Room | Kind::Members => self.room,
            Kind::Messages => self.messages,
            Kind::User | Kind::Search => self.user,
            Kind::Membership => Duration::ZERO,
        };
        // What somebody may do is not guessed.
        let has_time = !matches!(kind, Kind::Access | Kind::Membership);
        Lifetime {
            ttl: ttl.min(self.most),
            revalidate: if has_time {
                self.revalidate
            } else {
                Duration::ZERO
            },
            on_error: self.on_error,
            most: self.most,
        }
    }

    pub(super) fn lives(&self) -> Lives {
        let life = |kind| (kind, self.lifetime(kind).keep());
        Lives(Kind::ALL.map(life).into())
    }
}
