//! The hub: a stand-in with the real one's signatures, until that is here. It writes what the
//! journal would write, without its guarantees, and delivers nothing.

use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{EventBody, MembershipChange, Role, Seq};
use crate::protocol::id::{EventId, RoomId, SessionId, UserId};
use crate::protocol::reply::{Published, RoomPresence};
use crate::store::statement::Statement;
use crate::store::{Store, StoreError, Tx};

/// The way into the hub.
#[derive(Clone)]
pub struct HubHandle {
    store: Store,
}

const fn inline(sql: &'static str) -> Statement {
    Statement { name: "stub", sql }
}

fn refuse(error: &StoreError) -> Refusal {
    if error.is_retryable() {
        return Refusal::new(ErrorCode::Unavailable, "the database is away");
    }
    tracing::error!(%error, "stand-in hub");
    Refusal::new(ErrorCode::Internal, "an internal error")
}

impl HubHandle {
    /// On a store.
    #[must_use]
    pub fn stand_in(store: Store) -> Self {
        Self { store }
    }

    /// Commits, then answers.
    pub async fn publish(
        &self,
        room: RoomId,
        sender: UserId,
        body: String,
        client_id: String,
    ) -> Result<Published, Refusal> {
        self.try_publish(room, sender, &body, &client_id)
            .await
            .unwrap_or_else(|error| Err(refuse(&error)))
    }

