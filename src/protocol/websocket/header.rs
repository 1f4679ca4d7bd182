//! The head of a frame, RFC 6455 §5.2.

use super::frame_error::FrameError;

/// A client's header is at most this long: two bytes, eight of length, four of mask.
pub(super) const CLIENT_HEADER_MAX_BYTES: usize = 14;

/// A server's header, which has no mask, is at most this long.
pub(super) const SERVER_HEADER_MAX_BYTES: usize = 10;

/// A control frame's payload is at most this long.
pub(super) const CONTROL_MAX_BYTES: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next part of a message.
    Continuation = 0x0,
    /// A message of text, or its first part.
    Text = 0x1,
    /// A message of bytes, or its first part.
    Binary = 0x2,
    /// The end.
    Close = 0x8,
    /// Is anybody there?
    Ping = 0x9,
    /// Yes.
    Pong = 0xa,
}

impl Opcode {
    /// Whether it may stand between the parts of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn parse(bits: u8) -> Result<Self, FrameError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => return Err(FrameError::ReservedOpcode(other)),
        })
    }
}

/// The head of a frame that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The payload's length, bytes.
    pub len: u64,
    /// What the payload is masked with.
    pub mask: [u8; 4],
}

impl Header {
    /// Reads a header off the front, with its own length in bytes; none while it is incomplete.
    /// What is wrong is told as soon as the byte that is wrong is there; so is that the payload
    /// would be more than there is `room` for, of `max_bytes` for the whole message.
    pub fn parse(
        bytes: &[u8],
        room: usize,
        max_bytes: usize,
    ) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        // The only place that judges reserved bits: an extension that is agreed on, such as
        // permessage-deflate with RSV1, is let through here.
        if first & RESERVED != 0 {
            return Err(FrameError::ReservedBits);
        }
        let fin = first & FIN != 0;
        let opcode = Opcode::parse(first & 0x0f)?;
        if opcode.is_control() && !fin {
            return Err(FrameError::FragmentedControl);
        }

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(FrameError::Unmasked);
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX_BYTES {
            return Err(FrameError::LongControl);
        }
        let (len, rest) = match short {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk::<2>() else {
                    return Ok(None);
                };
                let len = u64::from(u16::from_be_bytes(*len));
                if len < 126 {
                    return Err(FrameError::Length);
                }
                (len, rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk::<8>() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(*len);
                if u16::try_from(len).is_ok() || len >> 63 != 0 {
                    return Err(FrameError::Length);
                }
                (len, rest)
            }
            short => (u64::from(short), rest),
        };
        if !opcode.is_control() && usize::try_from(len).map_or(true, |len| len > room) {
            return Err(FrameError::TooBig { max_bytes });
        }

        let Some((&mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let header = Self {
            fin,
            opcode,
            len,
            mask,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// Writes the header of a server's complete, unmasked frame into the tail of `space` and returns
/// where it begins.
pub(super) fn write_before(
    space: &mut [u8; SERVER_HEADER_MAX_BYTES],
    opcode: Opcode,
    payload_bytes: usize,
) -> usize {
    let first = FIN | opcode as u8;
    if let Ok(len) = u8::try_from(payload_bytes)
        && len < 126
    {
        space[8] = first;
        space[9] = len;
        8
    } else if let Ok(len) = u16::try_from(payload_bytes) {
        space[6] = first;
        space[7] = 126;
        space[8..].copy_from_slice(&len.to_be_bytes());
        6
    } else {
        space[0] = first;
        space[1] = 127;
        space[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = usize::MAX;

    #[test]
    fn a_header_is_read_when_it_is_all_there() {
        let whole = [0x81, 0xfe, 0x01, 0x00, 1, 2, 3, 4, 99];
        for cut in 0..8 {
            assert_eq!(Header::parse(&whole[..cut], MAX, MAX), Ok(None), "{cut}");
        }
        let expected = Header {
            fin: true,
            opcode: Opcode::Text,
            len: 256,
            mask: [1, 2, 3, 4],
        };
        assert_eq!(Header::parse(&whole, MAX, MAX), Ok(Some((expected, 8))));
    }

    #[test]
    fn what_is_wrong_is_told_at_once() {
        for (bytes, error) in [
            (&[0xc1][..], FrameError::ReservedBits),
            (&[0xa1], FrameError::ReservedBits),
            (&[0x91], FrameError::ReservedBits),
            (&[0x83], FrameError::ReservedOpcode(3)),
            (&[0x8b], FrameError::ReservedOpcode(0xb)),
            (&[0x09], FrameError::FragmentedControl),
            (&[0x81, 0x05], FrameError::Unmasked),
            (&[0x89, 0xfe], FrameError::LongControl),
            (&[0x81, 0xfe, 0, 125], FrameError::Length),
            (
                &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
                FrameError::Length,
            ),
            (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0], FrameError::Length),
        ] {
            assert_eq!(Header::parse(bytes, MAX, MAX), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        for (len, start) in [
            (0, 8),
            (125, 8),
            (126, 6),
            (65_535, 6),
            (65_536, 0),
            (1_000_000, 0),
        ] {
            let mut space = [0; SERVER_HEADER_MAX_BYTES];
            assert_eq!(write_before(&mut space, Opcode::Binary, len), start);
            // As a client's frame, with a mask, it reads back.
            let mut frame = space[start..].to_vec();
            frame[1] |= MASKED;
            frame.extend_from_slice(&[0; 4]);
            let (header, _) = Header::parse(&frame, MAX, MAX).unwrap().unwrap();
            assert_eq!(header.len, len as u64);
        }
    }
}
