//! How a client says who it is and where it stands, and how it is told where it stands.
//!
//! The official clients since 4.6, if the server gave them a `pid` when they connected, send it when
//! they come back, and with it an `offset`: the last argument of the last event that ended in a
//! string. An event's name counts as one, and an event that asks for an acknowledgement ends in a
//! function. So [`Offset`] is only what we have written there ourselves.

use std::borrow::Cow;

use super::value::Value;
use crate::protocol::cursor::{self, Position};
use crate::protocol::msgpack::read::{Head, Reader};

/// Beyond so many rooms a cursor is not worth its place behind every event.
pub const OFFSET_ROOMS_MAX: usize = 32;

/// The offset of clients in more rooms: nothing can be recovered by it.
pub const OFFSET_LOST: &str = "!";

/// A `pid` is at most this long, bytes; a longer one is none of ours.
pub const PID_MAX_BYTES: usize = 128;

/// What `rooms` says of a client that is in one room at a time.
pub const SINGLE_ROOM: &str = "single";

/// What stands at the end of an event that moves the position.
#[must_use]
pub fn offset(positions: &[Position]) -> Cow<'static, str> {
    if positions.len() > OFFSET_ROOMS_MAX {
        return Cow::Borrowed(OFFSET_LOST);
    }
    cursor::encode(positions).map_or(Cow::Borrowed(OFFSET_LOST), Cow::Owned)
}

/// How many bytes the end of an open message has at most, for a client in so many rooms.
#[must_use]
pub fn tail_max_bytes(rooms: usize) -> usize {
    // As `cursor::encode` writes it; around it `,"` and `"]`, or a string's head in MessagePack.
    (1 + rooms.min(OFFSET_ROOMS_MAX) * 30).div_ceil(3) * 4 + 4
}

/// Whether a client's library gives back where it stands, and gives its handlers all arguments of
/// an event: the official ones. python-socketio, Dart's and others take a further argument for a
/// mistake or hand over something else, and would never give it back.
///
/// Nothing says so outright. Those of JavaScript write `EIO` before `transport`, as nobody else
/// does, but for a port of them that says who it is. Whom this takes for another one loses nothing
/// but the recovery by itself: its cursors come with acknowledgements.
#[must_use]
pub fn takes_offsets(query: &str, user_agent: Option<&str>) -> bool {
    let mut names = query
        .split('&')
        .filter_map(|pair| Some(pair.split_once('=')?.0));
    let first = names.find(|name| matches!(*name, "EIO" | "transport"));
    let is_other = user_agent.is_some_and(|agent| {
        let others = ["Dart/", "Python/", "python-requests/"];
        others.iter().any(|other| agent.starts_with(other))
    });
    first == Some("EIO") && !is_other
}

/// What a client brings when it connects to a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A session's token.
    pub token: Option<String>,
    /// The `pid` that it was given before.
    pub pid: Option<String>,
    /// Where it stands, by its library's own account.
    pub offset: Option<String>,
    /// A cursor that the application has kept itself.
    pub cursor: Option<String>,
    /// To join a room is to leave the others.
    pub is_single_room: bool,
}

/// Where a client that comes back stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offset {
    /// It does not come back.
    New,
    /// It comes back and cannot say where it stands: a new `pid`, and a gap.
    Lost,
    /// Here.
    At(Vec<Position>),
}

impl Credentials {
    /// Those in a CONNECT packet's object. What is no string counts as nothing, as does what is not
    /// known.
    #[must_use]
    pub fn read(data: Option<&Value<'_>>) -> Self {
        let mut read = Self::default();
        let Some(data) = data else { return read };
        let fields = match data {
            Value::Json(json) => json_fields(json),
            Value::Packed(bytes) => packed_fields(bytes),
        };
        for (name, value) in fields.unwrap_or_default() {
            match &*name {
                "token" => read.token = Some(value),
                "pid" => read.pid = Some(value),
                "offset" => read.offset = Some(value),
                "cursor" => read.cursor = Some(value),
                "rooms" => read.is_single_room = value == SINGLE_ROOM,
                _ => {}
            }
        }
        read
    }

    /// Those in the query of a namespace, as revision 4 has it: `/chat?token=…`.
    #[must_use]
    pub fn of_query(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut read = Self::default();
        for (name, value) in pairs {
            match &*name {
                "token" => read.token = Some(value),
                "cursor" => read.cursor = Some(value),
                "rooms" => read.is_single_room = value == SINGLE_ROOM,
                _ => {}
            }
        }
        read
    }

    /// Where the client stands by its `pid` and offset.
    #[must_use]
    pub fn recovery(&self) -> Offset {
        let Some(pid) = &self.pid else {
            return Offset::New;
        };
        let offset = self.offset.as_deref().unwrap_or(OFFSET_LOST);
        match cursor::decode(offset) {
            Ok(positions) if pid.len() <= PID_MAX_BYTES && positions.len() <= OFFSET_ROOMS_MAX => {
                Offset::At(positions)
            }
            _ => Offset::Lost,
        }
    }
}

type Fields = Vec<(String, String)>;

fn json_fields(json: &str) -> Option<Fields> {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
    let strings = fields.into_iter().filter_map(|(name, value)| {
        let value = serde_json::from_str::<String>(value.get()).ok()?;
        Some((name.into_owned(), value))
    });
    Some(strings.collect())
}

fn packed_fields(bytes: &[u8]) -> Option<Fields> {
    let mut reader = Reader::new(bytes);
    let Ok(Head::Map(length)) = reader.head() else {
        return None;
    };
    let mut fields = Vec::new();
    for _ in 0..length {
        let name = reader.key().ok()?;
        let value = Value::packed(reader.value().ok()?);
        if let Some(value) = value.text() {
            fields.push((name.into(), value.into_owned()));
        }
    }
    Some(fields)
}

#[cfg(test)]
mod tests;
