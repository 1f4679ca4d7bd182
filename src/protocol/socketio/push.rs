//! The hub's pushes and replies as packets.
//!
//! A push is an event of its name, in the main namespace, with the push as its argument. A client
//! that recovers by an offset gives back the last argument of the last event that ended in a string
//! (the name counts as one), so a push that moves its position ends in its cursor, and nothing else
//! ends in a string: see [`recovery`](super::recovery).

use serde::Serialize;

use super::MAIN;
use super::encode::head;
use super::message::Message;
use super::packed;
use super::packet::Kind;
use super::recovery::OFFSET_LOST;
use crate::protocol::data::attached;
use crate::protocol::engineio::Revision;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::RoomId;
use crate::protocol::msgpack::read::{Head, Reader, text};
use crate::protocol::msgpack::write::{Container, append, text as write_text};
use crate::protocol::native::Codec;
use crate::protocol::push::Push;
use crate::protocol::reply::{Gap, MessageView, Reply};
use crate::protocol::sse;

/// The event that carries a cursor alone.
pub const CURSOR_EVENT: &str = "cursor";

/// The event that tells of events that a client that comes back cannot have.
pub const GAP_EVENT: &str = "gap";

/// The event that tells of a command that was refused and asked for no acknowledgement.
pub const REFUSED_EVENT: &str = "refused";

/// What a client that comes back cannot have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Missing {
    /// A room.
    Room {
        /// Which.
        room: RoomId,
        /// Why.
        err: Refusal,
    },
    /// Events of a room.
    Events {
        /// Which.
        room: RoomId,
        /// Which of them, and why.
        gap: Gap,
    },
}

/// How a client's messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// JSON or MessagePack.
    pub codec: Codec,
    /// Its revision. Of the third, JSON alone.
    pub revision: Revision,
    /// Whether pushes that move the position end in a cursor: the client was given a `pid`.
    pub has_cursors: bool,
}

impl Format {
    /// A push that moves the client's position. With cursors it is open: [`Format::tail`] ends it.
    #[must_use]
    pub fn event(self, push: &Push<'_>) -> Message {
        self.push_with(push, self.has_cursors)
    }

    /// A push that leaves the position as it is.
    #[must_use]
    pub fn push(self, push: &Push<'_>) -> Message {
        self.push_with(push, false)
    }

    /// The end of an open message: the client stands at `offset`, which needs no escapes.
    #[must_use]
    pub fn tail(self, offset: &str) -> Vec<u8> {
        match self.codec {
            Codec::Json => [b",\"", offset.as_bytes(), b"\"]"].concat(),
            Codec::MessagePack => {
                let mut out = Vec::with_capacity(offset.len() + 3);
                // A cursor is not longer than 2³² bytes.
                let _ = write_text(&mut out, offset);
                out
            }
        }
    }

    /// `cursor`: the client stands at `offset`. It follows each join and leave.
    #[must_use]
    pub fn cursor(self, offset: &str) -> Message {
        self.event_of(CURSOR_EVENT, &[offset])
    }

