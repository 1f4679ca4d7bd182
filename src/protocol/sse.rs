//! Event streams: the same pushes as blocks of `text/event-stream`, as the HTML standard's chapter
//! "Server-sent events" has it.
//!
//! A block is a push's name as `event`, its JSON on one line of `data`, and, if it moves the
//! client's position, an `id`. In the stream of one room that is `<epoch>-<seq>`, the same for
//! everyone; in the stream of several it is a cursor, which differs from client to client, so that
//! the block is made of a shared part without its end and a private tail.

use std::fmt::Write as _;

use bytes::Bytes;

use super::close::Disconnect;
use super::cursor::{self, CursorError, Position};
use super::event::{Epoch, Event, Seq};
use super::push::Push;

/// Room that most blocks fit into at once, bytes.
const USUAL_BYTES: usize = 320;

/// What ends a block.
const END: &[u8] = b"\n";

/// What is sent in place of a push that has no form in JSON. None of ours is such a push.
const NOT_JSON: &[u8] = br#"{"push":"error"}"#;

/// What is sent so that nobody on the way forgets the connection: a comment.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// The content type.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// Where a client stands in the one room of its stream, as `<epoch>-<seq>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomPosition {
    /// The log's life.
    pub epoch: Epoch,
    /// The last event that the client has.
    pub seq: Seq,
}

impl std::fmt::Display for RoomPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.seq)
    }
}

/// What a client gives back of a stream that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastEventId {
    /// The id of a block in the stream of one room.
    Room(RoomPosition),
    /// A cursor.
    Cursor(Vec<Position>),
}

impl LastEventId {
    /// Reads an id, whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        match text.split_once('-') {
            // A cursor begins with its version, "AQ": no digit.
            Some((epoch, seq)) if epoch.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(Self::Room(RoomPosition {
                    epoch: Epoch(number(epoch)?),
                    seq: number(seq)?,
                }))
            }
            _ => cursor::decode(text).map(Self::Cursor),
        }
    }
}

/// A number as [`RoomPosition`] writes it: digits, no sign, no zeros before it.
fn number<N: std::str::FromStr>(text: &str) -> Result<N, CursorError> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !is_plain {
        return Err(CursorError::Malformed);
    }
    text.parse().map_err(|_| CursorError::Malformed)
}

/// A durable event in the stream of one room: a whole block.
#[must_use]
pub fn room_event(event: &Event) -> Bytes {
    let mut block = Block::new(&Push::from(event));
    block.id(&RoomPosition {
        epoch: event.epoch,
        seq: event.seq,
    });
    block.end()
}

/// A push that moves the position to `id`: a whole block.
#[must_use]
pub fn push_at(push: &Push<'_>, id: RoomPosition) -> Bytes {
    let mut block = Block::new(push);
    block.id(&id);
    block.end()
}

/// A push that leaves the position as it is: a whole block.
#[must_use]
pub fn push(push: &Push<'_>) -> Bytes {
    let mut block = Block::new(push);
    if let Push::Drain { after_ms, .. } = push {
        // The stream is ended in its turn: what is told is the rest of the wait.
        block.retry(retry_ms(*after_ms));
    }
    block.end()
}

/// A block that lacks its end: what [`tail`] gives makes it whole.
#[must_use]
pub fn open(push: &Push<'_>) -> Bytes {
    Block::new(push).0.into()
}

/// The end of a block that moves the positions to those of the cursor.
#[must_use]
pub fn tail(positions: &[Position]) -> Bytes {
    match cursor::encode(positions) {
        Ok(cursor) => format!("id: {cursor}\n\n").into(),
        // More positions than were let in: the block stands without an id.
        Err(_) => Bytes::from_static(END),
    }
}

/// How many bytes [`tail`] makes of this many positions at most.
#[must_use]
pub fn tail_max_bytes(positions: usize) -> usize {
    (1 + positions * 30).div_ceil(3) * 4 + b"id: \n\n".len()
}

/// Why the stream ends: its last block.
#[must_use]
pub fn close(reason: Disconnect) -> Bytes {
    format!(
        "event: close\ndata: {{\"code\":{},\"reason\":\"{}\"}}\n\n",
        reason.code(),
        reason.reason()
    )
    .into()
}

/// How long the client waits before it comes back by itself, milliseconds.
#[must_use]
pub fn retry(ms: u64) -> Bytes {
    format!("retry: {ms}\n\n").into()
}

/// Different for every client that is told to move at another time, so that not all come back at
/// once: up to a second after the stream's end, which is spread already.
fn retry_ms(after_ms: u64) -> u64 {
    250 + after_ms.wrapping_mul(7919) % 750
}

/// A block being written.
struct Block(Vec<u8>);

