//! What a user has not read, over all their rooms: two numbers that are there, and the mentions.

use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Conn, StoreError, seq};
use crate::protocol::event::Seq;
use crate::protocol::id::{RoomId, UserId};

const UNREAD: Statement = statement!("rooms/unread");

/// What a user has not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// How many rooms have something.
    pub rooms: u64,
    /// How many messages, in all of them.
    pub messages: u64,
    /// A page of them.
    pub page: Vec<UnreadRoom>,
}

/// What a user has not read of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadRoom {
    /// Which.
    pub room_id: RoomId,
    /// The log's last event.
    pub last_seq: Seq,
    /// The last message.
    pub last_msg_no: u64,
    /// The last message that was read.
    pub read_msg_no: u64,
    /// How often the user is named after it; counted up to 1,000.
    pub mentions: u64,
}

/// What `user` has not read, in one query. The page has the rooms whose id follows `after`, in the
/// order of their ids, at most `limit`.
pub async fn summary(
    conn: &Conn,
    user: UserId,
    after: Option<RoomId>,
    limit: u32,
) -> Result<Unread, StoreError> {
    let after = after.map_or(Uuid::nil(), |room| room.0);
    let rows = conn
        .query(&UNREAD, &[&user.0, &after, &i64::from(limit)])
        .await?;
    let mut unread = Unread {
        rooms: 0,
        messages: 0,
        page: Vec::with_capacity(rows.len()),
    };
    for row in &rows {
        unread.rooms = seq::from_db(row.try_get("total_rooms")?)?;
        unread.messages = seq::from_db(row.try_get("total_unread")?)?;
        let Some(room) = row.try_get::<_, Option<Uuid>>("room_id")? else {
            continue;
        };
        unread.page.push(UnreadRoom {
            room_id: RoomId(room),
            last_seq: seq::from_db(row.try_get("last_seq")?)?,
            last_msg_no: seq::from_db(row.try_get("last_msg_no")?)?,
            read_msg_no: seq::from_db(row.try_get("read_msg_no")?)?,
            mentions: seq::from_db(row.try_get("mentions")?)?,
        });
    }
    Ok(unread)
}
