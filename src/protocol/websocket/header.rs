//! The head of a frame, RFC 6455 §5.2.

use super::deflate::deflated_max_bytes;
use super::frame_error::FrameError;

/// A client's header is at most this long: two bytes, eight of length, four of mask.
pub(super) const CLIENT_HEADER_MAX_BYTES: usize = 14;

/// A server's header, which has no mask, is at most this long.
pub(super) const SERVER_HEADER_MAX_BYTES: usize = 10;

/// A control frame's payload is at most this long.
pub(super) const CONTROL_MAX_BYTES: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
/// RSV1: the message is compressed (RFC 7692 §6).
pub(super) const DEFLATED: u8 = 0x40;
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
    /// Whether it begins a message that is compressed.
    pub is_deflated: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The payload's length, bytes.
    pub len: u64,
    /// What the payload is masked with.
    pub mask: [u8; 4],
}

/// What a connection may be sent next, as far as a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The limit of a message, bytes.
    pub max_message_bytes: usize,
    /// Whether messages may be compressed.
    pub deflate: bool,
    /// What has come of the message under way, if there is one.
    pub begun: Option<Begun>,
}

/// A message of which not everything has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Bytes of it that have come.
    pub bytes: usize,
    /// Whether it is compressed.
    pub is_deflated: bool,
}

impl Allowed {
    /// Whether a frame of this message may be so long.
    fn admits(&self, is_deflated: bool, len: u64) -> bool {
        let (before, is_deflated) = match self.begun {
            Some(begun) => (begun.bytes, begun.is_deflated),
            None => (0, is_deflated),
        };
        let most = self.most_bytes(is_deflated).saturating_sub(before);
        usize::try_from(len).is_ok_and(|len| len <= most)
    }

    /// How long a message may be as it comes, bytes.
    pub(super) fn most_bytes(&self, is_deflated: bool) -> usize {
        if is_deflated {
            deflated_max_bytes(self.max_message_bytes)
        } else {
            self.max_message_bytes
        }
    }
}

