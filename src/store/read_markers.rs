//! How far members have read. The marker is a column of `room_members`.

use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Store, StoreError, seq};
use crate::protocol::id::{RoomId, UserId};

const MARK_READ: Statement = statement!("room_members/mark_read");

/// A member says how far it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The room.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
    /// The last message that was read.
    pub msg_no: u64,
}

/// What became of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The marker stands here now; `is_moved` if this batch has moved it.
    At {
        /// The last message that was read.
        msg_no: u64,
        /// Whether it stood elsewhere before.
        is_moved: bool,
    },
    /// The room has no such message yet.
    BeyondHead,
    /// Somebody else is changing the membership: to be tried again.
    Locked,
    /// The user is no member.
    NotAMember,
    /// There is no such room, or none that the user may know of.
    RoomNotFound,
}

/// Moves markers forward, in one statement. The outcomes are in the order of the marks.
pub async fn store(store: &Store, marks: &[Mark]) -> Result<Vec<Marked>, StoreError> {
    let rooms: Vec<Uuid> = marks.iter().map(|mark| mark.room_id.0).collect();
    let users: Vec<Uuid> = marks.iter().map(|mark| mark.user_id.0).collect();
    let numbers: Vec<i64> = marks.iter().map(|mark| seq::to_db(mark.msg_no)).collect();
    let conn = store.get().await?;
    let rows = conn.query(&MARK_READ, &[&rooms, &users, &numbers]).await?;
    rows.iter()
        .map(|row| {
            Ok(match row.try_get("verdict")? {
                "accepted" => Marked::At {
                    msg_no: seq::from_db(row.try_get("msg_no")?)?,
                    is_moved: row.try_get("is_moved")?,
                },
                "beyond_head" => Marked::BeyondHead,
                "locked" => Marked::Locked,
                "not_a_member" => Marked::NotAMember,
                _ => Marked::RoomNotFound,
            })
        })
        .collect()
}
