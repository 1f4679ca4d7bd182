//! Packets → what is sent.
//!
//! A value goes as it came where it can: JSON in JSON, MessagePack in MessagePack. Bytes of a value
//! in MessagePack become attachments of JSON.

use super::MAIN;
use super::message::Message;
use super::packed;
use super::packet::{Kind, Packet};
use super::value::{Value, ValueError};
use crate::protocol::data::attached;
use crate::protocol::engineio::Revision;
use crate::protocol::msgpack::WriteError;
use crate::protocol::native::Codec;

/// Engine.IO's type of a message.
const MESSAGE: u8 = b'4';

/// A packet that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its value has no such form.
    #[error("{0}")]
    Value(#[from] ValueError),
    /// It is no MessagePack that can be carried.
    #[error("{0}")]
    Malformed(#[from] crate::protocol::msgpack::read::Malformed),
    /// It is too long.
    #[error("{0}")]
    Write(#[from] WriteError),
}

/// Writes a packet.
pub fn encode(
    codec: Codec,
    revision: Revision,
    packet: &Packet<'_>,
) -> Result<Message, EncodeError> {
    let (id, value) = match packet {
        Packet::Connect { data, .. } => (None, data.as_ref()),
        Packet::Disconnect { .. } => (None, None),
        Packet::Event { id, args, .. } => (*id, Some(args)),
        Packet::Ack { id, args, .. } => (Some(*id), Some(args)),
        Packet::ConnectError { data, .. } => (None, Some(data)),
    };
    match codec {
        Codec::MessagePack => {
            let mut out = Vec::new();
            packed::open(&mut out, packet.kind(), packet.nsp(), id, value.is_some())?;
            if let Some(value) = value {
                out.extend_from_slice(&value.to_packed()?);
            }
            Ok(Message::bytes(out, false))
        }
        Codec::Json => {
            let mut json = Vec::new();
            let attachments = match value {
                None => Vec::new(),
                Some(Value::Json(text)) => {
                    json.extend_from_slice(text.as_bytes());
                    Vec::new()
                }
                Some(Value::Packed(bytes)) if can_have_attachments(packet.kind()) => {
                    attached::unpack(bytes, &mut json)?
                }
                Some(Value::Packed(bytes)) => {
                    attached::unpack_plain(bytes, &mut json)?;
                    Vec::new()
                }
            };
            let mut text = head(packet.kind(), attachments.len(), packet.nsp(), id);
            text.extend_from_slice(&json);
            Ok(Message::text(revision, text, &attachments, false))
        }
    }
}

/// There are types for events and acknowledgements with attachments, and for nothing else.
const fn can_have_attachments(kind: Kind) -> bool {
    matches!(kind, Kind::Event | Kind::Ack)
}

/// What stands before the data in JSON, Engine.IO's type included.
pub(super) fn head(kind: Kind, attachments: usize, nsp: &str, id: Option<u64>) -> Vec<u8> {
    let mut out = vec![MESSAGE];
    let kind = match kind {
        Kind::Event if attachments > 0 => Kind::BinaryEvent,
        Kind::Ack if attachments > 0 => Kind::BinaryAck,
        kind => kind,
    };
    out.push(b'0' + kind.number());
    if kind.is_binary() {
        out.extend_from_slice(format!("{attachments}-").as_bytes());
    }
    if nsp != MAIN {
        out.extend_from_slice(nsp.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(id.to_string().as_bytes());
    }
    out
}

#[cfg(test)]
mod tests;
