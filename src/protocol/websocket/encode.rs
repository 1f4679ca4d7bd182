//! Messages → frames (RFC 6455 §5 and §6.1).
//!
//! A server's frames are not masked, so the same bytes serve everybody: each function makes one
//! complete frame in one shareable [`Bytes`].

use bytes::Bytes;

use super::close_frame;
use super::header::{self, CONTROL_MAX_BYTES, Opcode, SERVER_HEADER_MAX_BYTES};
use crate::protocol::close::Disconnect;

/// A message of text; `payload` is UTF-8, which is not looked at again.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    frame(Opcode::Text, payload)
}

/// A message of bytes.
#[must_use]
pub fn binary(payload: &[u8]) -> Bytes {
    frame(Opcode::Binary, payload)
}

/// Is anybody there? At most 125 bytes; what is over is cut off.
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    frame(Opcode::Ping, control(payload))
}

/// The answer to a ping, with the ping's bytes; at most 125, what is over is cut off.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, control(payload))
}

/// The end, with a code and a reason; of the reason, as much as fits.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(close_frame::fitting(reason).as_bytes());
    frame(Opcode::Close, &payload)
}

/// The end, for one of the hub's own reasons.
#[must_use]
pub fn disconnect(disconnect: Disconnect) -> Bytes {
    close(disconnect.code(), disconnect.reason())
}

/// The answer to a close frame without a code.
#[must_use]
pub fn close_without_code() -> Bytes {
    frame(Opcode::Close, &[])
}

/// A message of text that `write` appends to the buffer it is given, so that nothing is copied
/// afterwards. `expected_bytes` is a guess of its length.
pub fn text_with<E>(
    expected_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Bytes, E> {
    frame_with(Opcode::Text, expected_bytes, write)
}

/// A message of bytes, as [`text_with`].
pub fn binary_with<E>(
    expected_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Bytes, E> {
    frame_with(Opcode::Binary, expected_bytes, write)
}

/// The header of a message of text whose payload, of so many bytes, is written after it.
#[must_use]
pub fn text_header(payload_bytes: usize) -> Header {
    Header::of(Opcode::Text, payload_bytes)
}

/// The header of a message of bytes, as [`text_header`].
#[must_use]
pub fn binary_header(payload_bytes: usize) -> Header {
    Header::of(Opcode::Binary, payload_bytes)
}

/// A frame's header by itself.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    space: [u8; SERVER_HEADER_MAX_BYTES],
    start: usize,
}

impl Header {
    fn of(opcode: Opcode, payload_bytes: usize) -> Self {
        let mut space = [0; SERVER_HEADER_MAX_BYTES];
        let start = header::write_before(&mut space, opcode as u8, payload_bytes);
        Self { space, start }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.space[self.start..]
    }
}

fn control(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(CONTROL_MAX_BYTES)]
}

fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let header = Header::of(opcode, payload.len());
    [header.as_bytes(), payload].concat().into()
}

fn frame_with<E>(
    opcode: Opcode,
    expected_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Bytes, E> {
    let mut bytes = Vec::with_capacity(SERVER_HEADER_MAX_BYTES + expected_bytes);
    bytes.resize(SERVER_HEADER_MAX_BYTES, 0);
    write(&mut bytes)?;
    let payload_bytes = bytes.len().saturating_sub(SERVER_HEADER_MAX_BYTES);
    // The writer was given a `Vec`; one that took from its beginning gets no header.
    let start = bytes
        .first_chunk_mut::<SERVER_HEADER_MAX_BYTES>()
        .map_or(0, |space| {
            header::write_before(space, opcode as u8, payload_bytes)
        });
    // A small answer may wait with many others: the room that it did not need is given back.
    if bytes.len() < bytes.capacity() / 2 {
        return Ok(Bytes::copy_from_slice(&bytes[start..]));
    }
    Ok(Bytes::from(bytes).slice(start..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn frames_are_those_of_the_rfc() {
        // RFC 6455 §5.7.
        assert_eq!(text(b"Hello"), &b"\x81\x05Hello"[..]);
        assert_eq!(ping(b"Hello"), &b"\x89\x05Hello"[..]);
        assert_eq!(pong(b""), &b"\x8a\x00"[..]);
        assert_eq!(binary(&[7; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(
            binary(&vec![7; 65_536])[..10],
            [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
        );
        assert_eq!(close(1000, "bye"), &b"\x88\x05\x03\xe8bye"[..]);
        assert_eq!(close_without_code(), &b"\x88\x00"[..]);
        assert_eq!(disconnect(Disconnect::Drain), &b"\x88\x07\x0f\xa0drain"[..]);
    }

    #[test]
    fn control_frames_stay_within_their_limit() {
        assert_eq!(ping(&[0; 200]).len(), 2 + 125);
        let long = close(1000, &"ü".repeat(100));
        assert_eq!(long.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }

    #[test]
    fn a_small_answer_keeps_no_large_room() {
        let written = text_with::<Infallible>(10_000, |bytes| {
            bytes.extend_from_slice(b"{}");
            Ok(())
        });
        // Whoever has all of it can take it back, with the room that it has.
        let room = written.map(|frame| Vec::from(frame).capacity());
        assert_eq!(room, Ok(4));
    }

    #[test]
    fn written_in_place_it_is_the_same() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; len];
            let written = text_with::<Infallible>(64, |bytes| {
                bytes.extend_from_slice(&payload);
                Ok(())
            });
            assert_eq!(written, Ok(text(&payload)), "{len}");
        }
    }
}
