//! What answers a command.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Body, Encoding};
use super::event::{Epoch, Seq};
use super::id::{EventId, RoomId, UserId};

/// The good answer to a command. The wire form is the variant's fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To `join`.
    Joined(Joined),
    /// To `resume`, after the last room.
    Resumed(Resumed),
    /// To `leave`.
    Left {
        /// The room.
        room: RoomId,
        /// Where the client stands in the rooms that are left. None if they are more than a
        /// cursor holds.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
    /// To `publish`.
    Published(Published),
    /// To a durable `emit`.
    Emitted(Emitted),
    /// To `message.edit`, `message.delete`, `message.react` and `message.pin`.
    Changed(Changed),
    /// To `history`.
    History(MessagePage),
    /// To `read`.
    Read(ReadMarker),
    /// To `presence`.
    Presence(RoomPresence),
    /// To `auth.refresh`.
    Authenticated {
        /// Who one is.
        user_id: UserId,
        /// Until when.
        expires_at: Timestamp,
    },
    /// To what has nothing more to say: `ping`, `typing`, a volatile `emit`.
    Done {},
}

/// A room was joined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Joined {
    /// The room.
    pub room: RoomId,
    /// The log's life. If it is not the client's, the client drops what it has of the room.
    pub epoch: Epoch,
    /// The last event at the moment of joining; live events begin after it.
    pub last_seq: Seq,
    /// How many missed events follow as pushes, before the live ones.
    pub replayed: u64,
    /// Set if missed events cannot all be given: those after `since` up to this one are lost to
    /// the stream, and the client fetches the room afresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Where the client will stand in all its rooms when the replay is over. None if it has
    /// joined more rooms than a cursor holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// All rooms of a cursor have been gone through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resumed {
    /// How many rooms are joined, with everything that was missed of them.
    pub resumed: u64,
    /// How many are not.
    pub refused: u64,
    /// Where the client stands now in all its rooms. None if it has joined more rooms than a
    /// cursor holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How far somebody has read a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadMarker {
    /// The last message that they have read, as it is stored now; 0: none.
    pub msg_no: u64,
}

/// Events that are missing from a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first missing event.
    pub from: Seq,
    /// The last missing event.
    pub to: Seq,
    /// Why.
    pub reason: GapReason,
}

/// Why events are missing from a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The client's position is of another life of the log, or beyond its head.
    Epoch,
    /// Retention has removed it.
    Retention,
    /// It is from before what the member may see of the past.
    History,
}

/// A message was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Published {
    /// Its place in the room.
    pub seq: Seq,
    /// Its place among the room's messages.
    pub msg_no: u64,
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: EventId,
    /// When it was committed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A durable custom event was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Emitted {
    /// Its place in the room.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// A message was changed, or was as it should be already. Wire form: either all fields or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Changed {
    /// The event's place in the room. None if nothing changed, and so there is no event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// The event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub id: Option<EventId>,
    /// When it was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
}

/// A page of messages, ascending. It may be shorter than `limit`: go on while `next` is there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<MessageView>,
    /// The log's life.
    #[schema(value_type = i32)]
    pub epoch: Epoch,
    /// The room's last event.
    pub last_seq: Seq,
    /// Where the next page in the same direction begins: the `before` (or, for a page asked for
    /// by `after`, the `after`) to ask with. None at the end.
    pub next: Option<Seq>,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MessageView {
    /// Its place in the room.
    pub seq: Seq,
    /// Its place among the room's messages.
    pub msg_no: u64,
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: EventId,
    /// Who said it.
    #[schema(value_type = uuid::Uuid)]
    pub user_id: UserId,
    /// What was said.
    #[schema(value_type = String)]
    pub body: Body,
    /// `base64` if what was said are bytes: `body` is their base64 then. Left out if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The sender's own key of it.
    pub client_id: String,
    /// When it was committed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was edited last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<Timestamp>,
    /// It was deleted, and its body is empty. Left out if it was not.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false, required = false)]
    pub deleted: bool,
    /// The message that it replies to, the root of a thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub thread: Option<EventId>,
    /// How many messages reply to it, deleted ones included. Left out if none do.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(default = 0, required = false)]
    pub replies: u64,
    /// Who is named in it. Left out if nobody is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<uuid::Uuid>, required = false)]
    pub mentions: Vec<UserId>,
    /// How members reacted, in the order in which each emoji came first. Left out if none did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub reactions: Vec<ReactionView>,
    /// Since when it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pinned_at: Option<Timestamp>,
}

/// Who reacted to a message with one emoji.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReactionView {
    /// With what.
    pub emoji: String,
    /// How many members.
    pub count: u64,
    /// The first 50 of them.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub users: Vec<UserId>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Who is in a room now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RoomPresence {
    /// The room.
    #[schema(value_type = uuid::Uuid)]
    pub room: RoomId,
    /// How many users.
    pub count: u64,
    /// Who they are; nobody, if there is only their number.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub users: Vec<UserId>,
    /// Too many are here to be named. Left out if they are not.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false, required = false)]
    pub only_count: bool,
    /// What is known of other nodes may be out of date. Left out if it is not.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(default = false, required = false)]
    pub stale: bool,
}
