//! Packets, and the form of each by itself: a message of a WebSocket, or a part of a payload.
//!
//! A packet of text begins with its type as a digit. Bytes are always a message's: revision 4
//! writes them as they are, revision 3 puts the byte 4 before them. Where there is only text they
//! are base64 after `b`, which revision 3 follows up with the digit 4.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as PADDED};
use base64::engine::{DecodePaddingMode, GeneralPurpose as Base64};

use super::Revision;

/// What a probe's ping and pong say.
pub const PROBE: &str = "probe";

/// The type of a message, as revision 3 puts it before bytes.
const MESSAGE: u8 = 4;

/// With padding or without: clients write both.
const LENIENT: Base64 = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The handshake: JSON, see [`open`](super::open).
    Open(Cow<'a, str>),
    /// The transport, or with it the session, can be closed.
    Close,
    /// Is anybody there?
    Ping(Cow<'a, str>),
    /// The answer to a ping, with what it said.
    Pong(Cow<'a, str>),
    /// A message of text.
    Text(Cow<'a, str>),
    /// A message of bytes.
    Binary(Cow<'a, [u8]>),
    /// The change to this transport is complete.
    Upgrade,
    /// Nothing: ends a poll.
    Noop,
}

/// What is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Empty, or of no type that there is.
    #[error("no packet begins like this")]
    Type,
    /// A packet that says nothing has something after its type.
    #[error("a packet without data has data")]
    Data,
    /// Bytes that are no message's.
    #[error("bytes are of another packet than a message")]
    Bytes,
    /// Not base64.
    #[error("not base64")]
    Base64,
    /// Text that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A length is missing, or not the packet's.
    #[error("a packet's length is not what it says")]
    Length,
    /// More packets than one payload may have.
    #[error("too many packets in one payload")]
    TooMany,
}

impl<'a> Packet<'a> {
    /// Reads a packet of text, base64 included.
    pub fn from_text(revision: Revision, text: &'a str) -> Result<Self, PacketError> {
        let mut chars = text.chars();
        let kind = chars.next().ok_or(PacketError::Type)?;
        let data = chars.as_str();
        let bare = |packet| match data {
            "" => Ok(packet),
            _ => Err(PacketError::Data),
        };
        match kind {
            '0' => Ok(Self::Open(data.into())),
            '1' => bare(Self::Close),
            '2' => Ok(Self::Ping(data.into())),
            '3' => Ok(Self::Pong(data.into())),
            '4' => Ok(Self::Text(data.into())),
            '5' => bare(Self::Upgrade),
            '6' => bare(Self::Noop),
            'b' => {
                let base64 = match revision {
                    Revision::V3 => data.strip_prefix('4').ok_or(PacketError::Bytes)?,
                    Revision::V4 => data,
                };
                let bytes = LENIENT.decode(base64).map_err(|_| PacketError::Base64)?;
                Ok(Self::Binary(bytes.into()))
            }
            _ => Err(PacketError::Type),
        }
    }

    /// Reads a packet of bytes.
    pub fn from_bytes(revision: Revision, bytes: &'a [u8]) -> Result<Self, PacketError> {
        let bytes = match (revision, bytes) {
            (Revision::V4, bytes) | (Revision::V3, [MESSAGE, bytes @ ..]) => bytes,
            (Revision::V3, [0..7, ..]) => return Err(PacketError::Bytes),
            (Revision::V3, _) => return Err(PacketError::Type),
        };
        Ok(Self::Binary(bytes.into()))
    }

    /// Whether it is bytes, where the transport has a type for them.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// Appends it as text, bytes as base64.
    pub fn append_text(&self, revision: Revision, out: &mut Vec<u8>) {
        let (kind, data) = match self {
            Self::Open(data) => (b'0', &**data),
            Self::Close => (b'1', ""),
            Self::Ping(data) => (b'2', &**data),
            Self::Pong(data) => (b'3', &**data),
            Self::Text(data) => (b'4', &**data),
            Self::Upgrade => (b'5', ""),
            Self::Noop => (b'6', ""),
            Self::Binary(bytes) => return append_base64(revision, bytes, out),
        };
        out.push(kind);
        out.extend_from_slice(data.as_bytes());
    }

    /// Appends it as it is sent by itself: bytes as bytes, anything else as text.
    pub fn append(&self, revision: Revision, out: &mut Vec<u8>) {
        match self {
            Self::Binary(bytes) => append_bytes(revision, bytes, out),
            _ => self.append_text(revision, out),
        }
    }

    /// About how much memory its data take, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Open(data) | Self::Ping(data) | Self::Pong(data) | Self::Text(data) => data.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Close | Self::Upgrade | Self::Noop => 0,
        }
    }

    /// The same, not borrowed from what it was read from.
    #[must_use]
    pub fn into_owned(self) -> Packet<'static> {
        let text = |it: Cow<'_, str>| Cow::Owned(it.into_owned());
        match self {
            Self::Open(data) => Packet::Open(text(data)),
            Self::Close => Packet::Close,
            Self::Ping(data) => Packet::Ping(text(data)),
            Self::Pong(data) => Packet::Pong(text(data)),
            Self::Text(data) => Packet::Text(text(data)),
            Self::Binary(bytes) => Packet::Binary(Cow::Owned(bytes.into_owned())),
            Self::Upgrade => Packet::Upgrade,
            Self::Noop => Packet::Noop,
        }
    }
}

