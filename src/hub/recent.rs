//! What the node remembers for a while: sessions that ended a moment ago, users whose memberships
//! began, and slugs.

use std::time::Duration;

use moka::sync::Cache;

use super::HubHandle;
use super::fanout::{FanoutMessage, Target};
use crate::config;
use crate::protocol::close::Disconnect;
use crate::protocol::id::{RoomId, SessionId};
use crate::protocol::text::Slug;

/// Slugs whose rooms are remembered.
const SLUGS_MAX: u64 = 10_000;

/// A slug is looked up again after this.
const SLUG_TTL: Duration = Duration::from_secs(60);

/// Ended sessions that are remembered, and users whose memberships have begun.
const ENDED_MAX: u64 = 100_000;

/// For longer than it may take to be let in, which may be by a ticket that was given out in the
/// moment of the session's end, by a request that took as long as one may.
const ENDED_TTL: Duration = Duration::from_secs(2 * config::TICKET_TTL_MAX_S);

/// The rooms of slugs.
pub(super) fn slugs() -> Cache<Slug, RoomId> {
    remembered(SLUGS_MAX, SLUG_TTL)
}

/// What ended or began a moment ago.
pub(super) fn endings<K, V>() -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    remembered(ENDED_MAX, ENDED_TTL)
}

/// What is remembered for a while, of the latest `max`.
fn remembered<K, V>(max: u64, ttl: Duration) -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(max).time_to_live(ttl).build()
}

impl HubHandle {
    /// Ends every socket of a session on this node.
    pub fn end_session(&self, session: SessionId) {
        self.shared.ended.insert(session, ());
        self.shared.gate.session_ended(session);
        let target = Target::Session(session);
        self.shared
            .workers
            .send(|| FanoutMessage::Disconnect(target, Disconnect::SessionEnded));
    }

    /// Has every client reconnect.
    pub(super) fn resync_everybody(&self) {
        self.shared.gate.sessions_missed();
        self.shared
            .workers
            .send(|| FanoutMessage::Disconnect(Target::All, Disconnect::Resync));
    }

    /// Whether a session was ended a moment ago: a handshake that found it valid may not have
    /// been finished then.
    pub(super) fn has_ended(&self, session: SessionId) -> bool {
        self.shared.ended.contains_key(&session)
    }
}
