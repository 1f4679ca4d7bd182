//! The control log: what every node must hear of besides the rooms' events, such as sessions that
//! have ended.
//!
//! Its entries are densely numbered through the one row of `control_head`, by the statement that
//! does what the entry tells, in the same transaction. The row's lock is held until the commit, so
//! ids become visible in their order: a reader that asks for what follows its position never
//! passes over an entry that commits later.
//!
//! `data` of an entry, by its kind: ids as 16 bytes, numbers as 8 bytes with the highest first.
//!
//! | kind | data |
//! |---|---|
//! | `session_ended` | session, user |
//! | `membership_began`, `membership_ended`, `membership_changed` | room, user, seq of the event |
//! | `drain` | the node's name as UTF-8; empty for all nodes |
//! | `disconnect` | see [`Dismissal`] |
//! | `user_changed` | user |
//! | `users_added` | nothing |
//! | `copies_dropped` | room; nothing for everything |

use tokio_postgres::Row;
use uuid::Uuid;

use super::statement::{Statement, statement};
use super::{Conn, StoreError, seq};
use crate::protocol::connection::ConnectionId;
use crate::protocol::event::Seq;
use crate::protocol::id::{RoomId, SessionId, UserId};

const HEAD: Statement = statement!("control_log/head");
pub(super) const AFTER: Statement = statement!("control_log/after");
const DELETE_OLD: Statement = statement!("control_log/delete_old");
const ORDER_DRAIN: Statement = statement!("control_log/order_drain");
const ORDER_DISCONNECT: Statement = statement!("control_log/order_disconnect");
const ORDER_DROP: Statement = statement!("control_log/order_drop");

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlEntry {
    /// Its place, dense from 1.
    pub id: u64,
    /// What it tells; none for what this version does not know.
    pub news: Option<ControlNews>,
}

/// What an entry tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlNews {
    /// A session was ended before its time.
    SessionEnded {
        /// Which.
        session_id: SessionId,
        /// Whose.
        user_id: UserId,
    },
    /// Somebody has become a member, with the event `seq`.
    MembershipBegan(MembershipNews),
    /// Somebody is a member no more.
    MembershipEnded(MembershipNews),
    /// A member's role has changed, or whether they are muted.
    MembershipChanged(MembershipNews),
    /// A node is to drain; none: all are.
    Drain(Option<String>),
    /// Connections are to end.
    Disconnect(Dismissal),
    /// What others see of a user has changed.
    UserChanged(UserId),
    /// There are users who were not there before.
    UsersAdded,
    /// Copies of this room are to be made anew; none: of everything.
    CopiesDropped(Option<RoomId>),
}

/// Connections that are to end.
///
/// In the log: a byte of flags (1: they are to come back, on another node if they can; 2: a user
/// is named), the user's 16 bytes if one is, and the connection's id as UTF-8 if one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dismissal {
    /// Whose; with a connection: only if it is theirs.
    pub user_id: Option<UserId>,
    /// Only this one. Neither this nor a user means nobody.
    pub connection: Option<ConnectionId>,
    /// They are told to come back, as when a node drains; else not to.
    pub is_move: bool,
}

const MOVE: u8 = 1;
const USER: u8 = 2;

impl Dismissal {
    fn write(&self) -> Vec<u8> {
        let mut data = vec![if self.is_move { MOVE } else { 0 }];
        if let Some(user) = self.user_id {
            data[0] |= USER;
            data.extend(user.0.as_bytes());
        }
        if let Some(connection) = &self.connection {
            data.extend(connection.to_string().as_bytes());
        }
        data
    }

    fn read(data: &[u8]) -> Option<Self> {
        let (&flags, mut rest) = data.split_first()?;
        if flags & !(MOVE | USER) != 0 {
            return None;
        }
        let mut user_id = None;
        if flags & USER != 0 {
            let user;
            (user, rest) = rest.split_at_checked(16)?;
            user_id = Some(UserId(Uuid::from_slice(user).ok()?));
        }
        let connection = match str::from_utf8(rest).ok()? {
            "" => None,
            text => Some(text.parse().ok()?),
        };
        Some(Self {
            user_id,
            connection,
            is_move: flags & MOVE != 0,
        })
    }
}

/// Whose membership it is about, and which event changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembershipNews {
    /// The room.
    pub room_id: RoomId,
    /// The user.
    pub user_id: UserId,
    /// The event's place in the room.
    pub seq: Seq,
}

impl ControlNews {
    /// A name for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionEnded { .. } => "session_ended",
            Self::MembershipBegan(_) => "membership_began",
            Self::MembershipEnded(_) => "membership_ended",
            Self::MembershipChanged(_) => "membership_changed",
            Self::Drain(_) => "drain",
            Self::Disconnect(_) => "disconnect",
            Self::UserChanged(_) => "user_changed",
            Self::UsersAdded => "users_added",
            Self::CopiesDropped(_) => "copies_dropped",
        }
    }

    /// Reads an entry; none if it is of a kind that a newer version writes.
    fn read(kind: &str, data: &[u8]) -> Option<Self> {
        Some(match kind {
            "session_ended" => {
                let (session, user) = data.split_at_checked(16)?;
                Self::SessionEnded {
                    session_id: SessionId(Uuid::from_slice(session).ok()?),
                    user_id: UserId(Uuid::from_slice(user).ok()?),
                }
            }
            "membership_began" => Self::MembershipBegan(MembershipNews::read(data)?),
            "membership_ended" => Self::MembershipEnded(MembershipNews::read(data)?),
            "membership_changed" => Self::MembershipChanged(MembershipNews::read(data)?),
            "drain" => {
                let node = str::from_utf8(data).ok()?;
                Self::Drain((!node.is_empty()).then(|| node.to_owned()))
            }
            "disconnect" => Self::Disconnect(Dismissal::read(data)?),
            "user_changed" => Self::UserChanged(UserId(Uuid::from_slice(data).ok()?)),
            "users_added" => Self::UsersAdded,
            "copies_dropped" if data.is_empty() => Self::CopiesDropped(None),
            "copies_dropped" => Self::CopiesDropped(Some(RoomId(Uuid::from_slice(data).ok()?))),
            _ => return None,
        })
    }
}