impl Header {
    /// Reads a header off the front, with its own length in bytes; none while it is incomplete.
    /// What is wrong is told as soon as the byte that is wrong is there; so is that the message
    /// would be over its limit.
    pub fn parse(bytes: &[u8], allowed: &Allowed) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let fin = first & FIN != 0;
        let opcode = Opcode::parse(first & 0x0f);
        let begins = matches!(opcode, Ok(Opcode::Text | Opcode::Binary));
        // The only place that judges reserved bits: the one of permessage-deflate may be set on the
        // first frame of a message, where it was agreed on.
        let is_deflated = allowed.deflate && begins && first & DEFLATED != 0;
        if first & RESERVED != if is_deflated { DEFLATED } else { 0 } {
            return Err(FrameError::ReservedBits);
        }
        let opcode = opcode?;
        if opcode.is_control() && !fin {
            return Err(FrameError::FragmentedControl);
        }
        match (opcode, allowed.begun) {
            (Opcode::Continuation, None) => return Err(FrameError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(FrameError::ExpectedContinuation);
            }
            _ => {}
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
        if !opcode.is_control() && !allowed.admits(is_deflated, len) {
            return Err(FrameError::TooBig {
                max_bytes: allowed.max_message_bytes,
            });
        }

        let Some((&mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let header = Self {
            fin,
            is_deflated,
            opcode,
            len,
            mask,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// Takes one of our own complete frames with an uncompressed message apart.
pub(super) fn split(frame: &[u8]) -> Option<(Opcode, &[u8])> {
    let (&first, rest) = frame.split_first()?;
    let (&len, rest) = rest.split_first()?;
    let extended = match len {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    match Opcode::parse(first ^ FIN) {
        Ok(opcode @ (Opcode::Text | Opcode::Binary)) => Some((opcode, rest.get(extended..)?)),
        _ => None,
    }
}

/// What a server's frame with a message is, where its payload begins, and how long that is; none if
/// it is no such frame, or its header is cut.
pub(super) fn measure(frame: &[u8]) -> Option<(Opcode, usize, usize)> {
    let (opcode, rest) = split(frame)?;
    let start = frame.len() - rest.len();
    let length = match *frame.get(1)? {
        126 => usize::from(u16::from_be_bytes(*frame.get(2..)?.first_chunk()?)),
        127 => usize::try_from(u64::from_be_bytes(*frame.get(2..)?.first_chunk()?)).ok()?,
        length => usize::from(length),
    };
    Some((opcode, start, length))
}

/// Writes the header of a server's complete, unmasked frame into the tail of `space` and returns
/// where it begins. `kind` is its opcode and, if it is, [`DEFLATED`].
pub(super) fn write_before(
    space: &mut [u8; SERVER_HEADER_MAX_BYTES],
    kind: u8,
    payload_bytes: usize,
) -> usize {
    let first = FIN | kind;
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

    const ANY: Allowed = Allowed {
        max_message_bytes: usize::MAX,
        deflate: false,
        begun: None,
    };

    #[test]
    fn a_header_is_read_when_it_is_all_there() {
        let whole = [0x81, 0xfe, 0x01, 0x00, 1, 2, 3, 4, 99];
        for cut in 0..8 {
            assert_eq!(Header::parse(&whole[..cut], &ANY), Ok(None), "{cut}");
        }
        let expected = Header {
            fin: true,
            is_deflated: false,
            opcode: Opcode::Text,
            len: 256,
            mask: [1, 2, 3, 4],
        };
        assert_eq!(Header::parse(&whole, &ANY), Ok(Some((expected, 8))));
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
            assert_eq!(Header::parse(bytes, &ANY), Err(error), "{bytes:x?}");
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
            assert_eq!(write_before(&mut space, Opcode::Binary as u8, len), start);
            // As a client's frame, with a mask, it reads back.
            let mut frame = space[start..].to_vec();
            frame[1] |= MASKED;
            frame.extend_from_slice(&[0; 4]);
            let (header, _) = Header::parse(&frame, &ANY).unwrap().unwrap();
            assert_eq!(header.len, len as u64);
        }
    }

    #[test]
    fn rsv1_begins_a_message_where_it_was_agreed_on() {
        let agreed = Allowed {
            deflate: true,
            ..ANY
        };
        let within = Allowed {
            begun: Some(Begun {
                bytes: 1,
                is_deflated: true,
            }),
            ..agreed
        };
        let refused = Err(FrameError::ReservedBits);
        for first in [0xc1u8, 0xc2, 0x41, 0x42] {
            let frame = [first, 0x80, 0, 0, 0, 0];
            let (header, _) = Header::parse(&frame, &agreed).unwrap().unwrap();
            assert!(header.is_deflated, "{first:x}");
            assert_eq!(Header::parse(&frame, &ANY), refused, "{first:x}");
            // With RSV2 or RSV3 besides it means nothing.
            assert_eq!(Header::parse(&[first | 0x20], &agreed), refused);
            assert_eq!(Header::parse(&[first | 0x10], &agreed), refused);
        }
        // Not on control frames, later frames, and opcodes that mean nothing.
        for first in [0xc0u8, 0x40, 0xc8, 0xc9, 0xca, 0xc3] {
            assert_eq!(Header::parse(&[first], &within), refused, "{first:x}");
        }
    }

    #[test]
    fn a_compressed_message_may_be_a_little_longer_than_it_is() {
        let allowed = Allowed {
            max_message_bytes: 100,
            deflate: true,
            begun: None,
        };
        let parse = |first: u8, len: u8, begun| {
            let frame = match len {
                126.. => vec![first, 0xfe, 0, len, 0, 0, 0, 0],
                _ => vec![first, 0x80 | len, 0, 0, 0, 0],
            };
            Header::parse(&frame, &Allowed { begun, ..allowed }).is_ok()
        };
        assert!(parse(0x82, 100, None) && !parse(0x82, 101, None));
        assert!(parse(0xc2, 176, None) && !parse(0xc2, 177, None));
        for (is_deflated, fits) in [(false, 60), (true, 136)] {
            let begun = Some(Begun {
                bytes: 40,
                is_deflated,
            });
            assert!(parse(0x80, fits, begun) && !parse(0x80, fits + 1, begun));
        }
    }

    #[test]
    fn our_own_frames_are_taken_apart() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![7; len];
            let frame = crate::protocol::websocket::encode::binary(&payload);
            assert_eq!(split(&frame), Some((Opcode::Binary, payload.as_slice())));
        }
        let ping = crate::protocol::websocket::encode::ping(b"x");
        assert_eq!(split(&ping), None);
        assert_eq!(split(&[0x81]), None);
    }
}
