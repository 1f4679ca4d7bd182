//! Revision 3's payload of bytes: for each packet 0 if it is text or 1 if it is bytes, the digits of
//! its length as numbers, 255, and the packet. The length is in bytes.

use super::Revision;
use super::counted::length;
use super::packet::{Packet, PacketError};

/// The packets of a payload.
#[derive(Clone, Debug)]
pub(super) struct Framed<'a> {
    rest: &'a [u8],
}

impl<'a> Framed<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self) -> Result<Packet<'a>, PacketError> {
        let (kind, rest) = self.rest.split_first().ok_or(PacketError::Length)?;
        let end = rest.iter().position(|&byte| byte == u8::MAX);
        let (digits, rest) = rest.split_at(end.ok_or(PacketError::Length)?);
        let length = length(digits.iter().copied())?;
        // With the 255.
        let rest = &rest[1..];
        let (packet, rest) = rest.split_at_checked(length).ok_or(PacketError::Length)?;
        self.rest = rest;
        match kind {
            0 => {
                let text = std::str::from_utf8(packet).map_err(|_| PacketError::Utf8)?;
                Packet::from_text(Revision::V3, text)
            }
            1 => Packet::from_bytes(Revision::V3, packet),
            _ => Err(PacketError::Type),
        }
    }
}

impl<'a> Iterator for Framed<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.take())
    }
}
