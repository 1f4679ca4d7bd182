//! Removing what is old: events of the rooms' logs, and the keys of what was published. Messages
//! and the other state stay.
//!
//! Each call is one small transaction. Ages are judged by Postgres's clock.

use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Store, StoreError, seq};
use crate::protocol::id::RoomId;

const LOCK: Statement = statement!("retention/lock");
const ROOMS_DUE: Statement = statement!("retention/rooms_due");
const REMOVE_EVENTS: Statement = statement!("retention/remove_events");
const MOVE_FIRST: Statement = statement!("retention/move_first");
const REMOVE_KEYS: Statement = statement!("retention/remove_keys");

/// A room that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Which.
    pub room_id: RoomId,
    /// Its log begins with events that are too old.
    pub is_due: bool,
}

/// The rooms that follow `after` in the order of their ids, at most `limit`.
pub async fn rooms_due(
    store: &Store,
    after: Option<RoomId>,
    limit: u32,
    days: u32,
) -> Result<Vec<Looked>, StoreError> {
    let after = after.map_or(Uuid::nil(), |room| room.0);
    let conn = store.get().await?;
    let rows = conn
        .query(&ROOMS_DUE, &[&after, &i64::from(limit), &in_days(days)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Looked {
                room_id: RoomId(row.try_get("room_id")?),
                is_due: row.try_get("is_due")?,
            })
        })
        .collect()
}

/// Removes at most `limit` of a room's oldest events that are older than so many days. How many
/// there were; none if another node is at work.
pub async fn remove_events(
    store: &Store,
    room: RoomId,
    limit: u32,
    days: u32,
) -> Result<Option<u64>, StoreError> {
    let mut conn = store.get().await?;
    let tx = conn.transaction().await?;
    let is_mine: bool = tx.query_one(&LOCK, &[]).await?.try_get("is_mine")?;
    if !is_mine {
        return Ok(None);
    }
    let row = tx
        .query_one(
            &REMOVE_EVENTS,
            &[&room.0, &i64::from(limit), &in_days(days)],
        )
        .await?;
    let removed = seq::from_db(row.try_get("removed")?)?;
    if let Some(last) = row.try_get::<_, Option<i64>>("last_seq")? {
        tx.execute(&MOVE_FIRST, &[&room.0, &(last + 1)]).await?;
    }
    tx.commit().await?;
    Ok(Some(removed))
}

/// Removes at most `limit` keys that are older than so many days, and tells how many.
pub async fn remove_keys(store: &Store, limit: u32, days: u32) -> Result<u64, StoreError> {
    let conn = store.get().await?;
    conn.execute(&REMOVE_KEYS, &[&i64::from(limit), &in_days(days)])
        .await
}

fn in_days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}
