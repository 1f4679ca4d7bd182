//! Events: the entries of a room's log, each with its place in the room's one sequence.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::data::{Data, DataError};
use super::id::{EventId, RoomId, UserId};

/// The life of a room's log. It changes only when the log was reset or history may have been
/// lost; a client whose epoch differs must fetch the room afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i32);

/// A place in a room's log: dense from 1, assigned by Postgres in the transaction that commits
/// the event. 0 is the place before the first event.
pub type Seq = u64;

/// One entry of a room's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The room.
    pub room_id: RoomId,
    /// The log's life.
    pub epoch: Epoch,
    /// The place in it.
    pub seq: Seq,
    /// The event's id; for a message, the message's.
    pub id: EventId,
    /// Who caused it.
    pub user_id: UserId,
    /// When it was committed, by Postgres's clock.
    pub created_at: Timestamp,
    /// What happened.
    pub body: EventBody,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq)]
pub enum EventBody {
    /// Somebody said something.
    Message {
        /// The place among the room's messages, dense from 1.
        msg_no: u64,
        /// What was said.
        body: Box<str>,
        /// The sender's own key of it, unique for the sender in the room.
        client_id: Box<str>,
    },
    /// A durable event that the application defines.
    Custom {
        /// The application's name for it.
        name: Box<str>,
        /// Whatever the application put there.
        data: Data,
        /// The sender's own key of it, if it wants duplicates found.
        client_id: Option<Box<str>>,
    },
    /// A member came, went or changed.
    Membership {
        /// The member.
        user_id: UserId,
        /// What became of the membership.
        change: MembershipChange,
        /// The role from now on; none for those who have gone.
        role: Option<Role>,
        /// Until when somebody is banned or muted; none for ever.
        until: Option<Timestamp>,
    },
    /// What is said of the room is this from now on.
    Room(RoomSettings),
}

/// What is said of a room, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSettings {
    /// Its name.
    pub name: Box<str>,
    /// What it is about.
    pub topic: Box<str>,
    /// What new members see of the past.
    pub history: History,
    /// Whether only its members may know of it.
    pub is_private: bool,
}

/// What those who come see of what was before. It is decided when they come: a later change of
/// the room gives nothing to those who are here, and takes nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Everything.
    #[default]
    All,
    /// What was said since they came.
    Joined,
}

impl History {
    /// As it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Joined => "joined",
        }
    }

    /// Reads what [`History::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::All, Self::Joined]
            .into_iter()
            .find(|history| history.as_str() == text)
    }
}

/// What became of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipChange {
    /// Joined by oneself.
    Joined,
    /// Added by another member.
    Added,
    /// Left by oneself.
    Left,
    /// Removed by another member.
    Removed,
    /// Has another role now.
    Role,
    /// Shut out by another member: a membership has ended, if there was one, and none can begin.
    Banned,
    /// May come again.
    Unbanned,
    /// May read, and say nothing.
    Muted,
    /// May speak again.
    Unmuted,
}

impl MembershipChange {
    /// The change as the journal's statement and the wire name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Added => "added",
            Self::Left => "left",
            Self::Removed => "removed",
            Self::Role => "role",
            Self::Banned => "banned",
            Self::Unbanned => "unbanned",
            Self::Muted => "muted",
            Self::Unmuted => "unmuted",
        }
    }

    /// Whether the member has gone.
    #[must_use]
    pub const fn ends_membership(self) -> bool {
        matches!(self, Self::Left | Self::Removed | Self::Banned)
    }

    /// Whether somebody's permissions change that a connection knows of: one that was checked
    /// before must be checked again.
    #[must_use]
    pub const fn outdates_a_check(self) -> bool {
        self.ends_membership() || matches!(self, Self::Muted | Self::Unmuted)
    }
}

/// What a member may do.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read and write.
    Member,
    /// Also add and remove members.
    Moderator,
    /// Also change the room and its roles.
    Owner,
}

impl Role {
    /// The role as it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Owner => "owner",
        }
    }

    /// Reads what [`Role::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Member, Self::Moderator, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// The event's kind as the log's column has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum EventKind {
    /// [`EventBody::Message`]
    Message = 1,
    /// [`EventBody::Custom`]
    Custom = 2,
    /// [`EventBody::Membership`]
    Membership = 3,
    /// [`EventBody::Room`]
    Room = 8,
}

/// A log entry that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A kind that this version does not know.
    #[error("unknown event kind {0}")]
    UnknownKind(i16),
    /// A message without its number.
    #[error("a message without msg_no")]
    NoMsgNo,
    /// The data are not what the kind asks for.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data are not what the kind asks for.
    #[error("event data: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
}

