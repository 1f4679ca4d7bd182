//! What an event was encoded to, once for each format that somebody needs.

use std::sync::OnceLock;

use bytes::Bytes;

use super::format::{WHOLE_COUNT, WireFormat, whole_index};
use crate::hub::connection::outbox::{Parts, held_bytes};
use crate::protocol::cursor::Position;
use crate::protocol::native::Codec;
use crate::protocol::socketio::message::Message;
use crate::protocol::socketio::push::Format;
use crate::protocol::socketio::recovery;
use crate::protocol::sse;
use crate::stall::{Activity, doing};

/// A WebSocket frame's header is at most this long.
const HEADER_MAX_BYTES: usize = 10;

/// An event in a format, as far as it is the same for everyone.
#[derive(Debug, Clone)]
pub(crate) enum Encoded {
    /// All of it.
    Whole(Bytes),
    /// A block of an event stream without its id.
    Block(Bytes),
    /// A packet without its cursor.
    Packet(Format, Message),
}

impl Encoded {
    /// Whether it lacks an end that tells where the client stands.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self, Self::Whole(_))
    }

    /// The memory that it takes at most while it waits, bytes, for a connection that is in at most
    /// so many rooms.
    pub(crate) fn max_bytes(&self, rooms: usize) -> usize {
        match self {
            Self::Whole(frame) => held_bytes([frame.len()]),
            Self::Block(body) => held_bytes([body.len(), sse::tail_max_bytes(rooms)]),
            Self::Packet(_, message) => held_bytes([
                HEADER_MAX_BYTES,
                message.body().len(),
                recovery::tail_max_bytes(rooms),
                message.rest().len(),
            ]),
        }
    }

    /// The frame of a client that stands at these positions when it has it.
    pub(crate) fn seal(self, positions: &[Position]) -> Parts {
        match self {
            Self::Whole(frame) => frame.into(),
            Self::Block(body) => Parts::with_tail(body, sse::tail(positions)),
            Self::Packet(format, message) => {
                let tail = format.tail(&recovery::offset(positions));
                message.frames(&tail).into()
            }
        }
    }
}

/// One frame for each format that was asked for.
#[derive(Debug, Default)]
pub(super) struct Frames {
    json: OnceLock<Bytes>,
    json_deflated: OnceLock<Bytes>,
    message_pack: OnceLock<Bytes>,
    message_pack_deflated: OnceLock<Bytes>,
    sse_room: OnceLock<Bytes>,
    sse_all: OnceLock<Bytes>,
    /// Where there are clients of Socket.IO.
    socketio: OnceLock<Box<SocketIoFrames>>,
}

#[derive(Debug, Default)]
struct SocketIoFrames {
    whole: [OnceLock<Bytes>; WHOLE_COUNT],
    /// Those with cursors.
    json: OnceLock<Encoded>,
    message_pack: OnceLock<Encoded>,
}

impl Frames {
    /// What is the same for everyone, in a format; `encode` makes those that are not compressed.
    pub(super) fn encoded(
        &self,
        format: WireFormat,
        encode: impl Fn(WireFormat) -> Encoded,
    ) -> Encoded {
        if let WireFormat::SocketIo {
            format: packets, ..
        } = format
            && packets.has_cursors
        {
            let frames = self.socketio.get_or_init(Box::default);
            let cell = match packets.codec {
                Codec::Json => &frames.json,
                Codec::MessagePack => &frames.message_pack,
            };
            let encoded = cell.get_or_init(|| {
                let _doing = doing(Activity::Encode);
                encode(format.plain())
            });
            return encoded.clone();
        }
        let frame = self.get(format, |plain| match encode(plain) {
            Encoded::Whole(frame) | Encoded::Block(frame) => frame,
            Encoded::Packet(_, message) => message.frame(),
        });
        match format {
            WireFormat::SseAll => Encoded::Block(frame),
            _ => Encoded::Whole(frame),
        }
    }

    /// The frame in a format; `encode` makes those that are not compressed. What is not worth
    /// compressing has the same bytes in both forms.
    pub(super) fn get(&self, format: WireFormat, encode: impl Fn(WireFormat) -> Bytes) -> Bytes {
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
            WireFormat::SocketIo {
                format,
                is_deflated,
            } => {
                let frames = self.socketio.get_or_init(Box::default);
                &frames.whole[whole_index(format, is_deflated)]
            }
        }
    }
}