    async fn try_publish(
        &self,
        room: RoomId,
        sender: UserId,
        body: &str,
        client_id: &str,
    ) -> Result<Result<Published, Refusal>, StoreError> {
        let mut conn = self.store.get().await?;
        let tx = conn.transaction().await?;
        let earlier = tx
            .query_opt(
                &inline("SELECT seq, msg_no, id, created_at, fingerprint FROM publish_keys WHERE room_id = $1 AND user_id = $2 AND client_id = $3"),
                &[&room.0, &sender.0, &client_id],
            )
            .await?;
        if let Some(row) = earlier {
            if row.try_get::<_, &[u8]>("fingerprint")? != body.as_bytes() {
                return Ok(Err(Refusal::new(ErrorCode::ClientIdReused, "reused")));
            }
            return Ok(Ok(Published {
                seq: u64::try_from(row.try_get::<_, i64>("seq")?).unwrap_or(0),
                msg_no: u64::try_from(row.try_get::<_, i64>("msg_no")?).unwrap_or(0),
                id: EventId(row.try_get("id")?),
                created_at: row.try_get("created_at")?,
            }));
        }
        if role(&tx, room, sender).await?.is_none() {
            return Ok(Err(Refusal::new(ErrorCode::NotAMember, "not a member")));
        }
        let head = tx
            .query_one(
                &inline("UPDATE room_heads SET last_seq = last_seq + 1, last_msg_no = last_msg_no + 1 WHERE room_id = $1 RETURNING last_seq, last_msg_no, clock_timestamp() AS created_at"),
                &[&room.0],
            )
            .await?;
        let (seq, msg_no): (i64, i64) = (head.try_get(0)?, head.try_get(1)?);
        let created_at: jiff::Timestamp = head.try_get(2)?;
        let id = EventId::generate();
        tx.execute(
            &inline("INSERT INTO messages (id, room_id, seq, msg_no, user_id, client_id, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
            &[&id.0, &room.0, &seq, &msg_no, &sender.0, &client_id, &body, &created_at],
        )
        .await?;
        tx.execute(
            &inline("INSERT INTO publish_keys (room_id, user_id, client_id, fingerprint, seq, msg_no, id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
            &[&room.0, &sender.0, &client_id, &body.as_bytes(), &seq, &msg_no, &id.0, &created_at],
        )
        .await?;
        tx.commit().await?;
        Ok(Ok(Published {
            seq: u64::try_from(seq).unwrap_or(0),
            msg_no: u64::try_from(msg_no).unwrap_or(0),
            id,
            created_at,
        }))
    }

    /// Join/Added/Left/Removed/Role as an event in the room's sequence.
    pub async fn change_membership(
        &self,
        room: RoomId,
        actor: UserId,
        member: UserId,
        change: MembershipChange,
        role: Option<Role>,
    ) -> Result<Option<Seq>, Refusal> {
        self.try_change(room, actor, member, change, role)
            .await
            .unwrap_or_else(|error| Err(refuse(&error)))
    }

    async fn try_change(
        &self,
        room: RoomId,
        actor: UserId,
        member: UserId,
        change: MembershipChange,
        new_role: Option<Role>,
    ) -> Result<Result<Option<Seq>, Refusal>, StoreError> {
        let mut conn = self.store.get().await?;
        let tx = conn.transaction().await?;
        let head = tx
            .query_one(
                &inline("UPDATE room_heads SET last_seq = last_seq + 1 WHERE room_id = $1 RETURNING last_seq"),
                &[&room.0],
            )
            .await?;
        let seq: i64 = head.try_get(0)?;
        let before = role(&tx, room, member).await?;
        let others: i64 = tx
            .query_one(
                &inline("SELECT count(*) FROM room_members WHERE room_id = $1 AND user_id <> $2"),
                &[&room.0, &member.0],
            )
            .await?
            .try_get(0)?;
        let owners: i64 = tx
            .query_one(
                &inline("SELECT count(*) FROM room_members WHERE room_id = $1 AND user_id <> $2 AND role = 'owner'"),
                &[&room.0, &member.0],
            )
            .await?
            .try_get(0)?;
        let was_owner = before == Some(Role::Owner);
        let changed = if change.ends_membership() {
            if was_owner && others > 0 && owners == 0 {
                return Ok(Err(Refusal::new(ErrorCode::LastOwner, "the last owner")));
            }
            tx.execute(
                &inline("DELETE FROM room_members WHERE room_id = $1 AND user_id = $2"),
                &[&room.0, &member.0],
            )
            .await?
        } else if change == MembershipChange::Role {
            if was_owner && owners == 0 && new_role != Some(Role::Owner) {
                return Ok(Err(Refusal::new(ErrorCode::LastOwner, "the last owner")));
            }
            tx.execute(
                &inline("UPDATE room_members SET role = $3 WHERE room_id = $1 AND user_id = $2 AND role <> $3"),
                &[&room.0, &member.0, &new_role.unwrap_or(Role::Member).as_str()],
            )
            .await?
        } else {
            tx.execute(
                &inline("INSERT INTO room_members (room_id, user_id, role, joined_seq) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"),
                &[&room.0, &member.0, &new_role.unwrap_or(Role::Member).as_str(), &seq],
            )
            .await?
        };
        if changed == 0 {
            return Ok(Ok(None));
        }
        let body = EventBody::Membership {
            user_id: member,
            change,
            role: new_role,
        };
        let data = body.to_log().unwrap_or_default();
        tx.execute(
            &inline("INSERT INTO room_events (room_id, seq, kind, id, user_id, data, created_at) VALUES ($1, $2, 3, $3, $4, $5, clock_timestamp())"),
            &[&room.0, &seq, &EventId::generate().0, &actor.0, &data],
        )
        .await?;
        tx.commit().await?;
        Ok(Ok(Some(u64::try_from(seq).unwrap_or(0))))
    }

    /// Ends every socket of a session on this node.
    pub fn end_session(&self, _session: SessionId) {}

    /// Who is in a room now, on this node.
    #[allow(clippy::unused_async)]
    pub async fn presence(&self, room: RoomId) -> Result<RoomPresence, Refusal> {
        Ok(RoomPresence {
            room,
            count: 0,
            users: Vec::new(),
        })
    }

    /// Whether the node is going.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        false
    }
}

async fn role(tx: &Tx<'_>, room: RoomId, user: UserId) -> Result<Option<Role>, StoreError> {
    let row = tx
        .query_opt(
            &inline("SELECT role FROM room_members WHERE room_id = $1 AND user_id = $2"),
            &[&room.0, &user.0],
        )
        .await?;
    Ok(match row {
        Some(row) => Role::parse(row.try_get("role")?),
        None => None,
    })
}
