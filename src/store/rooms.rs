//! Rooms: what they are, and who may see them.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, Store, StoreError, room_members, seq};
use crate::protocol::event::{Epoch, History, Role, Seq};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::protocol::text::Slug;

const INSERT: Statement = statement!("rooms/insert");
const ID_BY_SLUG: Statement = statement!("rooms/id_by_slug");
const EXISTS: Statement = statement!("rooms/exists");
const ACCESS_BY_ID: Statement = statement!("rooms/access_by_id");
const ACCESS_BY_SLUG: Statement = statement!("rooms/access_by_slug");
const VIEW_BY_ID: Statement = statement!("rooms/view_by_id");
const VIEW_BY_SLUG: Statement = statement!("rooms/view_by_slug");
const SHARED: Statement = statement!("rooms/shared");
const MEMBERSHIP: Statement = statement!("rooms/membership");
const BUSIEST: Statement = statement!("rooms/busiest");

/// What decides on a command in a room, and where the room's log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomAccess {
    /// Which room.
    pub room_id: RoomId,
    /// Whether only its members may know of it.
    pub is_private: bool,
    /// What the user is in it; none: no member.
    pub role: Option<Role>,
    /// The last event that this member may not see; 0 if all may be seen.
    pub history_floor: Seq,
    /// The log's life.
    pub epoch: Epoch,
    /// The first event that is still in it, or would be.
    pub first_seq: Seq,
    /// Its last event.
    pub last_seq: Seq,
    /// Its last message.
    pub last_msg_no: u64,
    /// Until when the user may say nothing there, if they may not; the end may be over.
    pub muted_until: Option<Timestamp>,
}

/// A room as a certain user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub topic: String,
    /// Whether only its members may know of it.
    pub is_private: bool,
    /// What new members see of the past.
    pub history: History,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Moves with every change of the room itself.
    pub version: i64,
    /// The log's life.
    pub epoch: Epoch,
    /// Its last event.
    pub last_seq: Seq,
    /// Its last message.
    pub last_msg_no: u64,
    /// What the user is in it; none: no member.
    pub role: Option<Role>,
    /// How far the user has read; none: no member.
    pub reading: Option<Reading>,
}

/// How far a member has read a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The last message that was read.
    pub read_msg_no: u64,
    /// How often the member is named in messages after it; counted up to 1,000.
    pub mentions: u64,
}

/// What a new room brings.
#[derive(Debug, Clone, Copy)]
pub struct NewRoom<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its name in addresses.
    pub slug: &'a Slug,
    /// What it is about.
    pub topic: &'a str,
    /// Whether only its members may know of it.
    pub is_private: bool,
    /// What new members see of the past.
    pub history: History,
    /// Who makes it, and will own it.
    pub owner: UserId,
}

/// Makes a room with an empty log and its owner as the only member, in one transaction. None if
/// the slug is taken.
pub async fn insert(conn: &Conn, new: NewRoom<'_>) -> Result<Option<Room>, StoreError> {
    let id = RoomId::generate();
    let NewRoom {
        name,
        slug,
        topic,
        is_private,
        history,
        owner,
    } = new;
    // Random, so that a log that was reset, or a database that was made anew, has another one.
    let epoch = rand::random_range(1..=i32::MAX);
    let row = conn
        .query_opt(
            &INSERT,
            &[
                &id.0,
                &slug.as_str(),
                &name,
                &topic,
                &is_private,
                &owner.0,
                &epoch,
                &history.as_str(),
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Room {
        id,
        slug: slug.to_string(),
        name: name.to_owned(),
        topic: topic.to_owned(),
        is_private,
        history,
        created_by: owner,
        created_at: row.try_get("created_at")?,
        version: 1,
        epoch: Epoch(epoch),
        last_seq: 0,
        last_msg_no: 0,
        role: Some(Role::Owner),
        reading: Some(Reading {
            read_msg_no: 0,
            mentions: 0,
        }),
    }))
}

/// The id of the room that is meant, if there is one.
pub async fn resolve(conn: &Conn, room: &RoomRef) -> Result<Option<RoomId>, StoreError> {
    let row = match room {
        RoomRef::Id(id) => conn.query_opt(&EXISTS, &[&id.0]).await?,
        RoomRef::Slug(slug) => conn.query_opt(&ID_BY_SLUG, &[&slug.as_str()]).await?,
    };
    Ok(row.map(|row| row.try_get("id").map(RoomId)).transpose()?)
}

