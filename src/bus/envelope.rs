//! What travels on the bus.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::protocol::data::{Data, DataError};
use crate::protocol::event::{Epoch, Event, EventBody, LogError, Seq};
use crate::protocol::id::{EventId, RoomId, UserId};
pub use crate::protocol::origin::Origin;
use crate::protocol::presence::{PresenceChange, PresenceDigest};
use crate::protocol::touched::{Parts, Touched};

/// Something for a room, from one node to the others.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Who sent it.
    pub origin: Origin,
    /// The room.
    pub room_id: RoomId,
    /// A [`Payload`], encoded once for all who get it.
    pub payload: Bytes,
}

/// What is in an envelope.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Events of the room's log, ascending.
    Events(Vec<Event>),
    /// Somebody is typing, or no longer.
    Typing {
        /// Who.
        user_id: UserId,
        /// Whether they are.
        typing: bool,
    },
    /// How far somebody has read.
    Read {
        /// Who.
        user_id: UserId,
        /// The last message that they have read.
        msg_no: u64,
    },
    /// A volatile event of the application.
    Custom {
        /// Who sent it.
        user_id: UserId,
        /// Its name.
        name: Box<str>,
        /// Its value.
        data: Data,
    },
    /// Who has come and gone on a node; on a channel of [`presence`](super::presence) alone.
    PresenceDiff {
        /// Follows the one of the diff before.
        version: u64,
        /// In rooms of that channel.
        changes: Vec<PresenceChange>,
    },
    /// Where a node stands with what it has said on such a channel.
    PresenceDigest(PresenceDigest),
    /// What was touched in which rooms; on the channel for that alone.
    Touched {
        /// The number of this batch, dense; of the last one, if no room is in it.
        number: u64,
        /// Each room once.
        rooms: Vec<Touched>,
    },
}

/// What was touched of a room, as it is written: room, epoch, first, last, parts, members.
type WireTouched = (Uuid, Option<i32>, Seq, Seq, u8, Vec<Uuid>);

/// Presence in rooms, as it is written: the room, who came, who went.
type WireChange = (Uuid, Vec<Uuid>, Vec<Uuid>);

/// An envelope that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Not MessagePack of a payload.
    #[error("a payload cannot be read: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// Not MessagePack of a payload.
    #[error("a payload cannot be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// An event or value inside cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A value inside cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A time that is none.
    #[error("an event's time: {0}")]
    Time(#[from] jiff::Error),
}

/// As it is written. What is in it is borrowed, on both sides.
#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    #[serde(borrow)]
    Events(Vec<WireEvent<'a>>),
    Typing(Uuid, bool),
    Read(Uuid, u64),
    Custom(
        Uuid,
        &'a str,
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
    ),
    PresenceDiff(u64, Vec<WireChange>),
    PresenceDigest(u64, u64),
    Touched(u64, Vec<WireTouched>),
}

#[derive(Serialize, Deserialize)]
struct WireEvent<'a> {
    epoch: i32,
    seq: Seq,
    kind: i16,
    msg_no: Option<u64>,
    id: Uuid,
    user_id: Uuid,
    created_at_us: i64,
    #[serde(borrow, with = "serde_bytes")]
    data: Cow<'a, [u8]>,
    #[serde(default)]
    message_id: Option<Uuid>,
}

impl Payload {
    /// Writes events, ascending; the same as of [`Payload::Events`].
    pub fn encode_events<'a>(
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Bytes, PayloadError> {
        let events = events.into_iter().map(to_wire).collect::<Result<_, _>>()?;
        Ok(rmp_serde::to_vec(&Wire::Events(events))?.into())
    }

    /// Whether what was written is ephemeral, and for a room: typing, a read marker, or a volatile
    /// event. By its first bytes alone, which name the variant.
    #[must_use]
    pub fn is_ephemeral(bytes: &[u8]) -> bool {
        const KINDS: [&[u8]; 3] = [b"\x81\xa6Typing", b"\x81\xa4Read", b"\x81\xa6Custom"];
        KINDS.iter().any(|kind| bytes.starts_with(kind))
    }

    /// Writes it, MessagePack.
    pub fn encode(&self) -> Result<Bytes, PayloadError> {
        let wire = match self {
            Self::Events(events) => return Self::encode_events(events),
            Self::Typing { user_id, typing } => Wire::Typing(user_id.0, *typing),
            Self::Read { user_id, msg_no } => Wire::Read(user_id.0, *msg_no),
            Self::Custom {
                user_id,
                name,
                data,
            } => Wire::Custom(user_id.0, name, data.message_pack()),
            Self::PresenceDiff { version, changes } => {
                Wire::PresenceDiff(*version, changes.iter().map(change_to_wire).collect())
            }
            Self::PresenceDigest(digest) => Wire::PresenceDigest(digest.version, digest.hash),
            Self::Touched { number, rooms } => {
                Wire::Touched(*number, rooms.iter().map(touched_to_wire).collect())
            }
        };
        Ok(rmp_serde::to_vec(&wire)?.into())
    }

