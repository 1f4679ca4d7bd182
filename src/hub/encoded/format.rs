//! The forms in which frames leave.

use bytes::Bytes;

use super::Encoded;
use crate::hub::compression;
use crate::protocol::error::Refusal;
use crate::protocol::event::Event;
use crate::protocol::native::request::RequestId;
use crate::protocol::native::{self, Codec};
use crate::protocol::push::Push;
use crate::protocol::reply::Reply;
use crate::protocol::socketio::MAIN;
use crate::protocol::socketio::push::Format;
use crate::protocol::{engineio, sse, websocket};

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
    /// different for each connection.
    SseAll,
    /// Packets of Socket.IO in WebSocket frames. Where a client polls they are taken out of them
    /// again, so that both share them, and what waits for a poll can go by a WebSocket. With
    /// cursors an event lacks its end, as in [`WireFormat::SseAll`].
    SocketIo {
        /// How packets are written.
        format: Format,
        /// Whether frames are compressed where that is worth it; those with cursors are not.
        is_deflated: bool,
    },
}

impl WireFormat {
    /// Sessions of Socket.IO before their client has said how it writes.
    pub(crate) fn socketio(revision: engineio::Revision) -> Self {
        Self::SocketIo {
            format: Format {
                codec: Codec::Json,
                revision,
                has_cursors: false,
            },
            is_deflated: false,
        }
    }

    /// How values are written in it.
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Native { codec, .. } => codec,
            Self::SseRoom | Self::SseAll => Codec::Json,
            Self::SocketIo { format, .. } => format.codec,
        }
    }

    /// How many there are. Those with cursors are the same whether others are compressed or not.
    pub(crate) const COUNT: usize = 14;

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Native { codec, is_deflated } => match codec {
                Codec::Json => usize::from(is_deflated),
                Codec::MessagePack => 2 + usize::from(is_deflated),
            },
            Self::SseRoom => 4,
            Self::SseAll => 5,
            Self::SocketIo {
                format,
                is_deflated,
            } => {
                let packed = usize::from(format.codec == Codec::MessagePack);
                let place = if format.has_cursors {
                    WHOLE_COUNT + packed
                } else {
                    whole_index(format, is_deflated)
                };
                6 + place
            }
        }
    }

    /// The format that it is a compressed form of; itself if of none.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::Native { codec, .. } => Self::Native {
                codec,
                is_deflated: false,
            },
            stream @ (Self::SseRoom | Self::SseAll) => stream,
            Self::SocketIo { format, .. } => Self::SocketIo {
                format,
                is_deflated: false,
            },
        }
    }

    /// The frame as it is sent, of one in the plain format.
    pub(crate) fn finish(self, frame: Bytes) -> Bytes {
        match self {
            Self::Native {
                is_deflated: true, ..
            } => compression::deflated(&frame),
            Self::SocketIo {
                is_deflated: true, ..
            } => compression::deflated_packet(&frame),
            _ => frame,
        }
    }

    /// The frame of a push that is for one connection alone.
    pub(crate) fn push(self, push: &Push<'_>) -> Bytes {
        self.finish(self.plain_push(push))
    }

    pub(super) fn plain_push(self, push: &Push<'_>) -> Bytes {
        match self {
            Self::Native { codec, .. } => native::encode_push(codec, push),
            Self::SseRoom | Self::SseAll => sse::push(push),
            Self::SocketIo { format, .. } => format.push(push).frame(),
        }
    }

    /// An event, as far as it is the same for everyone.
    pub(super) fn plain_event(self, event: &Event) -> Encoded {
        match self {
            Self::Native { codec, .. } => {
                Encoded::Whole(native::encode_push(codec, &Push::from(event)))
            }
            Self::SseRoom => Encoded::Whole(sse::room_event(event)),
            Self::SseAll => Encoded::Block(sse::open(&Push::from(event))),
            Self::SocketIo { format, .. } => {
                let message = format.event(&Push::from(event));
                if message.is_open() {
                    Encoded::Packet(format, message)
                } else {
                    Encoded::Whole(message.frame())
                }
            }
        }
    }

    /// What is sent to a connection that has been silent, or to which nothing was sent.
    pub(crate) fn ping(self) -> Bytes {
        match self {
            // Socket.IO's own heartbeats are packets, and their session's.
            Self::Native { .. } | Self::SocketIo { .. } => websocket::encode::ping(&[]),
            Self::SseRoom | Self::SseAll => Bytes::from_static(sse::HEARTBEAT),
        }
    }

    /// Whether each event is followed by a tail of the connection's own.
    pub(crate) fn has_tails(self) -> bool {
        match self {
            Self::SseAll => true,
            Self::SocketIo { format, .. } => format.has_cursors,
            Self::Native { .. } | Self::SseRoom => false,
        }
    }

    /// A reply's frame; none if nobody wants to hear of a success.
    ///
    /// What a client of Socket.IO wants to have acknowledged is a number. Where it wants no
    /// acknowledgement its request has the command's name instead, by which a refusal is told.
    pub(crate) fn reply(
        self,
        request: Option<&RequestId>,
        result: &Result<Reply, Refusal>,
    ) -> Option<Bytes> {
        let frame = match self {
            Self::Native { codec, .. } => match (request, result) {
                (Some(id), Ok(reply)) => native::encode_reply(codec, id, reply),
                (id, Err(refusal)) => native::encode_error(codec, id, refusal),
                (None, Ok(_)) => return None,
            },
            // Nothing is asked by a stream.
            Self::SseRoom | Self::SseAll => return None,
            Self::SocketIo { format, .. } => {
                let message = match (request, result) {
                    (Some(RequestId::Number(id)), result) => format.reply(MAIN, *id, result),
                    (Some(RequestId::Text(name)), Err(refusal)) => format.refused(name, refusal),
                    (None, Err(refusal)) => format.refused("", refusal),
                    (_, Ok(_)) => return None,
                };
                message.frame()
            }
        };
        Some(self.finish(frame))
    }
}

