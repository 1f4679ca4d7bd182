//! The parameters of the statements that change memberships and rooms, and what they answer.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::entry::{Content, Entry, MemberChange};
use super::flight::Verdict;
use crate::protocol::data::DataError;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::{EventBody, MembershipChange, Role};

/// The parameters of `journal/change_members`.
#[derive(Default)]
pub(super) struct MemberChanges<'a> {
    rooms: Vec<Uuid>,
    actors: Vec<Uuid>,
    members: Vec<Uuid>,
    kinds: Vec<&'a str>,
    roles: Vec<Option<&'a str>>,
    ids: Vec<Uuid>,
    data: Vec<Vec<u8>>,
    owner_data: Vec<Option<Vec<u8>>>,
    untils: Vec<Option<Timestamp>>,
    reasons: Vec<&'a str>,
    invitations: Vec<Option<Uuid>>,
}

impl<'a> MemberChanges<'a> {
    pub(super) fn of(batch: &'a [Entry]) -> Result<Self, DataError> {
        let mut this = Self::default();
        for entry in batch {
            let Content::Membership(change) = &entry.content else {
                continue;
            };
            this.rooms.push(entry.room_id.0);
            this.actors.push(entry.user_id.0);
            this.members.push(change.member_id.0);
            this.kinds.push(change.change.as_str());
            this.roles.push(change.role.map(Role::as_str));
            this.ids.push(entry.id.0);
            this.data.push(data(change, change.role)?);
            // Whether the room has an owner is known only when it is written.
            let may_own = change.change == MembershipChange::Joined;
            let owner_data = may_own.then(|| data(change, Some(Role::Owner)));
            this.owner_data.push(owner_data.transpose()?);
            this.untils.push(change.until);
            this.reasons.push(&change.reason);
            this.invitations.push(change.invitation.map(|id| id.0));
        }
        Ok(this)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 11] {
        [
            &self.rooms,
            &self.actors,
            &self.members,
            &self.kinds,
            &self.roles,
            &self.ids,
            &self.data,
            &self.owner_data,
            &self.untils,
            &self.reasons,
            &self.invitations,
        ]
    }
}

fn data(change: &MemberChange, role: Option<Role>) -> Result<Vec<u8>, DataError> {
    EventBody::Membership {
        user_id: change.member_id,
        change: change.change,
        role,
        until: change.until,
    }
    .to_log()
}

/// The parameters of `journal/change_rooms`.
#[derive(Default)]
pub(super) struct RoomChanges<'a> {
    rooms: Vec<Uuid>,
    actors: Vec<Uuid>,
    ids: Vec<Uuid>,
    data: Vec<Vec<u8>>,
    names: Vec<&'a str>,
    topics: Vec<&'a str>,
    histories: Vec<&'a str>,
    are_private: Vec<bool>,
    versions: Vec<i64>,
}

impl<'a> RoomChanges<'a> {
    pub(super) fn of(batch: &'a [Entry]) -> Result<Self, DataError> {
        let mut this = Self::default();
        for entry in batch {
            let Content::Room(change) = &entry.content else {
                continue;
            };
            let settings = &change.settings;
            this.rooms.push(entry.room_id.0);
            this.actors.push(entry.user_id.0);
            this.ids.push(entry.id.0);
            this.data.push(EventBody::Room(settings.clone()).to_log()?);
            this.names.push(&settings.name);
            this.topics.push(&settings.topic);
            this.histories.push(settings.history.as_str());
            this.are_private.push(settings.is_private);
            this.versions.push(change.version);
        }
        Ok(this)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 9] {
        [
            &self.rooms,
            &self.actors,
            &self.ids,
            &self.data,
            &self.names,
            &self.topics,
            &self.histories,
            &self.are_private,
            &self.versions,
        ]
    }
}

/// Adds what only `journal/change_members` tells: the role that was given.
pub(super) fn with_role(verdict: Verdict, row: &Row) -> Result<Verdict, tokio_postgres::Error> {
    let Verdict::Accepted(mut place) = verdict else {
        return Ok(verdict);
    };
    let role: Option<&str> = row.try_get("role")?;
    place.role = role.and_then(Role::parse);
    Ok(Verdict::Accepted(place))
}

/// What a verdict means that only these statements give.
pub(super) fn refused(verdict: &str) -> ErrorCode {
    match verdict {
        "banned" => ErrorCode::Banned,
        "invitation_not_found" => ErrorCode::InvitationNotFound,
        "invitation_used" => ErrorCode::InvitationUsed,
        "invitation_expired" => ErrorCode::InvitationExpired,
        "outdated" => ErrorCode::Unavailable,
        _ => ErrorCode::Forbidden,
    }
}
