//! What clients send → packets.
//!
//! Which of the two ways of writing a client uses shows in its first packet: JSON comes as text,
//! MessagePack as bytes. Revision 4 writes JSON alone. Of JSON a packet is
//! `<type>[<attachments>-][<namespace>,][<id>][<data>]`, and its attachments are the messages of
//! bytes that follow; they are put in where its placeholders are.
//!
//! It is strict: what breaks a rule of the protocol is an error, and with it the connection ends.

use std::borrow::Cow;

use super::packed;
use super::packet::{ID_MAX, Kind, NAMESPACE_MAX_BYTES, Packet, RESERVED_EVENTS};
use super::value::{Value, is_json};
use super::{ATTACHMENTS_MAX, MAIN};
use crate::protocol::data::attached;
use crate::protocol::engineio::Revision;
use crate::protocol::native::Codec;

/// What is no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Empty, or of no type that there is.
    #[error("no such type of packet")]
    Kind,
    /// No number of attachments, or 0.
    #[error("not a number of attachments")]
    Attachments,
    /// More attachments than [`ATTACHMENTS_MAX`].
    #[error("more than {ATTACHMENTS_MAX} attachments")]
    TooManyAttachments,
    /// A namespace is too long.
    #[error("a namespace is longer than {NAMESPACE_MAX_BYTES} bytes")]
    Namespace,
    /// An id is missing, too large, or where none belongs.
    #[error("an id is missing, too large or not wanted")]
    Id,
    /// The data are not those of such a packet.
    #[error("not the data of such a packet")]
    Data,
    /// An event has a name that may not be.
    #[error("a reserved name of an event")]
    Reserved,
    /// Text where the attachments of a packet are to come, or in MessagePack.
    #[error("text where bytes should come")]
    Text,
    /// Bytes that belong to no packet.
    #[error("bytes that no packet has announced")]
    Bytes,
    /// A packet and its attachments are too long.
    #[error("a packet with its attachments is too long")]
    TooLarge,
    /// Placeholders and attachments do not belong together.
    #[error("placeholders and attachments do not fit: {0}")]
    Placeholder(String),
    /// Not MessagePack that can be carried.
    #[error("{0}")]
    Malformed(#[from] crate::protocol::msgpack::read::Malformed),
}

/// Reads what one client sends.
#[derive(Debug)]
pub struct Decoder {
    revision: Revision,
    codec: Option<Codec>,
    packet_bytes: usize,
    pending: Option<Box<Pending>>,
}

/// A packet whose attachments are still to come.
#[derive(Debug)]
struct Pending {
    kind: Kind,
    nsp: Box<str>,
    id: Option<u64>,
    json: Box<str>,
    expected: usize,
    attachments: Vec<Box<[u8]>>,
    /// Of all of it.
    bytes: usize,
}

impl Decoder {
    /// For a client of this revision. A packet has at most `packet_bytes`, with its attachments.
    #[must_use]
    pub const fn new(revision: Revision, packet_bytes: usize) -> Self {
        Self {
            revision,
            codec: match revision {
                Revision::V3 => Some(Codec::Json),
                Revision::V4 => None,
            },
            packet_bytes,
            pending: None,
        }
    }

    /// How the client writes; none before its first packet.
    #[must_use]
    pub const fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// Whether attachments are still to come.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// A message of text.
    pub fn text<'a>(&mut self, text: &'a str) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.pending.is_some() || *self.codec.get_or_insert(Codec::Json) != Codec::Json {
            return Err(DecodeError::Text);
        }
        if text.len() > self.packet_bytes {
            return Err(DecodeError::TooLarge);
        }
        let head = Head::read(text)?;
        if head.attachments == 0 {
            return head.packet(self.revision).map(Some);
        }
        check_args(head.kind, &Value::json(head.data))?;
        self.pending = Some(Box::new(Pending {
            kind: head.kind,
            nsp: head.nsp.into(),
            id: head.id,
            json: head.data.into(),
            expected: head.attachments,
            attachments: Vec::new(),
            bytes: text.len(),
        }));
        Ok(None)
    }

    /// A message of bytes.
    pub fn bytes<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Packet<'a>>, DecodeError> {
        if *self.codec.get_or_insert(Codec::MessagePack) == Codec::MessagePack {
            if bytes.len() > self.packet_bytes {
                return Err(DecodeError::TooLarge);
            }
            return packed::decode(bytes).map(Some);
        }
        let pending = self.pending.as_mut().ok_or(DecodeError::Bytes)?;
        pending.bytes += bytes.len();
        if pending.bytes > self.packet_bytes {
            return Err(DecodeError::TooLarge);
        }
        pending.attachments.push(bytes.into());
        if pending.attachments.len() < pending.expected {
            return Ok(None);
        }
        let whole = self.pending.take().ok_or(DecodeError::Bytes)?;
        (*whole).packet().map(Some)
    }
}

