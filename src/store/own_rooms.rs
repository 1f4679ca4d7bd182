//! What of rooms is a user's own: which ones there are for them, what they are in them, and how far
//! they have read. What everybody sees of a room is in [`super::rooms`].

use tokio_postgres::Row;
use uuid::Uuid;

use super::rooms::{self, Reading};
use super::statement::{Statement, statement};
use super::{Conn, StoreError};
use crate::protocol::event::Role;
use crate::protocol::id::{RoomId, RoomRef, UserId};

const LIST: Statement = statement!("rooms/own_list");
const LIST_MINE: Statement = statement!("rooms/own_list_mine");
const MANY: Statement = statement!("rooms/own_many");

/// A room that a user may know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnRoom {
    /// Which.
    pub id: RoomId,
    /// What the user is in it; none: no member.
    pub role: Option<Role>,
    /// How far the user has read; none: no member.
    pub reading: Option<Reading>,
}

/// Which rooms are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// All public ones, and the user's own.
    All,
    /// The user's own.
    Mine,
}

/// Rooms, the newest first: those made before `after` (the last of the page before), at most
/// `limit`.
pub async fn list(
    conn: &Conn,
    user: UserId,
    listing: Listing,
    after: Option<RoomId>,
    limit: u32,
) -> Result<Vec<OwnRoom>, StoreError> {
    let statement = match listing {
        Listing::All => &LIST,
        Listing::Mine => &LIST_MINE,
    };
    let before = after.map_or(Uuid::max(), |room| room.0);
    let rows = conn
        .query(statement, &[&user.0, &before, &i64::from(limit)])
        .await?;
    rows.iter().map(read).collect()
}

/// Those of several rooms that the user may know of, each once, in no order, with their slugs.
pub async fn many(
    conn: &Conn,
    wanted: &[RoomRef],
    user: UserId,
) -> Result<Vec<(String, OwnRoom)>, StoreError> {
    let (mut ids, mut slugs) = (Vec::new(), Vec::new());
    for room in wanted {
        match room {
            RoomRef::Id(id) => ids.push(id.0),
            RoomRef::Slug(slug) => slugs.push(slug.as_str()),
        }
    }
    let rows = conn.query(&MANY, &[&user.0, &ids, &slugs]).await?;
    let with_slug = |row: &Row| Ok((row.try_get("slug")?, read(row)?));
    rows.iter().map(with_slug).collect()
}

fn read(row: &Row) -> Result<OwnRoom, StoreError> {
    Ok(OwnRoom {
        id: RoomId(row.try_get("id")?),
        role: rooms::role(row)?,
        reading: rooms::reading(row)?,
    })
}
