//! Who may not come back into a room. Bans begin and end by events of the room's log, which the
//! journal writes; here is what is read.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, StoreError};
use crate::protocol::id::{RoomId, UserId};

const GET: Statement = statement!("room_bans/get");
const PAGE: Statement = statement!("room_bans/page");

/// Somebody who is banned now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub user_id: UserId,
    /// The unique name.
    pub username: String,
    /// What others see.
    pub display_name: String,
    /// By whom.
    pub banned_by: UserId,
    /// Why; may be empty.
    pub reason: String,
    /// Until when; none for ever.
    pub until: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
}

/// The ban of a user.
pub async fn get(conn: &Conn, room: RoomId, user: UserId) -> Result<Option<Ban>, StoreError> {
    let row = conn.query_opt(&GET, &[&room.0, &user.0]).await?;
    row.as_ref().map(read).transpose()
}

/// The bans of users whose id follows `after`, in the order of their ids, at most `limit`.
pub async fn page(
    conn: &Conn,
    room: RoomId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Ban>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), |user| user.0);
    let rows = conn
        .query(&PAGE, &[&room.0, &after, &i64::from(limit)])
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Ban, StoreError> {
    Ok(Ban {
        user_id: UserId(row.try_get("user_id")?),
        username: row.try_get("username")?,
        display_name: row.try_get("display_name")?,
        banned_by: UserId(row.try_get("banned_by")?),
        reason: row.try_get("reason")?,
        until: row.try_get("until")?,
        created_at: row.try_get("created_at")?,
    })
}