#[derive(Serialize, Deserialize)]
struct LoggedMessage<'a> {
    #[serde(borrow)]
    body: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    client_id: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct LoggedCustom {
    name: Box<str>,
    data: serde_json::Value,
    client_id: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct LoggedMembership {
    user_id: UserId,
    change: MembershipChange,
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl EventBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Message { .. } => EventKind::Message,
            Self::Custom { .. } => EventKind::Custom,
            Self::Membership { .. } => EventKind::Membership,
            Self::Room(_) => EventKind::Room,
        }
    }

    /// The place among messages, if it is one.
    #[must_use]
    pub const fn msg_no(&self) -> Option<u64> {
        match self {
            Self::Message { msg_no, .. } => Some(*msg_no),
            Self::Custom { .. } | Self::Membership { .. } | Self::Room(_) => None,
        }
    }

    /// A message's data as the log keeps them. They do not include `msg_no`, which is known only
    /// when the log has them.
    pub fn message_to_log(body: &str, client_id: &str) -> Result<Vec<u8>, DataError> {
        Ok(rmp_serde::to_vec_named(&LoggedMessage {
            body: body.into(),
            client_id: client_id.into(),
        })?)
    }

    /// The data as the log keeps them, MessagePack.
    pub fn to_log(&self) -> Result<Vec<u8>, DataError> {
        match self {
            Self::Message {
                body, client_id, ..
            } => Self::message_to_log(body, client_id),
            Self::Custom {
                name,
                data,
                client_id,
            } => Ok(rmp_serde::to_vec_named(&LoggedCustom {
                name: name.clone(),
                data: serde_json::from_str(data.json())?,
                client_id: client_id.clone(),
            })?),
            Self::Membership {
                user_id,
                change,
                role,
                until,
            } => Ok(rmp_serde::to_vec_named(&LoggedMembership {
                user_id: *user_id,
                change: *change,
                role: *role,
                until: *until,
            })?),
            Self::Room(settings) => Ok(rmp_serde::to_vec_named(settings)?),
        }
    }

    /// Reads a row of the log.
    pub fn from_log(kind: i16, msg_no: Option<u64>, data: &[u8]) -> Result<Self, LogError> {
        const MESSAGE: i16 = EventKind::Message as i16;
        const CUSTOM: i16 = EventKind::Custom as i16;
        const MEMBERSHIP: i16 = EventKind::Membership as i16;
        const ROOM: i16 = EventKind::Room as i16;
        match kind {
            MESSAGE => {
                let logged: LoggedMessage<'_> = rmp_serde::from_slice(data)?;
                Ok(Self::Message {
                    msg_no: msg_no.ok_or(LogError::NoMsgNo)?,
                    body: logged.body.into(),
                    client_id: logged.client_id.into(),
                })
            }
            CUSTOM => {
                let logged: LoggedCustom = rmp_serde::from_slice(data)?;
                let raw = serde_json::value::to_raw_value(&logged.data).map_err(DataError::Json)?;
                Ok(Self::Custom {
                    name: logged.name,
                    data: raw.into(),
                    client_id: logged.client_id,
                })
            }
            MEMBERSHIP => {
                let logged: LoggedMembership = rmp_serde::from_slice(data)?;
                Ok(Self::Membership {
                    user_id: logged.user_id,
                    change: logged.change,
                    role: logged.role,
                    until: logged.until,
                })
            }
            ROOM => Ok(Self::Room(rmp_serde::from_slice(data)?)),
            other => Err(LogError::UnknownKind(other)),
        }
    }
}

impl Event {
    /// About how much memory the event holds, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.body {
                EventBody::Message {
                    body, client_id, ..
                } => body.len() + client_id.len(),
                EventBody::Custom {
                    name,
                    data,
                    client_id,
                } => name.len() + data.json().len() + client_id.as_ref().map_or(0, |id| id.len()),
                EventBody::Membership { .. } => 0,
                EventBody::Room(settings) => settings.name.len() + settings.topic.len(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_log() {
        let bodies = [
            EventBody::Message {
                msg_no: 3,
                body: "hi \u{1F600}".into(),
                client_id: "c1".into(),
            },
            EventBody::Custom {
                name: "cursor".into(),
                data: serde_json::from_str(r#"{"x":[1,2.5,null]}"#).unwrap(),
                client_id: None,
            },
            EventBody::Membership {
                user_id: UserId::generate(),
                change: MembershipChange::Added,
                role: Some(Role::Moderator),
                until: None,
            },
            EventBody::Membership {
                user_id: UserId::generate(),
                change: MembershipChange::Muted,
                role: Some(Role::Member),
                until: Some("2026-01-02T03:04:05.678901Z".parse().unwrap()),
            },
            EventBody::Room(RoomSettings {
                name: "General".into(),
                topic: String::new().into(),
                history: History::Joined,
                is_private: true,
            }),
        ];
        for body in bodies {
            let logged = body.to_log().unwrap();
            let back = EventBody::from_log(body.kind() as i16, body.msg_no(), &logged).unwrap();
            assert_eq!(back, body);
        }
    }

    #[test]
    fn what_is_not_ours_is_an_error() {
        assert!(matches!(
            EventBody::from_log(99, None, &[]),
            Err(LogError::UnknownKind(99))
        ));
        assert!(EventBody::from_log(1, Some(1), b"\xc1").is_err());
    }
}
