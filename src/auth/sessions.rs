//! Sessions: one login of one user, found by a token that only its owner has.
//!
//! They slide: each use moves the end, but is written down at most once a minute, because a
//! session that is used every second need not be updated every second. A login ends the session
//! that the same browser had before, so that a token planted there earlier is worth nothing.
//!
//! They are looked up in this process ([`remembered`]), then in Redis, if there is one ([`shared`]),
//! then in Postgres, where they are. While this node does not know which have ended (it cannot read the
//! control log), Postgres alone is asked.

mod ended;
mod remembered;
mod sealed;
mod shared;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use self::remembered::SessionCache;
use self::sealed::Entry;
pub use self::shared::Sharing;
use self::shared::{Known, SharedSessions};
use super::token::{Token, TokenHash};
use crate::config::Config;
use crate::fault;
use crate::protocol::id::{SessionId, UserId};
pub use crate::store::sessions::ListedSession;
use crate::store::{self, Store, StoreError, Tx};

/// A session as its owner gets it, once.
#[derive(Debug)]
pub struct NewSession {
    /// Which.
    pub id: SessionId,
    /// What the owner shows from now on.
    pub token: Token,
    /// Until when, unless it is used.
    pub expires_at: Timestamp,
    /// The session of the same browser that this one takes the place of, and that has ended.
    pub replaces: Option<SessionId>,
}

/// A session that was found.
#[derive(Debug, Clone, Copy)]
pub struct FoundSession {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Until when, unless it is used again.
    pub expires_at: Timestamp,
    /// Whether this use has moved its end; the browser's cookie should move along.
    pub renewed: bool,
}

/// The longest `User-Agent` that is kept, characters.
const USER_AGENT_MAX_CHARS: usize = 200;

/// Begins, finds and ends sessions.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    ttl_s: u64,
    cache: Option<Arc<SessionCache>>,
    shared: Option<Arc<SharedSessions>>,
}

impl Sessions {
    /// With the times of the configuration; in Redis, too, if there is one.
    #[must_use]
    pub fn new(store: Store, config: &Config, sharing: Option<Sharing>) -> Self {
        let cache = SessionCache::new(config).map(Arc::new);
        // Who is to remember nothing asks nobody who does.
        let sharing = sharing.filter(|_| cache.is_some());
        let shared = sharing.and_then(|sharing| SharedSessions::new(sharing, config));
        Self {
            store,
            ttl_s: config.auth.session_ttl_s,
            cache,
            shared: shared.map(Arc::new),
        }
    }

    /// A session has ended, on whatever node: it is found no more. To be called after the
    /// transaction that ended it.
    pub fn revoked(&self, session: SessionId) {
        if let Some(shared) = &self.shared {
            shared.note_end(session);
        }
        let token = self.cache.as_ref().and_then(|it| it.revoke(session));
        if let (Some(shared), Some(token)) = (&self.shared, token) {
            shared.delete(&token);
        }
    }