impl Pending {
    fn packet(self) -> Result<Packet<'static>, DecodeError> {
        let args = attached::pack(&self.json, &self.attachments)
            .map_err(|error| DecodeError::Placeholder(error.to_string()))?;
        let args = Value::Packed(Cow::Owned(args));
        // A name may not be made of bytes either.
        check_args(self.kind, &args)?;
        with_args(self.kind, Cow::Owned(self.nsp.into()), self.id, args)
    }
}

/// A packet of JSON, taken apart.
struct Head<'a> {
    kind: Kind,
    attachments: usize,
    nsp: &'a str,
    id: Option<u64>,
    data: &'a str,
}

impl<'a> Head<'a> {
    fn read(text: &'a str) -> Result<Self, DecodeError> {
        let (digit, mut rest) = text.split_at_checked(1).ok_or(DecodeError::Kind)?;
        let kind = number(digit).and_then(Kind::of).ok_or(DecodeError::Kind)?;
        let mut attachments = 0;
        if kind.is_binary() {
            let (count, after) = rest.split_once('-').ok_or(DecodeError::Attachments)?;
            let count = number(count)
                .filter(|count| *count > 0)
                .ok_or(DecodeError::Attachments)?;
            attachments = usize::try_from(count).map_err(|_| DecodeError::TooManyAttachments)?;
            if attachments > ATTACHMENTS_MAX {
                return Err(DecodeError::TooManyAttachments);
            }
            rest = after;
        }
        let mut nsp = MAIN;
        if rest.starts_with('/') {
            (nsp, rest) = rest.split_once(',').unwrap_or((rest, ""));
            if nsp.len() > NAMESPACE_MAX_BYTES {
                return Err(DecodeError::Namespace);
            }
        }
        let digits = rest.find(|it: char| !it.is_ascii_digit());
        let (digits, data) = rest.split_at(digits.unwrap_or(rest.len()));
        let id = match digits {
            "" => None,
            digits => Some(number(digits).ok_or(DecodeError::Id)?),
        };
        Ok(Self {
            kind,
            attachments,
            nsp,
            id,
            data,
        })
    }

    fn packet(self, revision: Revision) -> Result<Packet<'a>, DecodeError> {
        let nsp = Cow::Borrowed(self.nsp);
        let data = Value::json(self.data);
        match self.kind {
            Kind::Connect | Kind::Disconnect | Kind::ConnectError if self.id.is_some() => {
                Err(DecodeError::Id)
            }
            Kind::Connect if self.data.is_empty() => Ok(Packet::Connect { nsp, data: None }),
            Kind::Connect if data.is_object() && is_json(self.data) => Ok(Packet::Connect {
                nsp,
                data: Some(data),
            }),
            Kind::Disconnect if self.data.is_empty() => Ok(Packet::Disconnect { nsp }),
            Kind::ConnectError
                if is_json(self.data)
                    && (data.is_object() || data.is_text() || revision == Revision::V3) =>
            {
                Ok(Packet::ConnectError { nsp, data })
            }
            Kind::Connect | Kind::Disconnect | Kind::ConnectError => Err(DecodeError::Data),
            kind => {
                check_args(kind, &data)?;
                with_args(kind, nsp, self.id, data)
            }
        }
    }
}

/// Digits alone, and no number beyond [`ID_MAX`].
fn number(digits: &str) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let number = is_plain.then(|| digits.parse().ok())??;
    (number <= ID_MAX).then_some(number)
}

/// Whether it is a list as an event or an acknowledgement has it.
pub(super) fn check_args(kind: Kind, args: &Value<'_>) -> Result<(), DecodeError> {
    let items = args.items().ok_or(DecodeError::Data)?;
    if !matches!(kind, Kind::Event | Kind::BinaryEvent) {
        return Ok(());
    }
    let name = items.first().ok_or(DecodeError::Data)?;
    if name.is_number() {
        return Ok(());
    }
    match name.text() {
        Some(name) if RESERVED_EVENTS.contains(&&*name) => Err(DecodeError::Reserved),
        Some(_) => Ok(()),
        None => Err(DecodeError::Data),
    }
}

/// An event or an acknowledgement.
pub(super) fn with_args<'a>(
    kind: Kind,
    nsp: Cow<'a, str>,
    id: Option<u64>,
    args: Value<'a>,
) -> Result<Packet<'a>, DecodeError> {
    if matches!(kind, Kind::Event | Kind::BinaryEvent) {
        return Ok(Packet::Event { nsp, id, args });
    }
    let id = id.ok_or(DecodeError::Id)?;
    Ok(Packet::Ack { nsp, id, args })
}

#[cfg(test)]
mod tests;
