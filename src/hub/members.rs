//! Who is a member of a room and what is said of it: events of the room, like its messages.

use super::fanout::FanoutMessage;
use super::journal::entry::{Content, MemberChange, RoomChange};
use super::{HubHandle, refuse, room_not_found};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::Seq;
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::store;
use crate::store::control_log::MembershipNews;
use crate::store::rooms::RoomAccess;

impl HubHandle {
    /// Changes a membership, as an event in the room's sequence. The answer, after the commit, is
    /// the event's `seq`; none if nothing changed. Whether `actor` may do it is decided in the
    /// transaction.
    pub async fn change_membership(
        &self,
        room: RoomId,
        actor: UserId,
        change: MemberChange,
    ) -> Result<Option<Seq>, Refusal> {
        if change.is_privileged() {
            self.check_control()?;
        }
        let (member, begins) = (change.member_id, change.change.begins_membership());
        let content = Content::Membership(change);
        let committed = self.commit(room, actor, content).await?;
        if committed.is_some() && begins {
            self.join_streams(member, room);
        }
        self.shared.control.poke();
        Ok(committed.map(|it| it.seq))
    }

    /// Changes what is said of a room, as an event in its sequence; for its owners. The answer is
    /// the event's `seq`; none if nothing changed.
    pub async fn change_room(
        &self,
        room: RoomId,
        actor: UserId,
        change: RoomChange,
    ) -> Result<Option<Seq>, Refusal> {
        self.check_control()?;
        let committed = self.commit(room, actor, Content::Room(change)).await?;
        Ok(committed.map(|it| it.seq))
    }

    /// A membership has ended, here or elsewhere. Threads that have had the room's own event know.
    pub(super) fn membership_ended(&self, news: MembershipNews) {
        self.shared.workers.send(|| FanoutMessage::Evict {
            room_id: news.room_id,
            user_id: news.user_id,
            seq: news.seq,
        });
    }

    /// The room, if the user is a member of it.
    pub(super) async fn member_access(
        &self,
        room: &RoomRef,
        user: UserId,
    ) -> Result<RoomAccess, Refusal> {
        let access = store::rooms::access(&self.shared.store, room, user)
            .await
            .map_err(|error| refuse(&error))?;
        match access {
            Some(access) if access.role.is_some() => Ok(access),
            Some(access) if !access.is_private => Err(Refusal::new(
                ErrorCode::NotAMember,
                "you are not a member of this room",
            )),
            _ => Err(room_not_found()),
        }
    }
}
