//! Events: the entries of a room's log, each with its place in the room's one sequence.

mod log;

pub use log::LogError;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::data::Data;
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
        body: Body,
        /// The sender's own key of it, unique for the sender in the room; empty if redacted.
        client_id: Box<str>,
        /// The message that it replies to, the root of a thread.
        thread: Option<EventId>,
        /// Who is named in it, each once, as the sender gave them; empty if redacted.
        mentions: Box<[UserId]>,
        /// Redacted: the message was deleted since, and the body is empty.
        deleted: bool,
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
    /// A message says something else now.
    Edit {
        /// Which message.
        message_id: EventId,
        /// What it says.
        body: Body,
        /// Redacted: the message was deleted since, and the body is empty.
        deleted: bool,
    },
    /// A message was deleted: its text is gone from here and from the log.
    Delete {
        /// Which message.
        message_id: EventId,
    },
    /// Somebody reacted to a message, or took it back.
    Reaction {
        /// Which message.
        message_id: EventId,
        /// With what.
        emoji: Box<str>,
        /// Taken back.
        removed: bool,
    },
    /// A message was pinned, or is no longer.
    Pin {
        /// Which message.
        message_id: EventId,
        /// Whether it is pinned from now on.
        pinned: bool,
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

    /// Whether the member has come.
    #[must_use]
    pub const fn begins_membership(self) -> bool {
        matches!(self, Self::Joined | Self::Added)
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
    /// [`EventBody::Edit`]
    Edit = 4,
    /// [`EventBody::Delete`]
    Delete = 5,
    /// [`EventBody::Reaction`]
    Reaction = 6,
    /// [`EventBody::Pin`]
    Pin = 7,
    /// [`EventBody::Room`]
    Room = 8,
}

impl EventBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Message { .. } => EventKind::Message,
            Self::Custom { .. } => EventKind::Custom,
            Self::Membership { .. } => EventKind::Membership,
            Self::Edit { .. } => EventKind::Edit,
            Self::Delete { .. } => EventKind::Delete,
            Self::Reaction { .. } => EventKind::Reaction,
            Self::Pin { .. } => EventKind::Pin,
            Self::Room(_) => EventKind::Room,
        }
    }

    /// The place among messages, if it is one.
    #[must_use]
    pub const fn msg_no(&self) -> Option<u64> {
        match self {
            Self::Message { msg_no, .. } => Some(*msg_no),
            _ => None,
        }
    }

    /// The message that it is about; for a message that is a reply, the root of its thread.
    #[must_use]
    pub const fn message_id(&self) -> Option<EventId> {
        match self {
            Self::Message { thread, .. } => *thread,
            Self::Edit { message_id, .. }
            | Self::Delete { message_id }
            | Self::Reaction { message_id, .. }
            | Self::Pin { message_id, .. } => Some(*message_id),
            Self::Custom { .. } | Self::Membership { .. } | Self::Room(_) => None,
        }
    }

    /// The same without what was said, if it is a message or an edit of one: what is left of
    /// them when the message is deleted. Its place in the log stays.
    #[must_use]
    pub fn redacted(&self) -> Option<Self> {
        match self {
            Self::Message { msg_no, thread, .. } => Some(Self::Message {
                msg_no: *msg_no,
                body: Body::default(),
                client_id: Box::default(),
                thread: *thread,
                mentions: Box::default(),
                deleted: true,
            }),
            Self::Edit { message_id, .. } => Some(Self::Edit {
                message_id: *message_id,
                body: Body::default(),
                deleted: true,
            }),
            _ => None,
        }
    }
}

impl Event {
    /// Whether it holds text of this message: it is the message, or an edit of it.
    #[must_use]
    pub fn is_text_of(&self, message: EventId) -> bool {
        match &self.body {
            EventBody::Message { .. } => self.id == message,
            EventBody::Edit { message_id, .. } => *message_id == message,
            _ => false,
        }
    }

    /// About how much memory the event holds, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.body {
                EventBody::Message {
                    body,
                    client_id,
                    mentions,
                    ..
                } => body.len() + client_id.len() + size_of_val(&**mentions),
                EventBody::Custom {
                    name,
                    data,
                    client_id,
                } => name.len() + data.size_bytes() + client_id.as_ref().map_or(0, |id| id.len()),
                EventBody::Edit { body, .. } => body.len(),
                EventBody::Reaction { emoji, .. } => emoji.len(),
                EventBody::Room(settings) => settings.name.len() + settings.topic.len(),
                EventBody::Membership { .. } | EventBody::Delete { .. } | EventBody::Pin { .. } => {
                    0
                }
            }
    }
}
