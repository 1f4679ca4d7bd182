//! What the hub tells a client unasked.

use serde::Serialize;

use super::body::{Body, Encoding};
use super::data::Data;
use super::error::Refusal;
use super::event::{Epoch, Event, EventBody, History, MembershipChange, Role, RoomSettings, Seq};
use super::id::{EventId, RoomId, UserId};
use super::reply::{Gap, Joined};

/// A push. The wire form has the variant's name as `push`.
///
/// Those with a `seq` are durable and move the client's position; the others are ephemeral.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "push", rename_all = "snake_case")]
pub enum Push<'a> {
    /// Somebody said something.
    Message {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The place among its messages.
        msg_no: u64,
        /// The message's id.
        id: EventId,
        /// Who said it.
        user_id: UserId,
        /// What was said.
        body: &'a Body,
        /// How `body` is to be read, where it is bytes in JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
        /// The sender's own key of it.
        client_id: &'a str,
        /// The message that it replies to.
        #[serde(skip_serializing_if = "Option::is_none")]
        thread: Option<EventId>,
        /// Who is named in it.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        mentions: &'a [UserId],
        /// It was deleted since, and what it said is gone.
        #[serde(skip_serializing_if = "is_false")]
        deleted: bool,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// A message says something else now.
    #[serde(rename = "message.edit")]
    Edit {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The event's id.
        id: EventId,
        /// Which message.
        message_id: EventId,
        /// Who did it.
        user_id: UserId,
        /// What it says.
        body: &'a Body,
        /// How `body` is to be read, where it is bytes in JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<Encoding>,
        /// The message was deleted since, and what it said is gone.
        #[serde(skip_serializing_if = "is_false")]
        deleted: bool,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// A message was deleted.
    #[serde(rename = "message.delete")]
    Delete {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The event's id.
        id: EventId,
        /// Which message.
        message_id: EventId,
        /// Who did it.
        user_id: UserId,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// Somebody reacted to a message, or took it back.
    #[serde(rename = "message.react")]
    React {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The event's id.
        id: EventId,
        /// Which message.
        message_id: EventId,
        /// Who did it.
        user_id: UserId,
        /// With what.
        emoji: &'a str,
        /// Taken back.
        removed: bool,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// A message was pinned, or is no longer.
    #[serde(rename = "message.pin")]
    Pin {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The event's id.
        id: EventId,
        /// Which message.
        message_id: EventId,
        /// Who did it.
        user_id: UserId,
        /// Whether it is pinned from now on.
        pinned: bool,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// An event that the application defines: durable with `seq`, `id` and `created_at`,
    /// volatile without.
    Event {
        /// The room.
        room: RoomId,
        /// The place in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        /// The event's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<EventId>,
        /// The application's name for it.
        name: &'a str,
        /// The application's value.
        data: &'a Data,
        /// Who sent it.
        user_id: UserId,
        /// The sender's own key of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
        /// When it was committed.
        #[serde(skip_serializing_if = "Option::is_none")]
        created_at: Option<jiff::Timestamp>,
    },
    /// A member came, went or changed.
    Member {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The event's id.
        id: EventId,
        /// The member.
        user_id: UserId,
        /// What became of the membership.
        change: MembershipChange,
        /// The role from now on.
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        /// Until when they are banned or muted; for ever if it is not there.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<jiff::Timestamp>,
        /// Who did it.
        by: UserId,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// What is said of the room is this from now on.
    Room {
        /// The room.
        room: RoomId,
        /// The place in it.
        seq: Seq,
        /// The event's id.
        id: EventId,
        /// Its name.
        name: &'a str,
        /// What it is about.
        topic: &'a str,
        /// What new members see of the past.
        history: History,
        /// Whether only its members may know of it.
        is_private: bool,
        /// Who did it.
        by: UserId,
        /// When it was committed.
        created_at: jiff::Timestamp,
    },
    /// Somebody is typing, or no longer.
    Typing {
        /// The room.
        room: RoomId,
        /// Who.
        user_id: UserId,
        /// Whether they are.
        typing: bool,
    },
    /// Who came into the room and who went, since the last such push.
    Presence {
        /// The room.
        room: RoomId,
        /// Who came.
        joins: &'a [UserId],
        /// Who went.
        leaves: &'a [UserId],
        /// How many are here.
        count: u64,
        /// What was told before does not count: `joins` is everybody who is here.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
        /// Too many are here to be named: there is only their number.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        only_count: bool,
        /// What is known of other nodes may be out of date.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        stale: bool,
    },
    /// How far somebody has read.
    Read {
        /// The room.
        room: RoomId,
        /// Who.
        user_id: UserId,
        /// The last message that they have read.
        msg_no: u64,
    },
    /// This connection no longer receives the room: the membership has ended.
    Removed {
        /// The room.
        room: RoomId,
    },
    /// A room was joined by a resume: stands before what was missed of it.
    Resumed {
        /// The room.
        room: RoomId,
        /// The log's life. If it is not the client's, the client drops what it has of the room.
        epoch: Epoch,
        /// The last event at the moment of joining; live events begin after it.
        last_seq: Seq,
        /// How many missed events follow, before the live ones.
        replayed: u64,
        /// Set if missed events cannot all be given.
        #[serde(skip_serializing_if = "Option::is_none")]
        gap: Option<Gap>,
    },
    /// A room was not joined by a resume.
    #[serde(rename = "resumed")]
    NotResumed {
        /// The room.
        room: RoomId,
        /// Why.
        err: &'a Refusal,
    },
    /// The node is going: reconnect after this time and resume.
    Drain {
        /// How long to wait, milliseconds.
        after_ms: u64,
        /// Where the client stands in all its rooms.
        cursor: &'a str,
    },
}

impl From<&Joined> for Push<'_> {
    fn from(joined: &Joined) -> Self {
        Self::Resumed {
            room: joined.room,
            epoch: joined.epoch,
            last_seq: joined.last_seq,
            replayed: joined.replayed,
            gap: joined.gap,
        }
    }
}

impl<'a> From<&'a Event> for Push<'a> {
    fn from(event: &'a Event) -> Self {
        match &event.body {
            EventBody::Message {
                msg_no,
                body,
                client_id,
                thread,
                mentions,
                deleted,
            } => Self::Message {
                room: event.room_id,
                seq: event.seq,
                msg_no: *msg_no,
                id: event.id,
                user_id: event.user_id,
                body,
                encoding: body.encoding(),
                client_id,
                thread: *thread,
                mentions,
                deleted: *deleted,
                created_at: event.created_at,
            },
            EventBody::Custom {
                name,
                data,
                client_id,
            } => Self::Event {
                room: event.room_id,
                seq: Some(event.seq),
                id: Some(event.id),
                name,
                data,
                user_id: event.user_id,
                client_id: client_id.as_deref(),
                created_at: Some(event.created_at),
            },
            EventBody::Membership {
                user_id,
                change,
                role,
                until,
            } => Self::Member {
                room: event.room_id,
                seq: event.seq,
                id: event.id,
                user_id: *user_id,
                change: *change,
                role: *role,
                until: *until,
                by: event.user_id,
                created_at: event.created_at,
            },
            EventBody::Room(settings) => of_settings(event, settings),
            EventBody::Edit {
                message_id,
                body,
                deleted,
            } => Self::Edit {
                room: event.room_id,
                seq: event.seq,
                id: event.id,
                message_id: *message_id,
                user_id: event.user_id,
                body,
                encoding: body.encoding(),
                deleted: *deleted,
                created_at: event.created_at,
            },
            EventBody::Delete { message_id } => Self::Delete {
                room: event.room_id,
                seq: event.seq,
                id: event.id,
                message_id: *message_id,
                user_id: event.user_id,
                created_at: event.created_at,
            },
            EventBody::Reaction {
                message_id,
                emoji,
                removed,
            } => Self::React {
                room: event.room_id,
                seq: event.seq,
                id: event.id,
                message_id: *message_id,
                user_id: event.user_id,
                emoji,
                removed: *removed,
                created_at: event.created_at,
            },
            EventBody::Pin { message_id, pinned } => Self::Pin {
                room: event.room_id,
                seq: event.seq,
                id: event.id,
                message_id: *message_id,
                user_id: event.user_id,
                pinned: *pinned,
                created_at: event.created_at,
            },
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn of_settings<'a>(event: &Event, settings: &'a RoomSettings) -> Push<'a> {
    Push::Room {
        room: event.room_id,
        seq: event.seq,
        id: event.id,
        name: &settings.name,
        topic: &settings.topic,
        history: settings.history,
        is_private: settings.is_private,
        by: event.user_id,
        created_at: event.created_at,
    }
}