/// What `user` is in `room`, and where its log stands, in one query. None if there is no such
/// room; a private one is there even for those who may not know of it, see
/// [`RoomAccess::is_private`].
pub async fn access(
    store: &Store,
    room: &RoomRef,
    user: UserId,
) -> Result<Option<RoomAccess>, StoreError> {
    let conn = store.get().await?;
    let row = match room {
        RoomRef::Id(id) => conn.query_opt(&ACCESS_BY_ID, &[&id.0, &user.0]).await?,
        RoomRef::Slug(slug) => {
            conn.query_opt(&ACCESS_BY_SLUG, &[&slug.as_str(), &user.0])
                .await?
        }
    };
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RoomAccess {
        room_id: RoomId(row.try_get("id")?),
        is_private: row.try_get("is_private")?,
        role: role(&row)?,
        history_floor: seq::from_db(row.try_get("history_floor")?)?,
        epoch: Epoch(row.try_get("epoch")?),
        first_seq: seq::from_db(row.try_get("first_seq")?)?,
        last_seq: seq::from_db(row.try_get("last_seq")?)?,
        last_msg_no: seq::from_db(row.try_get("last_msg_no")?)?,
        muted_until: row.try_get("muted_until")?,
    }))
}

/// A room as `viewer` sees it; none if there is none, or none that they may know of.
pub async fn view(conn: &Conn, room: &RoomRef, viewer: UserId) -> Result<Option<Room>, StoreError> {
    let row = match room {
        RoomRef::Id(id) => conn.query_opt(&VIEW_BY_ID, &[&id.0, &viewer.0]).await?,
        RoomRef::Slug(slug) => {
            conn.query_opt(&VIEW_BY_SLUG, &[&slug.as_str(), &viewer.0])
                .await?
        }
    };
    row.as_ref().map(read).transpose()
}

/// Several rooms as everybody sees them who may know of them, in no order: nobody's role or reading is
/// in it.
pub async fn shared(store: &Store, rooms: &[RoomId]) -> Result<Vec<Room>, StoreError> {
    let ids: Vec<_> = rooms.iter().map(|room| room.0).collect();
    let conn = store.get().await?;
    let rows = conn.query(&SHARED, &[&ids]).await?;
    rows.iter().map(read).collect()
}

/// The rooms in which most was said lately, the busiest first, at most `limit`.
pub async fn busiest(store: &Store, limit: u32) -> Result<Vec<RoomId>, StoreError> {
    let conn = store.get().await?;
    let rows = conn.query(&BUSIEST, &[&i64::from(limit)]).await?;
    let id = |row: &Row| Ok(RoomId(row.try_get("room_id")?));
    rows.iter().map(id).collect()
}

/// What a member is in a room and how far they have read it, with where its log ended at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// What they are.
    pub role: Role,
    /// How far they have read.
    pub reading: Reading,
    /// The log's life.
    pub epoch: Epoch,
    /// Its last event.
    pub last_seq: Seq,
}

/// The membership of a user; none if there is none.
pub async fn membership(
    store: &Store,
    room: RoomId,
    user: UserId,
) -> Result<Option<Membership>, StoreError> {
    let conn = store.get().await?;
    let row = conn.query_opt(&MEMBERSHIP, &[&room.0, &user.0]).await?;
    let Some(row) = row else { return Ok(None) };
    let (Some(role), Some(reading)) = (role(&row)?, reading(&row)?) else {
        return Ok(None);
    };
    Ok(Some(Membership {
        role,
        reading,
        epoch: Epoch(row.try_get("epoch")?),
        last_seq: seq::from_db(row.try_get("last_seq")?)?,
    }))
}

fn read(row: &Row) -> Result<Room, StoreError> {
    Ok(Room {
        id: RoomId(row.try_get("id")?),
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
        topic: row.try_get("topic")?,
        is_private: row.try_get("is_private")?,
        history: history(row.try_get("history")?)?,
        created_by: UserId(row.try_get("created_by")?),
        created_at: row.try_get("created_at")?,
        version: row.try_get("version")?,
        epoch: Epoch(row.try_get("epoch")?),
        last_seq: seq::from_db(row.try_get("last_seq")?)?,
        last_msg_no: seq::from_db(row.try_get("last_msg_no")?)?,
        role: role(row)?,
        reading: reading(row)?,
    })
}

/// Reads the column `history`.
fn history(text: &str) -> Result<History, StoreError> {
    History::parse(text).ok_or_else(|| StoreError::Corrupt {
        what: "history",
        source: format!("no history is called {text:?}").into(),
    })
}

pub(super) fn reading(row: &Row) -> Result<Option<Reading>, StoreError> {
    let Some(read_msg_no) = row.try_get::<_, Option<i64>>("read_msg_no")? else {
        return Ok(None);
    };
    Ok(Some(Reading {
        read_msg_no: seq::from_db(read_msg_no)?,
        mentions: seq::from_db(row.try_get("mentions")?)?,
    }))
}

pub(super) fn role(row: &Row) -> Result<Option<Role>, StoreError> {
    let text: Option<&str> = row.try_get("role")?;
    text.map(room_members::role).transpose()
}