impl MembershipNews {
    fn read(data: &[u8]) -> Option<Self> {
        let (room, rest) = data.split_at_checked(16)?;
        let (user, seq) = rest.split_at_checked(16)?;
        Some(Self {
            room_id: RoomId(Uuid::from_slice(room).ok()?),
            user_id: UserId(Uuid::from_slice(user).ok()?),
            seq: u64::from_be_bytes(seq.try_into().ok()?),
        })
    }
}

/// A page of the log, and where the log ended when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPage {
    /// The last entry's id.
    pub head: u64,
    /// What follows the position that was asked for, in order.
    pub entries: Vec<ControlEntry>,
}

impl ControlPage {
    pub(super) fn read(rows: &[Row]) -> Result<Self, StoreError> {
        let head = rows.first().map_or(Ok(0), |row| row.try_get("head"))?;
        let mut entries = Vec::with_capacity(rows.len());
        let mut unread = (0u64, None);
        for row in rows {
            let Some(id) = row.try_get::<_, Option<i64>>("id")? else {
                continue;
            };
            let (kind, data): (&str, &[u8]) = (row.try_get("kind")?, row.try_get("data")?);
            let news = ControlNews::read(kind, data);
            if news.is_none() {
                unread.0 += 1;
                unread.1.get_or_insert((id, kind));
            }
            let id = seq::from_db(id)?;
            entries.push(ControlEntry { id, news });
        }
        // While a newer version runs beside this one there may be many.
        if let (count, Some((first, kind))) = unread {
            tracing::warn!(
                count,
                first,
                kind,
                "entries of the control log cannot be read"
            );
        }
        Ok(Self {
            head: seq::from_db(head)?,
            entries,
        })
    }
}

/// Where the log ends.
pub async fn head(conn: &Conn) -> Result<u64, StoreError> {
    let row = conn.query_one(&HEAD, &[]).await?;
    seq::from_db(row.try_get("last_id")?)
}

/// Orders a node to drain, or all.
pub async fn order_drain(conn: &Conn, node: Option<&str>) -> Result<u64, StoreError> {
    let row = conn
        .query_one(&ORDER_DRAIN, &[&node.unwrap_or_default()])
        .await?;
    seq::from_db(row.try_get("last_id")?)
}

/// Orders connections to end, wherever they are. Every node that lives does so, when it reads this
/// at the latest.
pub async fn order_disconnect(conn: &Conn, dismissal: &Dismissal) -> Result<u64, StoreError> {
    let row = conn
        .query_one(&ORDER_DISCONNECT, &[&dismissal.write()])
        .await?;
    seq::from_db(row.try_get("last_id")?)
}

/// Has every node make its copies of a room anew, or all its copies.
pub async fn order_drop(conn: &Conn, room: Option<RoomId>) -> Result<u64, StoreError> {
    let data = room.map(|room| room.0.as_bytes().to_vec());
    let row = conn
        .query_one(&ORDER_DROP, &[&data.unwrap_or_default()])
        .await?;
    seq::from_db(row.try_get("last_id")?)
}

/// Removes entries older than `hours`, of the `limit` oldest. Returns how many.
pub async fn delete_old(conn: &Conn, hours: u32, limit: u32) -> Result<u64, StoreError> {
    let hours = i32::try_from(hours).unwrap_or(i32::MAX);
    conn.execute(&DELETE_OLD, &[&hours, &i64::from(limit)])
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_the_statements_write_them() {
        let (room, user) = (RoomId::generate(), UserId::generate());
        let mut data = room.0.as_bytes().to_vec();
        data.extend(user.0.as_bytes());
        data.extend(7u64.to_be_bytes());
        let news = MembershipNews {
            room_id: room,
            user_id: user,
            seq: 7,
        };
        assert_eq!(
            ControlNews::read("membership_ended", &data),
            Some(ControlNews::MembershipEnded(news))
        );
        assert_eq!(
            ControlNews::read("drain", b"node-1"),
            Some(ControlNews::Drain(Some("node-1".into())))
        );
        assert_eq!(
            ControlNews::read("drain", b""),
            Some(ControlNews::Drain(None))
        );
    }

    #[test]
    fn dismissals_come_back() {
        let connection: ConnectionId = "node-1~7~0-12-3".parse().unwrap();
        for user_id in [None, Some(UserId::generate())] {
            for connection in [None, Some(connection.clone())] {
                for is_move in [false, true] {
                    let dismissal = Dismissal {
                        user_id,
                        connection: connection.clone(),
                        is_move,
                    };
                    assert_eq!(
                        ControlNews::read("disconnect", &dismissal.write()),
                        Some(ControlNews::Disconnect(dismissal))
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for (kind, data) in [
            ("session_ended", &b"short"[..]),
            ("membership_began", &[0; 39]),
            ("membership_began", &[0; 41]),
            ("drain", b"\xff"),
            ("disconnect", b""),
            ("disconnect", b"\x04"),
            ("disconnect", b"\x02short"),
            ("disconnect", b"\x00no connection"),
            ("user_changed", b"short"),
            ("copies_dropped", b"short"),
            ("of the future", b""),
        ] {
            assert_eq!(ControlNews::read(kind, data), None, "{kind}");
        }
    }
}