    /// `gap`: what happened while the client was away could not be given to it. It is in no room:
    /// it joins them, and fetches them afresh. `cursor` is where it said that it stands, by which
    /// it can resume what can be had.
    #[must_use]
    pub fn gap(self, rooms: &[Missing], cursor: Option<&str>) -> Message {
        #[derive(Serialize)]
        struct Lost<'a> {
            rooms: &'a [Missing],
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<&'a str>,
        }
        let cursor = cursor.filter(|it| *it != OFFSET_LOST);
        self.event_of(GAP_EVENT, &[Lost { rooms, cursor }])
    }

    /// `refused`: the command of that name could not be read or done, and nobody is waiting for
    /// its acknowledgement.
    #[must_use]
    pub fn refused(self, command: &str, refusal: &Refusal) -> Message {
        #[derive(Serialize)]
        struct Refused<'a> {
            cmd: &'a str,
            err: &'a Refusal,
        }
        let args = [Refused {
            cmd: command,
            err: refusal,
        }];
        self.event_of(REFUSED_EVENT, &args)
    }

    /// The acknowledgement of a command: `{"ok":{…}}` or `{"err":{…}}`.
    #[must_use]
    pub fn reply(self, nsp: &str, id: u64, result: &Result<Reply, Refusal>) -> Message {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Answer<'a> {
            Ok(&'a Reply),
            Err(&'a Refusal),
        }
        let (answer, has_bytes) = match result {
            Ok(reply) => (Answer::Ok(reply), reply_has_bytes(reply)),
            Err(refusal) => (Answer::Err(refusal), false),
        };
        let written = self.write(Kind::Ack, nsp, Some(id), &[answer], has_bytes);
        written.unwrap_or_else(|| {
            let refusal = Refusal::new(ErrorCode::Internal, "the answer cannot be written");
            let args = [Answer::Err(&refusal)];
            let substitute = self.write(Kind::Ack, nsp, Some(id), &args, false);
            substitute.unwrap_or_else(|| Message::bytes(Vec::new(), false))
        })
    }

    fn push_with(self, push: &Push<'_>, is_open: bool) -> Message {
        let written = match self.codec {
            Codec::Json => self.json_push(push, is_open),
            Codec::MessagePack => packed_push(push, is_open),
        };
        // Every push has a form in both.
        written.unwrap_or_else(|| {
            let refusal = Refusal::new(ErrorCode::Internal, "a push cannot be written");
            self.refused("", &refusal)
        })
    }

    fn json_push(self, push: &Push<'_>, is_open: bool) -> Option<Message> {
        let mut json = Vec::new();
        let mut packed = Vec::new();
        let mut attachments = Vec::new();
        if push_has_bytes(push) {
            append(&mut packed, push).ok()?;
            attachments = attached::unpack(&packed, &mut json).ok()?;
        }
        if attachments.is_empty() {
            json = serde_json::to_vec(push).ok()?;
        }
        let mut text = head(Kind::Event, attachments.len(), MAIN, None);
        text.reserve(json.len() + 32);
        text.extend_from_slice(b"[\"");
        text.extend_from_slice(sse::name(&json));
        text.extend_from_slice(b"\",");
        text.extend_from_slice(&json);
        if !is_open {
            text.push(b']');
        }
        Some(Message::text(self.revision, text, &attachments, is_open))
    }

    /// An event of one of our own names, without bytes.
    fn event_of(self, name: &str, args: &[impl Serialize]) -> Message {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Item<'a, A> {
            Name(&'a str),
            Arg(&'a A),
        }
        let items: Vec<_> = std::iter::once(Item::Name(name))
            .chain(args.iter().map(Item::Arg))
            .collect();
        let written = self.write(Kind::Event, MAIN, None, &items, false);
        written.unwrap_or_else(|| Message::bytes(Vec::new(), false))
    }

    /// A packet whose data are these; none if they have no form.
    fn write<T: Serialize>(
        self,
        kind: Kind,
        nsp: &str,
        id: Option<u64>,
        data: &[T],
        has_bytes: bool,
    ) -> Option<Message> {
        if self.codec == Codec::MessagePack {
            let mut out = Vec::new();
            packed::open(&mut out, kind, nsp, id, true).ok()?;
            append(&mut out, data).ok()?;
            return Some(Message::bytes(out, false));
        }
        let (mut packed, mut json, mut attachments) = (Vec::new(), Vec::new(), Vec::new());
        if has_bytes {
            append(&mut packed, data).ok()?;
            attachments = attached::unpack(&packed, &mut json).ok()?;
        }
        if attachments.is_empty() {
            json = serde_json::to_vec(data).ok()?;
        }
        let mut text = head(kind, attachments.len(), nsp, id);
        text.extend_from_slice(&json);
        Some(Message::text(self.revision, text, &attachments, false))
    }
}

fn packed_push(push: &Push<'_>, is_open: bool) -> Option<Message> {
    let mut object = Vec::new();
    append(&mut object, push).ok()?;
    let mut reader = Reader::new(&object);
    // The first field is its name.
    let (Ok(Head::Map(_)), Ok("push"), Ok(Head::Text(name))) =
        (reader.head(), reader.key(), reader.head())
    else {
        return None;
    };
    let mut out = Vec::with_capacity(object.len() + 32);
    packed::open(&mut out, Kind::Event, MAIN, None, true).ok()?;
    Container::List
        .head(&mut out, 2 + usize::from(is_open))
        .ok()?;
    write_text(&mut out, text(name).ok()?).ok()?;
    out.extend_from_slice(&object);
    Some(Message::bytes(out, is_open))
}

fn push_has_bytes(push: &Push<'_>) -> bool {
    match push {
        Push::Message { body, .. } | Push::Edit { body, .. } => body.bytes().is_some(),
        Push::Event { data, .. } => data.has_bytes(),
        _ => false,
    }
}

fn reply_has_bytes(reply: &Reply) -> bool {
    let has_bytes = |it: &MessageView| it.body.bytes().is_some();
    matches!(reply, Reply::History(page) if page.messages.iter().any(has_bytes))
}

#[cfg(test)]
mod tests;
