//! Sessions: one login of one user, found by a token that only its owner has.
//!
//! They slide: each use moves the end, but is written down at most once a minute, because a
//! session that is used every second need not be updated every second. A login ends the session
//! that the same browser had before, so that a token planted there earlier is worth nothing.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::session_cache::SessionCache;
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
}

impl Sessions {
    /// With the times of the configuration.
    #[must_use]
    pub fn new(store: Store, config: &Config) -> Self {
        Self {
            store,
            ttl_s: config.auth.session_ttl_s,
            cache: SessionCache::new(config).map(Arc::new),
        }
    }

    /// A session has ended, on whatever node: it is found no more. To be called after the
    /// transaction that ended it.
    pub fn revoked(&self, session: SessionId) {
        if let Some(cache) = &self.cache {
            cache.revoke(session);
        }
    }

    /// Any session may have ended without this node hearing of it.
    pub fn forget_all(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// The control log has been applied as it was at this time: of sessions that had ended by then
    /// this node has been told.
    pub fn note_control_read(&self, at: Instant) {
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
            return self.read(&hash).await;
        };
        if let Some(session) = cache.get(&hash) {
            return Ok(Some(session));
        }
        let lookup = cache.look_up();
        let found = self.read(&hash).await?;
        fault::point!("auth.session.found");
        match found {
            Some(session) => cache.fill(lookup, hash, session),
            None => cache.forget(&hash),
        }
        Ok(found)
    }

    async fn read(&self, token: &TokenHash) -> Result<Option<FoundSession>, StoreError> {
        let conn = self.store.get().await?;
        let Some(session) = store::sessions::by_token(&conn, token).await? else {
            return Ok(None);
        };
        let moved = if session.touch_due {
            store::sessions::touch(&conn, session.id, self.ttl_s).await?
        } else {
            None
        };
        Ok(Some(FoundSession {
            id: session.id,
            user_id: session.user_id,
            expires_at: moved.unwrap_or(session.expires_at),
            renewed: moved.is_some(),
        }))
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
        store::sessions::end(&conn, id, user).await
    }

    /// Ends all sessions of a user but one, as [`Sessions::end`] does. Which they were.
    pub async fn end_others(
        &self,
        user: UserId,
        but: SessionId,
    ) -> Result<Vec<SessionId>, StoreError> {
        let conn = self.store.get().await?;
        store::sessions::end_others(&conn, user, but).await
    }

    /// Removes at most `limit` sessions that have expired, to be called now and then. Returns
    /// how many there were.
    pub async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let conn = self.store.get().await?;
        store::sessions::delete_expired(&conn, limit).await
    }
}
