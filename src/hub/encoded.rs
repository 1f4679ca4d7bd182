//! Events and pushes with their frames: encoded once for each wire format, when the first
//! recipient needs it, and shared by all.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::protocol::data::Data;
use crate::protocol::error::Refusal;
use crate::protocol::event::Event;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::native;
use crate::protocol::native::request::RequestId;
use crate::protocol::push::Push;
use crate::protocol::reply::Reply;
use crate::protocol::{sse, websocket};

/// A form in which frames leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireFormat {
    /// The native protocol in JSON, in WebSocket text frames.
    NativeJson,
    /// Blocks of an event stream of one room: the id of an event is a part of its frame.
    SseRoom,
    /// Blocks of an event stream of several rooms: an event's frame lacks its end, which is
    /// different for each connection (see `Attachment::tail`).
    SseAll,
}

impl WireFormat {
    /// The frame of a push that is no event of a room's log.
    pub(crate) fn push(self, push: &Push<'_>) -> Bytes {
        match self {
            Self::NativeJson => native::encode::encode_push(push),
            Self::SseRoom | Self::SseAll => sse::push(push),
        }
    }

    /// The frame of an event, or the part of it that is the same for everyone.
    fn event(self, event: &Event) -> Bytes {
        match self {
            Self::NativeJson => native::encode::encode_push(&Push::from(event)),
            Self::SseRoom => sse::room_event(event),
            Self::SseAll => sse::open(&Push::from(event)),
        }
    }

    /// What is sent to a connection that has been silent, or to which nothing was sent.
    pub(crate) fn ping(self) -> Bytes {
        match self {
            Self::NativeJson => websocket::encode::ping(&[]),
            Self::SseRoom | Self::SseAll => Bytes::from_static(sse::HEARTBEAT),
        }
    }

    /// Whether each event is followed by a tail of the connection's own.
    pub(crate) fn has_tails(self) -> bool {
        self == Self::SseAll
    }

    /// A reply's frame; none if nobody wants to hear of a success.
    pub(crate) fn reply(
        self,
        request: Option<&RequestId>,
        result: &Result<Reply, Refusal>,
    ) -> Option<Bytes> {
        match (self, request, result) {
            (Self::NativeJson, Some(id), Ok(reply)) => {
                Some(native::encode::encode_reply(id, reply))
            }
            (Self::NativeJson, id, Err(refusal)) => Some(native::encode::encode_error(id, refusal)),
            // Nothing is asked by a stream.
            (Self::NativeJson, None, Ok(_)) | (Self::SseRoom | Self::SseAll, _, _) => None,
        }
    }
}

/// One frame for each format that was asked for.
#[derive(Debug, Default)]
struct Frames {
    native_json: OnceLock<Bytes>,
    sse_room: OnceLock<Bytes>,
    sse_all: OnceLock<Bytes>,
}

impl Frames {
    fn get(&self, format: WireFormat, encode: impl FnOnce() -> Bytes) -> Bytes {
        let frame = match format {
            WireFormat::NativeJson => &self.native_json,
            WireFormat::SseRoom => &self.sse_room,
            WireFormat::SseAll => &self.sse_all,
        };
        frame.get_or_init(encode).clone()
    }
}

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

    /// Its frame.
    pub(crate) fn frame(&self, format: WireFormat) -> Bytes {
        self.frames.get(format, || format.event(&self.event))
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
            Self::Custom { name, data, .. } => fixed + name.len() + data.json().len(),
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
            } => Push::Presence {
                room: *room_id,
                joins,
                leaves,
                count: *count,
                reset: *reset,
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
        self.frames
            .get(format, || format.push(&self.content.push()))
    }
}