    /// Reads it, whoever wrote it.
    pub fn decode(room_id: RoomId, bytes: &[u8]) -> Result<Self, PayloadError> {
        Ok(match rmp_serde::from_slice(bytes)? {
            Wire::Events(events) => Self::Events(
                events
                    .iter()
                    .map(|event| from_wire(room_id, event))
                    .collect::<Result<_, _>>()?,
            ),
            Wire::Typing(user, typing) => Self::Typing {
                user_id: UserId(user),
                typing,
            },
            Wire::Read(user, msg_no) => Self::Read {
                user_id: UserId(user),
                msg_no,
            },
            Wire::Custom(user, name, data) => Self::Custom {
                user_id: UserId(user),
                name: name.into(),
                data: Data::from_message_pack(data)?,
            },
            Wire::PresenceDiff(version, changes) => Self::PresenceDiff {
                version,
                changes: changes.into_iter().map(change_from_wire).collect(),
            },
            Wire::PresenceDigest(version, hash) => {
                Self::PresenceDigest(PresenceDigest { version, hash })
            }
            Wire::Touched(number, rooms) => Self::Touched {
                number,
                rooms: rooms.into_iter().map(touched_from_wire).collect(),
            },
        })
    }
}

fn change_to_wire(change: &PresenceChange) -> WireChange {
    let ids = |users: &[UserId]| users.iter().map(|user| user.0).collect();
    (change.room.0, ids(&change.joins), ids(&change.leaves))
}

fn change_from_wire((room, joins, leaves): WireChange) -> PresenceChange {
    let users = |ids: Vec<Uuid>| ids.into_iter().map(UserId).collect();
    PresenceChange {
        room: RoomId(room),
        joins: users(joins),
        leaves: users(leaves),
    }
}

fn touched_to_wire(touched: &Touched) -> WireTouched {
    (
        touched.room_id.0,
        touched.epoch.map(|epoch| epoch.0),
        touched.first,
        touched.seq,
        touched.parts.bits(),
        touched.members.iter().map(|user| user.0).collect(),
    )
}

fn touched_from_wire((room, epoch, first, seq, parts, members): WireTouched) -> Touched {
    Touched {
        room_id: RoomId(room),
        epoch: epoch.map(Epoch),
        first,
        seq,
        parts: Parts::from_bits(parts),
        members: members.into_iter().map(UserId).collect(),
    }
}

fn to_wire(event: &Event) -> Result<WireEvent<'_>, PayloadError> {
    Ok(WireEvent {
        epoch: event.epoch.0,
        seq: event.seq,
        kind: event.body.kind() as i16,
        msg_no: event.body.msg_no(),
        id: event.id.0,
        user_id: event.user_id.0,
        created_at_us: event.created_at.as_microsecond(),
        data: event.body.to_log()?.into(),
        message_id: event.body.message_id().map(|id| id.0),
    })
}

fn from_wire(room_id: RoomId, event: &WireEvent<'_>) -> Result<Event, PayloadError> {
    Ok(Event {
        room_id,
        epoch: Epoch(event.epoch),
        seq: event.seq,
        id: EventId(event.id),
        user_id: UserId(event.user_id),
        created_at: Timestamp::from_microsecond(event.created_at_us)?,
        body: EventBody::from_log(
            event.kind,
            event.msg_no,
            event.message_id.map(EventId),
            &event.data,
        )?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back() {
        let room_id = RoomId::generate();
        let user_id = UserId::generate();
        let event = |body| Event {
            room_id,
            epoch: Epoch(3),
            seq: 41,
            id: EventId::generate(),
            user_id,
            created_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            body,
        };
        let message_id = EventId::generate();
        let message = EventBody::Message {
            msg_no: 30,
            body: "hi".into(),
            client_id: "c1".into(),
            thread: Some(message_id),
            mentions: [user_id].into(),
            deleted: false,
        };
        let redacted = message.redacted().unwrap();
        let edit = EventBody::Edit {
            message_id,
            body: "ho".into(),
            deleted: false,
        };
        let delete = EventBody::Delete { message_id };
        let custom = Payload::Custom {
            user_id,
            name: "cursor".into(),
            data: serde_json::from_str("[1,2]").unwrap(),
        };
        for payload in [
            Payload::Events([message, redacted, edit, delete].map(event).into()),
            Payload::Typing {
                user_id,
                typing: true,
            },
            Payload::Read { user_id, msg_no: 7 },
            custom,
            Payload::PresenceDiff {
                version: u64::MAX,
                changes: vec![PresenceChange {
                    room: room_id,
                    joins: vec![user_id],
                    leaves: vec![UserId::generate(), UserId::generate()],
                }],
            },
            Payload::PresenceDigest(PresenceDigest {
                version: 1 << 40,
                hash: u64::MAX,
            }),
            Payload::Touched {
                number: 9,
                rooms: vec![Touched {
                    room_id,
                    epoch: Some(Epoch(3)),
                    first: 40,
                    seq: 41,
                    parts: Parts::MEMBERS,
                    members: vec![user_id],
                }],
            },
        ] {
            let bytes = payload.encode().unwrap();
            assert_eq!(Payload::decode(room_id, &bytes).unwrap(), payload);
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for garbage in [&b""[..], b"\xc1", b"hello", &[0x93, 1, 2, 3]] {
            assert!(Payload::decode(RoomId::generate(), garbage).is_err());
        }
    }
}
