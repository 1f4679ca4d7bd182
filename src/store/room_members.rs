//! Who is a member of a room. Changes of membership are events of the room's log, and made by
//! the journal; here is what is read.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, StoreError};
use crate::protocol::event::Role;
use crate::protocol::id::{RoomId, UserId};

const GET: Statement = statement!("room_members/get");
const PAGE: Statement = statement!("room_members/page");

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// The unique name.
    pub username: String,
    /// What others see.
    pub display_name: String,
    /// What the member may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// Whether the member may say nothing.
    pub is_muted: bool,
    /// Until when; none for ever.
    pub muted_until: Option<Timestamp>,
}

/// One member.
pub async fn get(conn: &Conn, room: RoomId, user: UserId) -> Result<Option<Member>, StoreError> {
    let row = conn.query_opt(&GET, &[&room.0, &user.0]).await?;
    row.as_ref().map(member).transpose()
}

/// The members whose id follows `after`, in the order of their ids, at most `limit`.
pub async fn page(
    conn: &Conn,
    room: RoomId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Member>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), |user| user.0);
    let rows = conn
        .query(&PAGE, &[&room.0, &after, &i64::from(limit)])
        .await?;
    rows.iter().map(member).collect()
}

fn member(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        user_id: UserId(row.try_get("user_id")?),
        username: row.try_get("username")?,
        display_name: row.try_get("display_name")?,
        role: role(row.try_get("role")?)?,
        joined_at: row.try_get("joined_at")?,
        is_muted: row.try_get("is_muted")?,
        muted_until: row.try_get("muted_until")?,
    })
}

/// Reads the column `role`.
pub(super) fn role(text: &str) -> Result<Role, StoreError> {
    Role::parse(text).ok_or_else(|| StoreError::Corrupt {
        what: "role",
        source: format!("no role is called {text:?}").into(),
    })
}
