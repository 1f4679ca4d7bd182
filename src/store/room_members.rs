//! Who is a member of a room. Changes of membership are events of the room's log, and made by
//! the journal; here is what is read.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, Store, StoreError, seq};
use crate::protocol::event::{Epoch, Role, Seq};
use crate::protocol::id::{RoomId, UserId};

const GET: Statement = statement!("room_members/get");
const PAGE: Statement = statement!("room_members/page");
const PAGE_WITH_HEAD: Statement = statement!("room_members/page_with_head");

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

/// A page of members, and the room's head at the same moment.
#[derive(Debug, Clone, PartialEq)]
pub struct MembersRead {
    /// As [`page`] gives them.
    pub members: Vec<Member>,
    /// The log's life.
    pub epoch: Epoch,
    /// Its last event.
    pub last_seq: Seq,
    /// How long until the first mute among them is over, by Postgres's clock.
    pub good_for: Option<Duration>,
}

/// The same as [`page`]; none if there is no such room.
pub async fn page_with_head(
    store: &Store,
    room: RoomId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Option<MembersRead>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), |user| user.0);
    let conn = store.get().await?;
    let rows = conn
        .query(&PAGE_WITH_HEAD, &[&room.0, &after, &i64::from(limit)])
        .await?;
    let Some(head) = rows.first() else {
        return Ok(None);
    };
    let mut read = MembersRead {
        members: Vec::with_capacity(rows.len()),
        epoch: Epoch(head.try_get("epoch")?),
        last_seq: seq::from_db(head.try_get("last_seq")?)?,
        good_for: None,
    };
    for row in &rows {
        // A row of nulls is a page without members.
        if row.try_get::<_, Option<uuid::Uuid>>("user_id")?.is_none() {
            continue;
        }
        read.members.push(member(row)?);
        let left_s: Option<f64> = row.try_get("mute_left_s")?;
        let left = left_s.and_then(|left| Duration::try_from_secs_f64(left.max(0.0)).ok());
        read.good_for = match (read.good_for, left) {
            (Some(known), Some(left)) => Some(known.min(left)),
            (known, left) => known.or(left),
        };
    }
    Ok(Some(read))
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
