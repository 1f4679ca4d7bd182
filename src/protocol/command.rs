//! What a client may ask for, the same for every transport.

use super::body::Body;
use super::data::Data;
use super::event::{Epoch, Seq};
use super::id::{EventId, RoomRef, UserId};

/// A page of history is this long when nothing is said.
pub const HISTORY_LIMIT_DEFAULT: u32 = 50;

/// A page of history is at most this long.
pub const HISTORY_LIMIT_MAX: u32 = 100;

/// A request of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Receive a room's events from now on, or from just after `since`.
    Join {
        /// The room.
        room: RoomRef,
        /// The last event that the client has.
        since: Option<Seq>,
        /// The log's life in which it was.
        epoch: Option<Epoch>,
    },
    /// Join every room of a cursor, each from just after its position.
    Resume {
        /// Where the client stands in its rooms, as the hub told it.
        cursor: String,
    },
    /// Stop receiving a room's events on this connection; the membership stays.
    Leave {
        /// The room.
        room: RoomRef,
    },
    /// Say something, durably.
    Publish {
        /// The room.
        room: RoomRef,
        /// What to say.
        body: Body,
        /// The sender's own key of it; a second publish with the same key is the first.
        client_id: String,
        /// The message that it replies to, the root of a thread.
        thread: Option<EventId>,
        /// Who is named in it, each once, at most
        /// [`MENTIONS_MAX`](super::text::MENTIONS_MAX).
        mentions: Vec<UserId>,
    },
    /// Change a message, durably.
    Change {
        /// The room.
        room: RoomRef,
        /// Which message of it.
        message_id: EventId,
        /// How.
        change: MessageChange,
        /// The sender's own key of it, if it wants duplicates found.
        client_id: Option<String>,
    },
    /// A page of messages.
    History {
        /// The room.
        room: RoomRef,
        /// Which page.
        page: PageRequest,
    },
    /// Say how far one has read. The highest counts.
    Read {
        /// The room.
        room: RoomRef,
        /// The last message that one has read; 0: none.
        msg_no: u64,
    },
    /// Tell the room that one is typing, or no longer; ephemeral.
    Typing {
        /// The room.
        room: RoomRef,
        /// Whether one is.
        typing: bool,
    },
    /// An event that the application defines.
    Emit {
        /// The room.
        room: RoomRef,
        /// Its name.
        name: String,
        /// Its value.
        data: Data,
        /// Ephemeral: not stored, no `seq`, may be dropped.
        volatile: bool,
        /// For a durable one: the sender's own key of it.
        client_id: Option<String>,
    },
    /// Who is here.
    Presence {
        /// The room.
        room: RoomRef,
    },
    /// Is anybody there?
    Ping,
    /// Go on with another token; also the first command of a connection without credentials.
    AuthRefresh {
        /// A session's token.
        token: String,
    },
}

impl Command {
    /// The command's name on the wire, and the label in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Resume { .. } => "resume",
            Self::Leave { .. } => "leave",
            Self::Publish { .. } => "publish",
            Self::Change { change, .. } => change.name(),
            Self::History { .. } => "history",
            Self::Read { .. } => "read",
            Self::Typing { .. } => "typing",
            Self::Emit { .. } => "emit",
            Self::Presence { .. } => "presence",
            Self::Ping => "ping",
            Self::AuthRefresh { .. } => "auth.refresh",
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageChange {
    /// It says something else. For its author.
    Edit {
        /// What it says from now on.
        body: Body,
    },
    /// It is deleted: its text goes, its place stays. For its author, moderators and owners.
    Delete,
    /// One reacts to it, or takes that back.
    React {
        /// With what, 1 to [`EMOJI_MAX_BYTES`](super::text::EMOJI_MAX_BYTES) bytes.
        emoji: Box<str>,
        /// Take it back.
        remove: bool,
    },
    /// It is pinned, or no longer. For moderators and owners.
    Pin {
        /// Whether it is from now on.
        pinned: bool,
    },
}

impl MessageChange {
    /// The name of the command and of the push.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Edit { .. } => "message.edit",
            Self::Delete => "message.delete",
            Self::React { .. } => "message.react",
            Self::Pin { .. } => "message.pin",
        }
    }
}

/// Which page of a room's messages; pages ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// From where, and in which direction.
    pub anchor: PageAnchor,
    /// At most this many, 1 to [`HISTORY_LIMIT_MAX`].
    pub limit: u32,
    /// Only the replies to this message.
    pub thread: Option<EventId>,
}

/// Where a page lies. Positions are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageAnchor {
    /// The newest messages.
    Newest,
    /// The newest before this `seq`.
    Before(Seq),
    /// The oldest after this `seq`.
    After(Seq),
}
