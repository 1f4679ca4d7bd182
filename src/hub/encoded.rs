//! Events and pushes with their frames: encoded once for each wire format, when the first
//! recipient needs it, and shared by all.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::hub::compression;
use crate::protocol::data::Data;
use crate::protocol::error::Refusal;
use crate::protocol::event::Event;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::native::{self, Codec};
use crate::protocol::push::Push;
use crate::protocol::reply::Reply;
use crate::protocol::{sse, websocket};
use crate::stall::{Activity, doing};

/// A form in which frames leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireFormat {
    /// The native protocol in WebSocket frames.
    Native {
        /// How values are written.
        codec: Codec,
        /// Whether frames are compressed where that is worth it.
        is_deflated: bool,
    },
    /// Blocks of an event stream of one room: the id of an event is a part of its frame.
    SseRoom,
    /// Blocks of an event stream of several rooms: an event's frame lacks its end, which is
    /// different for each connection (see `Attachment::tail`).
    SseAll,
}

impl WireFormat {
    /// How values are written in it.
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Native { codec, .. } => codec,
            Self::SseRoom | Self::SseAll => Codec::Json,
        }
    }

    /// How many there are.
    pub(crate) const COUNT: usize = 6;

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Native { codec, is_deflated } => match codec {
                Codec::Json => usize::from(is_deflated),
                Codec::MessagePack => 2 + usize::from(is_deflated),
            },
            Self::SseRoom => 4,
            Self::SseAll => 5,
        }
    }

    /// The format that it is a compressed form of; itself if of none.
    fn plain(self) -> Self {
        match self {
            Self::Native { codec, .. } => Self::Native {
                codec,
                is_deflated: false,
            },
            stream @ (Self::SseRoom | Self::SseAll) => stream,
        }
    }

    /// The frame as it is sent, of one in the plain format.
    pub(crate) fn finish(self, frame: Bytes) -> Bytes {
        match self {
            Self::Native {
                is_deflated: true, ..
            } => compression::deflated(&frame),
            _ => frame,
        }
    }

    /// The frame of a push that is for one connection alone.
    pub(crate) fn push(self, push: &Push<'_>) -> Bytes {
        self.finish(self.plain_push(push))
    }

    fn plain_push(self, push: &Push<'_>) -> Bytes {
        match self {
            Self::Native { codec, .. } => native::encode_push(codec, push),
            Self::SseRoom | Self::SseAll => sse::push(push),
        }
    }

    /// The frame of an event, or the part of it that is the same for everyone.
    fn plain_event(self, event: &Event) -> Bytes {
        match self {
            Self::Native { codec, .. } => native::encode_push(codec, &Push::from(event)),
            Self::SseRoom => sse::room_event(event),
            Self::SseAll => sse::open(&Push::from(event)),
        }
    }

    /// What is sent to a connection that has been silent, or to which nothing was sent.
    pub(crate) fn ping(self) -> Bytes {
        match self {
            Self::Native { .. } => websocket::encode::ping(&[]),
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
        let Self::Native { codec, .. } = self else {
            // Nothing is asked by a stream.
            return None;
        };
        let frame = match (request, result) {
            (Some(id), Ok(reply)) => native::encode_reply(codec, id, reply),
            (id, Err(refusal)) => native::encode_error(codec, id, refusal),
            (None, Ok(_)) => return None,
        };
        Some(self.finish(frame))
    }
}

/// One frame for each format that was asked for.
#[derive(Debug, Default)]
struct Frames {
    json: OnceLock<Bytes>,
    json_deflated: OnceLock<Bytes>,
    message_pack: OnceLock<Bytes>,
    message_pack_deflated: OnceLock<Bytes>,
    sse_room: OnceLock<Bytes>,
    sse_all: OnceLock<Bytes>,
}

impl Frames {
    /// The frame in a format; `encode` makes those that are not compressed. What is not worth
    /// compressing has the same bytes in both forms.
    fn get(&self, format: WireFormat, encode: impl Fn(WireFormat) -> Bytes) -> Bytes {
        let plain = format.plain();
        let encode = || {
            let _doing = doing(Activity::Encode);
            encode(plain)
        };
        let frame = || self.cell(plain).get_or_init(encode).clone();
        if plain == format {
            return frame();
        }
        let compress = || {
            let frame = frame();
            let _doing = doing(Activity::Deflate);
            format.finish(frame)
        };
        self.cell(format).get_or_init(compress).clone()
    }

    fn cell(&self, format: WireFormat) -> &OnceLock<Bytes> {
        match format {
            WireFormat::Native { codec, is_deflated } => match (codec, is_deflated) {
                (Codec::Json, false) => &self.json,
                (Codec::Json, true) => &self.json_deflated,
                (Codec::MessagePack, false) => &self.message_pack,
                (Codec::MessagePack, true) => &self.message_pack_deflated,
            },
            WireFormat::SseRoom => &self.sse_room,
            WireFormat::SseAll => &self.sse_all,
        }
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
        self.frames
            .get(format, |plain| plain.plain_event(&self.event))
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
        self.frames
            .get(format, |plain| plain.plain_push(&self.content.push()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
