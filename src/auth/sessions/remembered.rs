//! Sessions that were found a moment ago, so that a use need not ask Postgres.
//!
//! A session that ends is dropped at once, on whatever node it ended, because the control log says
//! so; a look-up that began before that never comes in after it. Where this node does not know
//! how far that log goes (it has not read it for `hub.control_stale_ms`), nothing is taken from
//! here. What is not told by the log is noticed when an entry's time is over: that somebody has
//! written into the tables by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use jiff::Timestamp;
use moka::notification::RemovalCause;
use parking_lot::RwLock;

use super::FoundSession;
use crate::auth::token::TokenHash;
use crate::config::Config;
use crate::metric::{CACHE_HITS, CACHE_MISSES};
use crate::protocol::id::SessionId;

/// The label in metrics.
const CACHE_TYPE: &str = "session";

/// The sessions that are remembered, by their tokens' digests.
pub(super) struct SessionCache {
    entries: moka::sync::Cache<TokenHash, Entry>,
    /// An entry counts only while it stands here, too: taking it out is what drops a session. It
    /// may be missing of an entry whose predecessor is being cleaned up, which is then looked up.
    by_session: Arc<DashMap<SessionId, TokenHash>>,
    ttl: Duration,
    /// How many sessions were dropped. Whoever fills the cache holds the lock to read.
    revocations: RwLock<u64>,
    /// The control log is known up to this time, milliseconds since `started`; 0 is not at all.
    known_ms: AtomicU64,
    stale_after: Duration,
    started: Instant,
}

#[derive(Clone, Copy)]
struct Entry {
    session: FoundSession,
    until: Instant,
}

/// A look-up that began at a certain moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup {
    revocations: u64,
}

