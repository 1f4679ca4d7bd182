//! Invitations: a way into a room, for one person, once. Their use is a membership change, which
//! the journal makes; here is the rest.

use jiff::Timestamp;

use super::statement::{Statement, statement};
use super::{Conn, StoreError, room_members};
use crate::protocol::event::Role;
use crate::protocol::id::{InvitationId, RoomId, UserId};

const INSERT: Statement = statement!("invitations/insert");
const OPEN: Statement = statement!("invitations/open");
const BY_TOKEN: Statement = statement!("invitations/by_token");
const REVOKE: Statement = statement!("invitations/revoke");
const DELETE_EXPIRED: Statement = statement!("invitations/delete_expired");

/// An invitation that has not been used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Which.
    pub id: InvitationId,
    /// What whoever comes by it will be.
    pub role: Role,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// What a new invitation brings.
#[derive(Debug, Clone, Copy)]
pub struct NewInvitation<'a> {
    /// Into which room.
    pub room_id: RoomId,
    /// What it is found by.
    pub token_hash: &'a [u8; 32],
    /// What whoever comes by it will be.
    pub role: Role,
    /// Who makes it.
    pub created_by: UserId,
    /// How long it is good, seconds.
    pub expires_in_s: u64,
    /// Open invitations that the room may have.
    pub open_max: u32,
}

/// Where a token leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundInvitation {
    /// Which invitation.
    pub id: InvitationId,
    /// Into which room.
    pub room_id: RoomId,
    /// As what.
    pub role: Role,
}

/// Makes an invitation. None if the room has as many open ones as it may.
pub async fn insert(conn: &Conn, new: NewInvitation<'_>) -> Result<Option<Invitation>, StoreError> {
    let id = InvitationId::generate();
    let token_hash = new.token_hash.as_slice();
    let row = conn
        .query_opt(
            &INSERT,
            &[
                &id.0,
                &new.room_id.0,
                &token_hash,
                &new.role.as_str(),
                &new.created_by.0,
                &(new.expires_in_s as f64),
                &i64::from(new.open_max),
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Invitation {
        id,
        role: new.role,
        created_by: new.created_by,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    }))
}

/// The open invitations of a room, the oldest first, at most `limit`.
pub async fn open(conn: &Conn, room: RoomId, limit: u32) -> Result<Vec<Invitation>, StoreError> {
    let rows = conn.query(&OPEN, &[&room.0, &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Invitation {
                id: InvitationId(row.try_get("id")?),
                role: room_members::role(row.try_get("role")?)?,
                created_by: UserId(row.try_get("created_by")?),
                created_at: row.try_get("created_at")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .collect()
}

/// The invitation of a token, whatever has become of it.
pub async fn by_token(
    conn: &Conn,
    token_hash: &[u8; 32],
) -> Result<Option<FoundInvitation>, StoreError> {
    let token_hash = token_hash.as_slice();
    let Some(row) = conn.query_opt(&BY_TOKEN, &[&token_hash]).await? else {
        return Ok(None);
    };
    Ok(Some(FoundInvitation {
        id: InvitationId(row.try_get("id")?),
        room_id: RoomId(row.try_get("room_id")?),
        role: room_members::role(row.try_get("role")?)?,
    }))
}

/// Makes an invitation worthless. False if there is none of that room that is open or has expired.
pub async fn revoke(conn: &Conn, room: RoomId, id: InvitationId) -> Result<bool, StoreError> {
    Ok(conn.execute(&REVOKE, &[&room.0, &id.0]).await? > 0)
}

/// Removes at most `limit` invitations that expired a day ago. Returns how many.
pub async fn delete_expired(conn: &Conn, limit: u32) -> Result<u64, StoreError> {
    conn.execute(&DELETE_EXPIRED, &[&i64::from(limit)]).await
}
