//! Sessions. Only Postgres's clock says whether one has expired.

use std::time::Instant;

use jiff::Timestamp;

use super::cluster::ClockReading;
use super::statement::{Statement, statement};
use super::{Conn, StoreError, Tx, seq};
use crate::protocol::id::{SessionId, UserId};

const INSERT: Statement = statement!("sessions/insert");
const BY_TOKEN: Statement = statement!("sessions/by_token");
const TOUCH: Statement = statement!("sessions/touch");
const CHECK: Statement = statement!("sessions/check");
const PAGE: Statement = statement!("sessions/page");
const END: Statement = statement!("sessions/end");
const END_OTHERS: Statement = statement!("sessions/end_others");
const END_BY_TOKEN: Statement = statement!("sessions/end_by_token");
const DELETE_EXPIRED: Statement = statement!("sessions/delete_expired");

/// A session that has not expired, of an active user.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Until when, unless it is used again.
    pub expires_at: Timestamp,
    /// Whether its last use was written down more than a minute ago.
    pub touch_due: bool,
    /// When its last use was written down.
    pub last_seen_at: Timestamp,
    /// How far the control log went when this was read: its end comes after that.
    pub control_position: u64,
    /// The time when it was read.
    pub clock: ClockReading,
}

/// Begins a session; `token_hash` is what it is found by, `ttl_s` how long it lives unused,
/// seconds. Returns its end.
pub async fn insert(
    tx: &Tx<'_>,
    id: SessionId,
    token_hash: &[u8; 32],
    user: UserId,
    user_agent: &str,
    ttl_s: u64,
) -> Result<Timestamp, StoreError> {
    let token_hash = token_hash.as_slice();
    let row = tx
        .query_one(
            &INSERT,
            &[&id.0, &token_hash, &user.0, &user_agent, &(ttl_s as f64)],
        )
        .await?;
    Ok(row.try_get("expires_at")?)
}

/// The session of a token.
pub async fn by_token(conn: &Conn, token_hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
    let token_hash = token_hash.as_slice();
    let asked = Instant::now();
    let Some(row) = conn.query_opt(&BY_TOKEN, &[&token_hash]).await? else {
        return Ok(None);
    };
    let clock = ClockReading {
        showed: row.try_get("now")?,
        at: asked + asked.elapsed() / 2,
    };
    Ok(Some(Session {
        id: SessionId(row.try_get("id")?),
        user_id: UserId(row.try_get("user_id")?),
        expires_at: row.try_get("expires_at")?,
        touch_due: row.try_get("touch_due")?,
        last_seen_at: row.try_get("last_seen_at")?,
        control_position: seq::from_db(row.try_get("control_position")?)?,
        clock,
    }))
}

/// Writes down that a session was used just now. Returns its new end, or none if somebody else
/// has written it within the last minute, or the session has ended.
pub async fn touch(
    conn: &Conn,
    id: SessionId,
    ttl_s: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let row = conn.query_opt(&TOUCH, &[&id.0, &(ttl_s as f64)]).await?;
    Ok(row.map(|row| row.try_get("expires_at")).transpose()?)
}

/// Until when a session lasts that is in use now, which moves its end. None if it was ended, has
/// expired or its user is not active.
pub async fn check(
    conn: &Conn,
    id: SessionId,
    ttl_s: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let row = conn.query_opt(&CHECK, &[&id.0, &(ttl_s as f64)]).await?;
    Ok(row.map(|row| row.try_get("expires_at")).transpose()?)
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSession {
    /// Which.
    pub id: SessionId,
    /// What it was begun with.
    pub user_agent: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When its use was last written down.
    pub last_seen_at: Timestamp,
    /// Until when, unless it is used again.
    pub expires_at: Timestamp,
}

/// The sessions of a user that begun before `before`, the newest first, at most `limit`.
pub async fn page(
    conn: &Conn,
    user: UserId,
    before: Option<SessionId>,
    limit: u32,
) -> Result<Vec<ListedSession>, StoreError> {
    let before = before.map_or(uuid::Uuid::max(), |session| session.0);
    let rows = conn
        .query(&PAGE, &[&user.0, &before, &i64::from(limit)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ListedSession {
                id: SessionId(row.try_get("id")?),
                user_agent: row.try_get("user_agent")?,
                created_at: row.try_get("created_at")?,
                last_seen_at: row.try_get("last_seen_at")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .collect()
}

/// Ends a session of a user, and tells the control log. Returns its token's digest, if there was one.
pub async fn end(conn: &Conn, id: SessionId, user: UserId) -> Result<Option<[u8; 32]>, StoreError> {
    let row = conn.query_opt(&END, &[&id.0, &user.0]).await?;
    row.as_ref().map(token_hash_of).transpose()
}

fn token_hash_of(row: &tokio_postgres::Row) -> Result<[u8; 32], StoreError> {
    let hash: &[u8] = row.try_get("token_hash")?;
    hash.try_into().map_err(|_| StoreError::Corrupt {
        what: "digest of a token",
        source: "it has another length".into(),
    })
}

/// Ends all sessions of a user but one, and tells the control log. Returns which, with the digests of
/// their tokens.
pub async fn end_others(
    conn: &Conn,
    user: UserId,
    but: SessionId,
) -> Result<Vec<(SessionId, [u8; 32])>, StoreError> {
    let rows = conn.query(&END_OTHERS, &[&user.0, &but.0]).await?;
    rows.iter()
        .map(|row| Ok((SessionId(row.try_get("id")?), token_hash_of(row)?)))
        .collect()
}

/// Ends the session of a token, if there is one, and tells the control log. The lock of that
/// log's head is held until the transaction ends: nothing slow may follow.
pub async fn end_by_token(
    tx: &Tx<'_>,
    token_hash: &[u8; 32],
) -> Result<Option<SessionId>, StoreError> {
    let token_hash = token_hash.as_slice();
    let row = tx.query_opt(&END_BY_TOKEN, &[&token_hash]).await?;
    Ok(row
        .map(|row| row.try_get("id").map(SessionId))
        .transpose()?)
}

/// Removes at most `limit` sessions that have expired. Returns how many.
pub async fn delete_expired(conn: &Conn, limit: u32) -> Result<u64, StoreError> {
    conn.execute(&DELETE_EXPIRED, &[&i64::from(limit)]).await
}