    /// Any session may have ended without this node hearing of it.
    pub fn forget_all(&self) {
        if let Some(shared) = &self.shared {
            shared.forget_ends();
        }
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// The control log has been applied as it was at this time, up to this position: of sessions
    /// that had ended by then this node has been told.
    pub fn note_control_read(&self, at: Instant, position: u64) {
        if let Some(shared) = &self.shared {
            shared.known_to(position);
        }
        if let Some(cache) = &self.cache {
            cache.note_control_read(at);
        }
    }

    /// Begins a session of `user` and ends that of `old`, in the caller's transaction.
    pub async fn begin(
        &self,
        tx: &Tx<'_>,
        user: UserId,
        user_agent: &str,
        old: Option<&Token>,
    ) -> Result<NewSession, StoreError> {
        let (id, token) = (SessionId::generate(), Token::generate());
        let user_agent: String = user_agent
            .chars()
            .filter(|c| !c.is_control())
            .take(USER_AGENT_MAX_CHARS)
            .collect();
        let expires_at =
            store::sessions::insert(tx, id, &token.hash(), user, &user_agent, self.ttl_s).await?;
        // Last: it takes the lock of the control log's head.
        let replaces = match old {
            Some(token) => store::sessions::end_by_token(tx, &token.hash()).await?,
            None => None,
        };
        Ok(NewSession {
            id,
            token,
            expires_at,
            replaces,
        })
    }

    /// The session of a token, if it has not expired.
    pub async fn find(&self, token: &Token) -> Result<Option<FoundSession>, StoreError> {
        let hash = token.hash();
        let Some(cache) = &self.cache else {
            let found = self.read(&hash).await?;
            return Ok(found.map(|(session, _)| session));
        };
        if let Some(session) = cache.get(&hash) {
            return Ok(Some(session));
        }
        let lookup = cache.look_up();
        if cache.is_current(Instant::now())
            && let Some(session) = self.find_shared(&hash).await
        {
            cache.fill(lookup, hash, session);
            return Ok(Some(session));
        }
        let found = self.read(&hash).await?;
        fault::point!("auth.session.found");
        let Some((session, entry)) = found else {
            cache.forget(&hash);
            return Ok(None);
        };
        cache.fill(lookup, hash, session);
        if let Some(shared) = &self.shared {
            shared.put(&hash, &entry);
        }
        Ok(Some(session))
    }

    /// What Redis knows of a token.
    async fn find_shared(&self, token: &TokenHash) -> Option<FoundSession> {
        let shared = self.shared.as_ref()?;
        let known = shared.get(token).await?;
        let session = known.session()?;
        if !known.is_due {
            return Some(session);
        }
        match self.touch(known).await {
            Ok(Some(moved)) => {
                let entry = Entry {
                    expires_us: moved.as_microsecond(),
                    seen_us: shared.now_us(),
                    ..known.entry
                };
                shared.put(token, &entry);
                Some(FoundSession {
                    expires_at: moved,
                    renewed: true,
                    ..session
                })
            }
            // Another has written it down, or it is not there any more: Postgres knows.
            Ok(None) => {
                shared.delete(token);
                None
            }
            // It lasts all the same; the next use moves its end.
            Err(error) => {
                tracing::debug!(%error, "the use of a session was not written down");
                Some(session)
            }
        }
    }

    /// Writes down a use of a session that Redis knows.
    async fn touch(&self, known: Known) -> Result<Option<Timestamp>, StoreError> {
        let conn = self.store.get().await?;
        store::sessions::touch(&conn, known.entry.id, self.ttl_s).await
    }

    async fn read(&self, token: &TokenHash) -> Result<Option<(FoundSession, Entry)>, StoreError> {
        let conn = self.store.get().await?;
        let Some(session) = store::sessions::by_token(&conn, token).await? else {
            return Ok(None);
        };
        let moved = if session.touch_due {
            store::sessions::touch(&conn, session.id, self.ttl_s).await?
        } else {
            None
        };
        let seen_at = if moved.is_some() {
            session.clock.showed
        } else {
            session.last_seen_at
        };
        let expires_at = moved.unwrap_or(session.expires_at);
        if let Some(shared) = &self.shared {
            shared.note_clock(session.clock);
        }
        let found = FoundSession {
            id: session.id,
            user_id: session.user_id,
            expires_at,
            renewed: moved.is_some(),
        };
        let entry = Entry {
            id: session.id,
            user_id: session.user_id,
            expires_us: expires_at.as_microsecond(),
            seen_us: seen_at.as_microsecond(),
            position: session.control_position,
        };
        Ok(Some((found, entry)))
    }

    /// Until when a session lasts now, by Postgres's clock; none if it was ended, has expired or
    /// its user is not active. For a socket that is open when the end it knows of comes near:
    /// being connected is a use, so this slides the session. It must be called before that end;
    /// afterwards there is nothing left to slide unless another use has moved it.
    pub async fn check(&self, id: SessionId) -> Result<Option<Timestamp>, StoreError> {
        let conn = self.store.get().await?;
        store::sessions::check(&conn, id, self.ttl_s).await
    }

    /// The sessions of a user that began before `before`, the newest first, at most `limit`.
    pub async fn list(
        &self,
        user: UserId,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, StoreError> {
        let conn = self.store.get().await?;
        store::sessions::page(&conn, user, before, limit).await
    }

    /// Ends a session of a user; every node hears of it by the control log. Whether there was
    /// one. Its sockets and tickets on this node are the caller's to end.
    pub async fn end(&self, id: SessionId, user: UserId) -> Result<bool, StoreError> {
        let conn = self.store.get().await?;
        let token = store::sessions::end(&conn, id, user).await?;
        if let (Some(shared), Some(token)) = (&self.shared, &token) {
            shared.note_end(id);
            shared.delete(token);
        }
        Ok(token.is_some())
    }

    /// Ends all sessions of a user but one, as [`Sessions::end`] does. Which they were.
    pub async fn end_others(
        &self,
        user: UserId,
        but: SessionId,
    ) -> Result<Vec<SessionId>, StoreError> {
        let conn = self.store.get().await?;
        let ended = store::sessions::end_others(&conn, user, but).await?;
        if let Some(shared) = &self.shared {
            for (session, token) in &ended {
                shared.note_end(*session);
                shared.delete(token);
            }
        }
        Ok(ended.into_iter().map(|(session, _)| session).collect())
    }

    /// Removes at most `limit` sessions that have expired, to be called now and then. Returns
    /// how many there were.
    pub async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let conn = self.store.get().await?;
        store::sessions::delete_expired(&conn, limit).await
    }
}