impl SessionCache {
    /// Empty, and not used before the control log has been read. None if there is to be none.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let ttl = Duration::from_secs(config.auth.session_cache_s);
        if ttl.is_zero() {
            return None;
        }
        let by_session: Arc<DashMap<SessionId, TokenHash>> = Arc::default();
        let index = Arc::clone(&by_session);
        let forget = move |_: Arc<TokenHash>, entry: Entry, cause: RemovalCause| {
            if cause != RemovalCause::Replaced {
                index.remove(&entry.session.id);
            }
        };
        Some(Self {
            entries: moka::sync::Cache::builder()
                .max_capacity(config.auth.session_cache_max)
                .time_to_live(ttl)
                .eviction_listener(forget)
                .build(),
            by_session,
            ttl,
            revocations: RwLock::new(0),
            known_ms: AtomicU64::new(0),
            stale_after: Duration::from_millis(config.hub.control_stale_ms),
            started: Instant::now(),
        })
    }

    /// The session of a token, if it was found a moment ago and has not ended since.
    pub(super) fn get(&self, token: &TokenHash) -> Option<FoundSession> {
        let now = Instant::now();
        let found = self
            .is_current(now)
            .then(|| self.entries.get(token))
            .flatten()
            .filter(|entry| now < entry.until && self.is_listed(entry, token))
            .map(|entry| entry.session);
        let counter = if found.is_some() {
            &CACHE_HITS
        } else {
            &CACHE_MISSES
        };
        counter.with_label_values(&[CACHE_TYPE]).inc();
        found
    }

    fn is_listed(&self, entry: &Entry, token: &TokenHash) -> bool {
        let listed = self.by_session.get(&entry.session.id);
        listed.is_some_and(|listed| *listed == *token)
    }

    /// To be called before Postgres is asked for a session.
    pub(super) fn look_up(&self) -> Lookup {
        Lookup {
            revocations: *self.revocations.read(),
        }
    }

    /// Remembers what the look-up has found, unless any session has ended meanwhile: it may have
    /// been this one, after it was read.
    pub(super) fn fill(&self, lookup: Lookup, token: TokenHash, session: FoundSession) {
        let revocations = self.revocations.read();
        if *revocations != lookup.revocations {
            return;
        }
        // Half of what it has left: it is prolonged by being looked up again in time.
        let left_s = session.expires_at.as_second() - Timestamp::now().as_second();
        let half = Duration::from_secs(u64::try_from(left_s / 2).unwrap_or(0));
        let session = FoundSession {
            renewed: false,
            ..session
        };
        let until = Instant::now() + self.ttl.min(half);
        self.by_session.insert(session.id, token);
        self.entries.insert(token, Entry { session, until });
    }

    /// Postgres has no such session, whatever is remembered from before.
    pub(super) fn forget(&self, token: &TokenHash) {
        self.entries.invalidate(token);
    }

    /// A session has ended. Its token's digest, if it was remembered.
    pub(super) fn revoke(&self, session: SessionId) -> Option<TokenHash> {
        // Nobody fills meanwhile, and who began before will not.
        let mut revocations = self.revocations.write();
        *revocations += 1;
        let (_, token) = self.by_session.remove(&session)?;
        self.entries.invalidate(&token);
        Some(token)
    }

    /// Any session may have ended.
    pub(super) fn clear(&self) {
        let mut revocations = self.revocations.write();
        *revocations += 1;
        self.entries.invalidate_all();
        self.by_session.clear();
    }

    /// All that the control log had at this time has been applied.
    pub(super) fn note_control_read(&self, at: Instant) {
        let known = at.saturating_duration_since(self.started).as_millis();
        // Zero means never.
        let known = u64::try_from(known).unwrap_or(u64::MAX).max(1);
        self.known_ms.fetch_max(known, Ordering::Relaxed);
    }

    /// Whether it is known which sessions have ended.
    pub(super) fn is_current(&self, now: Instant) -> bool {
        let known_ms = self.known_ms.load(Ordering::Relaxed);
        let known = Duration::from_millis(known_ms);
        known_ms > 0 && now.saturating_duration_since(self.started) <= known + self.stale_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Token;
    use crate::protocol::id::UserId;

    fn cache(settings: &[(&str, &str)]) -> SessionCache {
        let environment = settings
            .iter()
            .map(|(key, value)| (format!("HUBBUB__{key}"), (*value).to_owned()));
        let config = Config::from_sources(None, environment).unwrap();
        let cache = SessionCache::new(&config).unwrap();
        cache.note_control_read(Instant::now());
        cache
    }

    fn session(left_s: i64) -> FoundSession {
        let end = Timestamp::now().as_second() + left_s;
        FoundSession {
            id: SessionId::generate(),
            user_id: UserId::generate(),
            expires_at: Timestamp::from_second(end).unwrap(),
            renewed: true,
        }
    }

    fn token() -> TokenHash {
        Token::generate().hash()
    }

    #[test]
    fn what_was_found_is_found_again_and_says_nothing_of_a_renewal() {
        let (cache, token, found) = (cache(&[]), token(), session(3600));
        assert!(cache.get(&token).is_none());
        cache.fill(cache.look_up(), token, found);
        let again = cache.get(&token).unwrap();
        assert_eq!((again.id, again.user_id), (found.id, found.user_id));
        assert!(!again.renewed);
    }

    #[test]
    fn a_session_that_ends_is_gone_at_once_and_no_earlier_look_up_brings_it_back() {
        let (cache, token, found) = (cache(&[]), token(), session(3600));
        cache.fill(cache.look_up(), token, found);
        let earlier = cache.look_up();
        cache.revoke(found.id);
        assert!(cache.get(&token).is_none());
        cache.fill(earlier, token, found);
        assert!(cache.get(&token).is_none());
        // A session that is not remembered yet is one, too.
        let (other, earlier) = (session(3600), cache.look_up());
        cache.revoke(other.id);
        cache.fill(earlier, token, other);
        assert!(cache.get(&token).is_none());

        let earlier = cache.look_up();
        cache.clear();
        cache.fill(earlier, token, found);
        assert!(cache.get(&token).is_none());
    }

    #[test]
    fn others_stay() {
        let cache = cache(&[]);
        let all: Vec<_> = (0..10).map(|_| (token(), session(3600))).collect();
        for (token, session) in &all {
            cache.fill(cache.look_up(), *token, *session);
        }
        cache.revoke(all[3].1.id);
        let left: Vec<_> = all.iter().filter(|it| cache.get(&it.0).is_some()).collect();
        assert_eq!(left.len(), 9);
    }

    #[test]
    fn without_the_control_log_nothing_is_known() {
        let cache = cache(&[("HUB__CONTROL_STALE_MS", "5000")]);
        let now = Instant::now();
        assert!(cache.is_current(now + Duration::from_secs(4)));
        assert!(!cache.is_current(now + Duration::from_secs(6)));
        cache.note_control_read(now + Duration::from_secs(3));
        // An older answer takes nothing back.
        cache.note_control_read(now);
        assert!(cache.is_current(now + Duration::from_secs(6)));
        cache.known_ms.store(0, Ordering::Relaxed);
        assert!(!cache.is_current(Instant::now()));
    }

    #[test]
    fn a_session_near_its_end_is_looked_up() {
        let (cache, token) = (cache(&[]), token());
        for left_s in [1, 0, -5] {
            cache.fill(cache.look_up(), token, session(left_s));
            assert!(cache.get(&token).is_none(), "{left_s} s");
        }
    }

    #[test]
    fn it_is_bounded_and_so_is_its_index() {
        let cache = cache(&[("AUTH__SESSION_CACHE_MAX", "100")]);
        for _ in 0..1000 {
            cache.fill(cache.look_up(), token(), session(3600));
        }
        cache.entries.run_pending_tasks();
        assert!(cache.entries.entry_count() <= 100);
        assert!(cache.by_session.len() <= 100, "{}", cache.by_session.len());
    }
}
