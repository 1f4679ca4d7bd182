//! Several packets as the body of one polling request or of its answer.
//!
//! Revision 4 puts U+001E between packets ([`Form::Records`]). Revision 3 writes each packet's
//! length before it, in UTF-16 code units and with bytes as base64 ([`Form::Counted`]), or in bytes,
//! with bytes as they are ([`Form::Framed`]).

use bytes::Bytes;

use super::Revision;
use super::counted::Counted;
use super::framed::Framed;
use super::packet::{Packet, PacketError, append_base64, append_bytes};

/// What stands between packets in revision 4.
const SEPARATOR: char = '\u{1e}';

/// One payload has at most this many packets. Clients gather what fits into `maxPayload`; with
/// messages of 60 bytes that is what fits into 1 MB.
pub const PACKETS_MAX: usize = 16_384;

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Of revision 4: text with separators.
    Records,
    /// Of revision 3: text with lengths.
    Counted,
    /// Of revision 3: bytes with lengths.
    Framed,
}

impl Form {
    /// The form of an answer. Of revision 3, text in which characters and UTF-16 code units are not
    /// the same goes as bytes if the client takes them: there are clients that count characters,
    /// and then take the wrong part of it.
    #[must_use]
    pub const fn of(
        revision: Revision,
        client_takes_bytes: bool,
        has_bytes: bool,
        has_pairs: bool,
    ) -> Self {
        match revision {
            Revision::V4 => Self::Records,
            Revision::V3 if client_takes_bytes && (has_bytes || has_pairs) => Self::Framed,
            Revision::V3 => Self::Counted,
        }
    }

    /// The content type of an answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Records | Self::Counted => "text/plain; charset=UTF-8",
            Self::Framed => "application/octet-stream",
        }
    }

    const fn revision(self) -> Revision {
        match self {
            Self::Records => Revision::V4,
            Self::Counted | Self::Framed => Revision::V3,
        }
    }
}

/// The body of a polling request, as its content type has it.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Text.
    Text(&'a str),
    /// `application/octet-stream`, of revision 3 alone.
    Bytes(&'a [u8]),
}

/// The packets of a body, one after the other. After the first error there are no more.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: Rest<'a>,
    count: usize,
}

#[derive(Clone, Debug)]
enum Rest<'a> {
    Records(std::str::Split<'a, char>),
    Counted(Counted<'a>),
    Framed(Framed<'a>),
    Nothing,
}

impl<'a> Packets<'a> {
    /// Those of a body.
    #[must_use]
    pub fn of(revision: Revision, body: Body<'a>) -> Self {
        let rest = match (revision, body) {
            (Revision::V4, Body::Text(text)) => Rest::Records(text.split(SEPARATOR)),
            (Revision::V3, Body::Text(text)) => Rest::Counted(Counted::new(text)),
            (_, Body::Bytes(bytes)) => Rest::Framed(Framed::new(bytes)),
        };
        Self { rest, count: 0 }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let packet = match &mut self.rest {
            Rest::Records(texts) => texts
                .next()
                .map(|text| Packet::from_text(Revision::V4, text)),
            Rest::Counted(texts) => texts
                .next()
                .map(|text| Packet::from_text(Revision::V3, text?)),
            Rest::Framed(packets) => packets.next(),
            Rest::Nothing => None,
        };
        let packet = match packet? {
            Ok(_) if self.count == PACKETS_MAX => Err(PacketError::TooMany),
            packet => packet,
        };
        self.count += 1;
        if packet.is_err() {
            self.rest = Rest::Nothing;
        }
        Some(packet)
    }
}

/// An answer's payload being written.
#[derive(Debug)]
pub struct Payload {
    form: Form,
    out: Vec<u8>,
}

impl Payload {
    /// Begins with nothing.
    #[must_use]
    pub const fn new(form: Form) -> Self {
        Self {
            form,
            out: Vec::new(),
        }
    }

    /// Appends a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        if let Packet::Binary(bytes) = packet {
            return self.bytes(bytes);
        }
        let mut text = Vec::with_capacity(1 + packet.size_bytes());
        packet.append_text(self.form.revision(), &mut text);
        self.text(&[&text]);
    }

    /// Appends a packet of text that has its form already, its type included, in parts that are
    /// UTF-8.
    pub fn text(&mut self, parts: &[&[u8]]) {
        match self.form {
            Form::Records => self.separator(),
            Form::Counted => {
                let units: usize = parts.iter().map(|part| utf16_units(part)).sum();
                self.out.extend_from_slice(format!("{units}:").as_bytes());
            }
            Form::Framed => self.head(0, parts.iter().map(|part| part.len()).sum()),
        }
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    /// Appends a message of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let revision = self.form.revision();
        match self.form {
            Form::Records => {
                self.separator();
                append_base64(revision, bytes, &mut self.out);
            }
            Form::Counted => {
                let chars = 2 + bytes.len().div_ceil(3) * 4;
                self.out.extend_from_slice(format!("{chars}:").as_bytes());
                append_base64(revision, bytes, &mut self.out);
            }
            Form::Framed => {
                self.head(1, 1 + bytes.len());
                append_bytes(revision, bytes, &mut self.out);
            }
        }
    }

    /// The whole of it.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        // Revision 3 has a sign for nothing.
        if self.form == Form::Counted && self.out.is_empty() {
            self.out.extend_from_slice(b"0:");
        }
        self.out.into()
    }

    fn separator(&mut self) {
        if !self.out.is_empty() {
            self.out.push(SEPARATOR as u8);
        }
    }

    /// What it is, its length digit by digit, and 255.
    fn head(&mut self, kind: u8, length: usize) {
        self.out.push(kind);
        let digits = length.to_string();
        self.out.extend(digits.bytes().map(|digit| digit - b'0'));
        self.out.push(u8::MAX);
    }
}

/// How many UTF-16 code units UTF-8 text has.
#[must_use]
pub fn utf16_units(text: &[u8]) -> usize {
    // One for each character, of which these are the first bytes, and one more for each beyond
    // U+FFFF, of which these are the first bytes.
    let begins = |byte: u8| usize::from(byte.cast_signed() >= -0x40);
    let is_pair = |byte: u8| usize::from(byte >= 0xf0);
    text.iter().map(|&it| begins(it) + is_pair(it)).sum()
}

/// Whether UTF-8 text has characters that are two UTF-16 code units.
#[must_use]
pub fn has_pairs(text: &[u8]) -> bool {
    text.iter().any(|&byte| byte >= 0xf0)
}

#[cfg(test)]
mod tests;