/// Of Socket.IO's formats, so many are whole frames.
pub(super) const WHOLE_COUNT: usize = 6;

/// The place of one among them.
pub(super) fn whole_index(format: Format, is_deflated: bool) -> usize {
    let form = match (format.revision, format.codec) {
        (engineio::Revision::V3, _) => 0,
        (engineio::Revision::V4, Codec::Json) => 1,
        (engineio::Revision::V4, Codec::MessagePack) => 2,
    };
    2 * form + usize::from(is_deflated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::error::ErrorCode;

    #[test]
    fn every_format_has_a_place_of_its_own() {
        let mut formats = vec![WireFormat::SseRoom, WireFormat::SseAll];
        for is_deflated in [false, true] {
            for codec in [Codec::Json, Codec::MessagePack] {
                formats.push(WireFormat::Native { codec, is_deflated });
                let format = Format {
                    codec,
                    revision: engineio::Revision::V4,
                    has_cursors: false,
                };
                formats.push(WireFormat::SocketIo {
                    format,
                    is_deflated,
                });
            }
            let WireFormat::SocketIo { format, .. } = WireFormat::socketio(engineio::Revision::V3)
            else {
                panic!("another format");
            };
            formats.push(WireFormat::SocketIo {
                format,
                is_deflated,
            });
        }
        for codec in [Codec::Json, Codec::MessagePack] {
            let format = Format {
                codec,
                revision: engineio::Revision::V4,
                has_cursors: true,
            };
            formats.push(WireFormat::SocketIo {
                format,
                is_deflated: false,
            });
        }
        let mut places: Vec<_> = formats.iter().map(|it| it.index()).collect();
        places.sort_unstable();
        let all: Vec<_> = (0..WireFormat::COUNT).collect();
        assert_eq!(places, all);
    }

    #[test]
    fn refusals_that_nobody_waits_for_are_told_by_the_commands_name() {
        let format = WireFormat::socketio(engineio::Revision::V4);
        let refused = Err(Refusal::new(ErrorCode::Muted, "no"));
        let name = RequestId::Text("publish".into());
        let told = format.reply(Some(&name), &refused).unwrap();
        let text = String::from_utf8_lossy(&told[2..]).into_owned();
        assert!(text.contains(r#"42["refused",{"cmd":"publish""#), "{text}");
        let done = Ok(Reply::Done {});
        assert_eq!(format.reply(Some(&name), &done), None);
        let acked = format.reply(Some(&RequestId::Number(7)), &done).unwrap();
        assert_eq!(&acked[2..], br#"437[{"ok":{}}]"#);
    }
}
