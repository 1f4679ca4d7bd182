//! The way in which `socket.io-msgpack-parser` writes packets: each is one map in MessagePack,
//! `{type, nsp, data?, id?}`, with bytes where they belong.
//!
//! That library has values that MessagePack has not: of type 0, an extension of one byte is
//! `undefined`, one of eight is a time, and one with a length before it is bytes. They become what
//! JSON makes of them, and bytes.

use std::borrow::Cow;

use super::decode::{DecodeError, check_args, with_args};
use super::packet::{ID_MAX, Kind, NAMESPACE_MAX_BYTES, Packet};
use super::value::Value;
use crate::protocol::data::attached;
use crate::protocol::msgpack::read::{Head, Malformed, Reader};
use crate::protocol::msgpack::write::{Container, WriteError, append, binary, text};

/// A map's fields that count.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a [u8]>,
    nsp: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
}

/// Reads a packet.
pub fn decode(bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let fields = Fields::read(bytes)?;
    let kind = fields.kind.and_then(unsigned).and_then(Kind::of);
    let kind = kind.filter(|it| !it.is_binary()).ok_or(DecodeError::Kind)?;
    let nsp = match Reader::new(fields.nsp.unwrap_or_default()).head() {
        Ok(Head::Text(nsp)) if nsp.len() <= NAMESPACE_MAX_BYTES => {
            Cow::Borrowed(crate::protocol::msgpack::read::text(nsp)?)
        }
        _ => return Err(DecodeError::Namespace),
    };
    let id = fields.id.filter(|it| !is_nothing(it));
    let id = id.map(|it| {
        unsigned(it)
            .filter(|it| *it <= ID_MAX)
            .ok_or(DecodeError::Id)
    });
    let id = id.transpose()?;
    let data = fields.data.filter(|it| !is_nothing(it));
    let data = data.map(normal).transpose()?;
    if let Some(data) = &data {
        attached::check(data)?;
    }
    let data = data.map(Value::Packed);
    match (kind, data) {
        (Kind::Connect | Kind::Disconnect | Kind::ConnectError, _) if id.is_some() => {
            Err(DecodeError::Id)
        }
        (Kind::Connect, data) if data.as_ref().is_none_or(Value::is_object) => {
            Ok(Packet::Connect { nsp, data })
        }
        (Kind::Disconnect, None) => Ok(Packet::Disconnect { nsp }),
        (Kind::ConnectError, Some(data)) if data.is_object() || data.is_text() => {
            Ok(Packet::ConnectError { nsp, data })
        }
        (Kind::Event | Kind::Ack, Some(args)) => {
            check_args(kind, &args)?;
            with_args(kind, nsp, id, args)
        }
        _ => Err(DecodeError::Data),
    }
}

impl<'a> Fields<'a> {
    /// Others than these are passed over: clients send `options`, which mean something to their
    /// library alone.
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let Head::Map(length) = reader.head()? else {
            return Err(DecodeError::Kind);
        };
        let mut fields = Self::default();
        for _ in 0..length {
            let place = match reader.key()? {
                "type" => &mut fields.kind,
                "nsp" => &mut fields.nsp,
                "data" => &mut fields.data,
                "id" => &mut fields.id,
                _ => {
                    reader.value()?;
                    continue;
                }
            };
            if place.replace(reader.value()?).is_some() {
                return Err(Malformed::RepeatedKey.into());
            }
        }
        reader.end()?;
        Ok(fields)
    }
}

fn unsigned(value: &[u8]) -> Option<u64> {
    match Reader::new(value).head() {
        Ok(Head::Unsigned(number)) => Some(number),
        _ => None,
    }
}

/// Null or `undefined`.
fn is_nothing(value: &[u8]) -> bool {
    matches!(value, [0xc0] | [0xd4, 0, _])
}

/// A value without the library's own types.
fn normal(value: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    let mut reader = Reader::new(value);
    // Some beginning of it, which needs no change, is copied only if something does.
    let mut out: Option<Vec<u8>> = None;
    while !reader.rest().is_empty() {
        let before = reader.rest();
        let is_extension = reader.head()? == Head::Extension;
        let raw = &before[..before.len() - reader.rest().len()];
        if is_extension {
            let out = out.get_or_insert_with(|| value[..value.len() - before.len()].to_vec());
            replacement(raw, out)?;
        } else if let Some(out) = &mut out {
            out.extend_from_slice(raw);
        }
    }
    Ok(out.map_or(Cow::Borrowed(value), Cow::Owned))
}

/// What stands for an extension.
fn replacement(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    match raw {
        // `undefined`
        [0xd4, 0, _] => out.push(0xc0),
        // A time, in milliseconds.
        [0xd7, 0, ms @ ..] => {
            let ms = <[u8; 8]>::try_from(ms).map_err(|_| Malformed::Truncated)?;
            let time = jiff::Timestamp::from_millisecond(i64::from_be_bytes(ms))
                .map_err(|_| Malformed::Extension)?;
            let shown = time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
            text(out, &shown).map_err(|_| Malformed::Extension)?;
        }
        // Bytes, with a length of 1, 2 or 4 bytes before the type.
        [0xc7, _, 0, bytes @ ..]
        | [0xc8, _, _, 0, bytes @ ..]
        | [0xc9, _, _, _, _, 0, bytes @ ..] => {
            binary(out, bytes).map_err(|_| Malformed::Extension)?;
        }
        _ => return Err(Malformed::Extension),
    }
    Ok(())
}

/// Appends all of a packet but its data, for which there is a key at the end.
pub(super) fn open(
    out: &mut Vec<u8>,
    kind: Kind,
    nsp: &str,
    id: Option<u64>,
    has_data: bool,
) -> Result<(), WriteError> {
    let fields = 2 + usize::from(id.is_some()) + usize::from(has_data);
    Container::Map.head(out, fields)?;
    text(out, "type")?;
    append(out, &kind.number())?;
    text(out, "nsp")?;
    text(out, nsp)?;
    if let Some(id) = id {
        text(out, "id")?;
        append(out, &id)?;
    }
    if has_data {
        text(out, "data")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