/// Appends a message of bytes as text.
pub fn append_base64(revision: Revision, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(match revision {
        Revision::V3 => b"b4",
        Revision::V4 => b"b",
    });
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // There is room for all of it.
    let written = PADDED.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Appends a message of bytes as bytes.
pub fn append_bytes(revision: Revision, bytes: &[u8], out: &mut Vec<u8>) {
    if revision == Revision::V3 {
        out.push(MESSAGE);
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::engineio::Revision::{V3, V4};

    fn text(revision: Revision, packet: &Packet<'_>) -> String {
        let mut out = Vec::new();
        packet.append_text(revision, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_type_has_its_digit() {
        for (packet, expected) in [
            (Packet::Open("{}".into()), "0{}"),
            (Packet::Close, "1"),
            (Packet::Ping("".into()), "2"),
            (Packet::Ping(PROBE.into()), "2probe"),
            (Packet::Pong(PROBE.into()), "3probe"),
            (Packet::Text("hello".into()), "4hello"),
            (Packet::Text("€".into()), "4€"),
            (Packet::Upgrade, "5"),
            (Packet::Noop, "6"),
        ] {
            for revision in [V3, V4] {
                assert_eq!(text(revision, &packet), expected);
                assert_eq!(
                    Packet::from_text(revision, expected),
                    Ok(packet.clone()),
                    "{expected}"
                );
            }
        }
    }

    /// Revision 4: "Binary payloads MUST be base64-encoded and prefixed with a `b` character"; as
    /// they are on a WebSocket. Revision 3: the type stands before them.
    #[test]
    fn bytes_have_their_forms() {
        let packet = Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4]));
        for (revision, base64, raw) in [
            (V4, "bAQIDBA==", &[1, 2, 3, 4][..]),
            (V3, "b4AQIDBA==", &[4, 1, 2, 3, 4]),
        ] {
            assert_eq!(text(revision, &packet), base64);
            assert_eq!(Packet::from_text(revision, base64), Ok(packet.clone()));
            let bare = base64.trim_end_matches('=');
            assert_eq!(Packet::from_text(revision, bare), Ok(packet.clone()));
            let mut out = Vec::new();
            packet.append(revision, &mut out);
            assert_eq!(out, raw);
            assert_eq!(Packet::from_bytes(revision, raw), Ok(packet.clone()));
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for revision in [V3, V4] {
            for (text, error) in [
                ("", PacketError::Type),
                ("abc", PacketError::Type),
                ("7", PacketError::Type),
                ("-", PacketError::Type),
                ("\u{661}", PacketError::Type),
                ("1x", PacketError::Data),
                ("5probe", PacketError::Data),
                ("6 ", PacketError::Data),
            ] {
                assert_eq!(Packet::from_text(revision, text), Err(error), "{text:?}");
            }
        }
        assert_eq!(Packet::from_text(V4, "bA"), Err(PacketError::Base64));
        assert_eq!(Packet::from_text(V4, "b-_"), Err(PacketError::Base64));
        assert_eq!(Packet::from_text(V4, "bAA=A"), Err(PacketError::Base64));
        assert_eq!(Packet::from_text(V3, "bAQ=="), Err(PacketError::Bytes));
        assert_eq!(Packet::from_text(V3, "b2AQ=="), Err(PacketError::Bytes));
        assert_eq!(Packet::from_bytes(V3, &[]), Err(PacketError::Type));
        assert_eq!(Packet::from_bytes(V3, &[2]), Err(PacketError::Bytes));
        assert_eq!(Packet::from_bytes(V3, &[7, 1]), Err(PacketError::Type));
        assert_eq!(Packet::from_bytes(V3, b"4x"), Err(PacketError::Type));
        assert_eq!(
            Packet::from_bytes(V4, &[]),
            Ok(Packet::Binary(Cow::Borrowed(&[])))
        );
    }
}