impl Block {
    fn new(push: &Push<'_>) -> Self {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        // A push is always JSON: its keys are names, and what is the application's was read as
        // JSON before.
        if serde_json::to_writer(&mut json, push).is_err() {
            json.clear();
            json.extend_from_slice(NOT_JSON);
        }
        let name = name(&json);
        let mut block = Vec::with_capacity(json.len() + name.len() + USUAL_BYTES / 4);
        block.extend_from_slice(b"event: ");
        block.extend_from_slice(name);
        block.extend_from_slice(b"\ndata: ");
        let start = block.len();
        block.extend_from_slice(&json);
        // Within a string JSON escapes them: where they stand they only part tokens, in what the
        // application sent.
        for byte in &mut block[start..] {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        block.push(b'\n');
        Self(block)
    }

    fn id(&mut self, id: &RoomPosition) {
        self.0.extend_from_slice(format!("id: {id}\n").as_bytes());
    }

    fn retry(&mut self, ms: u64) {
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(line, "retry: {ms}");
        self.0.extend_from_slice(line.as_bytes());
    }

    fn end(mut self) -> Bytes {
        self.0.extend_from_slice(END);
        self.0.into()
    }
}

/// The name of a push: the value of its first key.
pub(super) fn name(json: &[u8]) -> &[u8] {
    let value = json.strip_prefix(br#"{"push":""#).unwrap_or_default();
    let end = value.iter().position(|byte| *byte == b'"');
    &value[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::data::Data;
    use crate::protocol::event::EventBody;
    use crate::protocol::id::{EventId, RoomId, UserId};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn message(body: &str) -> Event {
        Event {
            room_id: RoomId(Uuid::from_u128(1)),
            epoch: Epoch(7),
            seq: 41,
            id: EventId(Uuid::from_u128(3)),
            user_id: UserId(Uuid::from_u128(2)),
            created_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
            body: EventBody::Message {
                msg_no: 30,
                body: body.into(),
                client_id: "c".into(),
                thread: None,
                mentions: Box::default(),
                deleted: false,
            },
        }
    }

    fn text(block: &Bytes) -> &str {
        std::str::from_utf8(block).unwrap()
    }

    #[test]
    fn a_message_is_one_block_of_three_lines() {
        let block = room_event(&message("a\nb\r\n\nc"));
        let lines: Vec<_> = text(&block).split('\n').collect();
        assert_eq!(lines[0], "event: message");
        assert!(lines[1].starts_with(r#"data: {"push":"message","room":"#));
        assert!(lines[1].contains(r#""body":"a\nb\r\n\nc""#));
        assert_eq!(lines[2..], ["id: 7-41", "", ""]);
    }

    #[test]
    fn what_the_application_sent_stays_on_one_line() {
        let data: Data = serde_json::from_str("{\n \"x\":\r\n 1}").unwrap();
        let block = push(&Push::Event {
            room: RoomId(Uuid::from_u128(1)),
            seq: None,
            id: None,
            name: "cursor\n",
            data: &data,
            user_id: UserId(Uuid::from_u128(2)),
            client_id: None,
            created_at: None,
        });
        let lines: Vec<_> = text(&block).split(['\n', '\r']).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0], "event: event");
        let json: serde_json::Value = serde_json::from_str(&lines[1][6..]).unwrap();
        assert_eq!(json["data"]["x"], 1);
        assert_eq!(json["name"], "cursor\n");
    }

    #[test]
    fn a_shared_part_and_a_tail_are_a_block() {
        let event = message("hi");
        let open = open(&Push::from(&event));
        assert!(text(&open).ends_with("}\n"));
        let position = Position {
            room_id: event.room_id,
            epoch: event.epoch,
            seq: event.seq,
        };
        let tail = tail(&[position]);
        assert!(text(&tail).starts_with("id: AQ"));
        assert!(text(&tail).ends_with("\n\n"));
        assert!(tail.len() <= tail_max_bytes(1));
        let id = text(&tail).trim_end().strip_prefix("id: ").unwrap();
        assert_eq!(
            LastEventId::parse(id),
            Ok(LastEventId::Cursor(vec![position]))
        );
    }

    #[test]
    fn the_end_says_why_and_a_drain_when_to_come_back() {
        assert_eq!(
            text(&close(Disconnect::Slow)),
            "event: close\ndata: {\"code\":4001,\"reason\":\"slow\"}\n\n"
        );
        let drain = push(&Push::Drain {
            after_ms: 250,
            cursor: "AQ",
        });
        let lines: Vec<_> = text(&drain).lines().collect();
        assert_eq!(lines[0], "event: drain");
        let wait: u64 = lines[2].strip_prefix("retry: ").unwrap().parse().unwrap();
        assert!((250..1000).contains(&wait));
    }

    #[test]
    fn ids_are_read_back_and_nothing_else() {
        let position = RoomPosition {
            epoch: Epoch(i32::MAX),
            seq: u64::MAX,
        };
        let id = position.to_string();
        assert_eq!(LastEventId::parse(&id), Ok(LastEventId::Room(position)));
        for garbage in [
            "",
            "7",
            "7-",
            "-7",
            "7-x",
            "7--1",
            "+7-1",
            "07-1",
            "7-01",
            "7-1 ",
            "4294967296-1",
            "7-18446744073709551616",
            "x-1",
            "7-1-1",
            "AQ!",
            "null",
            "\u{661}-1",
        ] {
            assert!(LastEventId::parse(garbage).is_err(), "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_means_what_it_says(text in "[0-9A-Za-z_-]{0,40}") {
            if let Ok(LastEventId::Room(position)) = LastEventId::parse(&text) {
                prop_assert_eq!(position.to_string(), text);
            }
        }

        #[test]
        fn a_tail_is_as_long_as_promised_at_most(seqs in prop::collection::vec(any::<u64>(), 0..102)) {
            let positions: Vec<_> = seqs.into_iter().map(|seq| Position {
                room_id: RoomId(Uuid::from_u128(1)),
                epoch: Epoch(-1),
                seq,
            }).collect();
            let tail = tail(&positions);
            prop_assert!(tail.len() > END.len() && tail.len() <= tail_max_bytes(positions.len()));
        }
    }
}
