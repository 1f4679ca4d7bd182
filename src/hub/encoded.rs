//! Events and pushes with their frames: encoded once for each wire format, when the first
//! recipient needs it, and shared by all.

mod format;
mod frames;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub(crate) use self::format::WireFormat;
pub(crate) use self::frames::Encoded;
use self::frames::Frames;
use crate::protocol::data::Data;
use crate::protocol::event::Event;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::push::Push;

/// A durable event on its way to everyone in its room.
#[derive(Debug)]
pub(crate) struct SharedEvent {
    /// The event.
    pub(crate) event: Event,
    /// When this node got it; none if it came from the log.
    pub(crate) received_at: Option<Instant>,
    frames: Frames,
}

impl SharedEvent {
    /// Wraps an event.
    pub(crate) fn new(event: Event, received_at: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            event,
            received_at,
            frames: Frames::default(),
        })
    }

    /// What is the same for everyone.
    pub(crate) fn encoded(&self, format: WireFormat) -> Encoded {
        self.frames
            .encoded(format, |plain| plain.plain_event(&self.event))
    }

    /// About how much memory it holds, bytes: the event and one frame of it.
    pub(crate) fn size_bytes(&self) -> usize {
        2 * self.event.size_bytes() + size_of::<Frames>()
    }
}

/// Something ephemeral for everyone in a room.
#[derive(Debug, Clone)]
pub(crate) enum Ephemeral {
    /// Somebody is typing, or no longer.
    Typing {
        room_id: RoomId,
        user_id: UserId,
        typing: bool,
    },
    /// A volatile event of the application.
    Custom {
        room_id: RoomId,
        user_id: UserId,
        name: Box<str>,
        data: Data,
    },
    /// How far somebody has read.
    Read {
        room_id: RoomId,
        user_id: UserId,
        msg_no: u64,
    },
    /// Who came and went.
    Presence {
        room_id: RoomId,
        joins: Vec<UserId>,
        leaves: Vec<UserId>,
        count: u64,
        reset: bool,
        only_count: bool,
        stale: bool,
    },
}

impl Ephemeral {
    /// The room.
    pub(crate) fn room_id(&self) -> RoomId {
        match self {
            Self::Typing { room_id, .. }
            | Self::Custom { room_id, .. }
            | Self::Read { room_id, .. }
            | Self::Presence { room_id, .. } => *room_id,
        }
    }

    /// About how long its frame is, bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        // A frame names its room and a user.
        let fixed = 128;
        match self {
            Self::Typing { .. } | Self::Read { .. } => fixed,
            Self::Custom { name, data, .. } => fixed + name.len() + data.message_pack().len(),
            Self::Presence { joins, leaves, .. } => fixed + 40 * (joins.len() + leaves.len()),
        }
    }

    fn push(&self) -> Push<'_> {
        match self {
            Self::Typing {
                room_id,
                user_id,
                typing,
            } => Push::Typing {
                room: *room_id,
                user_id: *user_id,
                typing: *typing,
            },
            Self::Custom {
                room_id,
                user_id,
                name,
                data,
            } => Push::Event {
                room: *room_id,
                seq: None,
                id: None,
                name,
                data,
                user_id: *user_id,
                client_id: None,
                created_at: None,
            },
            Self::Read {
                room_id,
                user_id,
                msg_no,
            } => Push::Read {
                room: *room_id,
                user_id: *user_id,
                msg_no: *msg_no,
            },
            Self::Presence {
                room_id,
                joins,
                leaves,
                count,
                reset,
                only_count,
                stale,
            } => Push::Presence {
                room: *room_id,
                joins,
                leaves,
                count: *count,
                reset: *reset,
                only_count: *only_count,
                stale: *stale,
            },
        }
    }
}

/// Something ephemeral with its frames.
#[derive(Debug)]
pub(crate) struct SharedPush {
    /// What it is.
    pub(crate) content: Ephemeral,
    frames: Frames,
}

impl SharedPush {
    /// Wraps it.
    pub(crate) fn new(content: Ephemeral) -> Arc<Self> {
        Arc::new(Self {
            content,
            frames: Frames::default(),
        })
    }

    /// Its frame.
    pub(crate) fn frame(&self, format: WireFormat) -> Bytes {
        // Nothing ephemeral moves a client's position.
        self.frames
            .get(format, |plain| plain.plain_push(&self.content.push()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::native::Codec;

    #[test]
    fn what_nobody_reads_as_json_is_not_made_json() {
        let data = Data::from_message_pack(b"\xa2hi").unwrap();
        let content = Ephemeral::Custom {
            room_id: RoomId::generate(),
            user_id: UserId::generate(),
            name: "n".into(),
            data: data.clone(),
        };
        let push = SharedPush::new(content);
        assert!(push.content.size_bytes() > 0);
        push.frame(WireFormat::Native {
            codec: Codec::MessagePack,
            is_deflated: false,
        });
        assert!(!data.has_json());
        push.frame(WireFormat::SseRoom);
        assert!(data.has_json());
    }
}
