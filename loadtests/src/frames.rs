//! WebSocket frames as a receiver sees them that looks at no more than it must, and as a client
//! sends them.

/// A larger frame than this is refused; messages here are small.
pub(crate) const PAYLOAD_MAX: usize = 128 * 1024;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// In place of a length: two bytes of it follow, or eight.
const SHORT: u8 = 0x7e;
const LONG: u8 = 0x7f;

/// The client's mask. Any will do, but with zeros a server might be spared the work.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x88];

/// A whole frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    /// RSV1: the payload is compressed.
    pub(crate) compressed: bool,
    pub(crate) payload: &'a [u8],
}

/// What no server that is measured here may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame is masked")]
    Masked,
    #[error("a message is in fragments, which is not supported")]
    Fragmented,
    #[error("a frame has RSV2 or RSV3 set")]
    Reserved,
    #[error("a frame is larger than {PAYLOAD_MAX} bytes")]
    TooLarge,
}

/// The whole frames that some bytes begin with.
pub(crate) struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left: the beginning of a frame.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next frame, if it is there whole.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'a>>, FrameError> {
        let [first, second, ..] = *self.rest else {
            return Ok(None);
        };
        if first & 0x30 != 0 {
            return Err(FrameError::Reserved);
        }
        let opcode = first & 0x0f;
        if first & 0x80 == 0 || opcode == 0 {
            return Err(FrameError::Fragmented);
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let (length, header) = match second {
            SHORT => match self.rest.get(2..).and_then(<[u8]>::first_chunk) {
                Some(length) => (u16::from_be_bytes(*length).into(), 4),
                None => return Ok(None),
            },
            LONG => match self.rest.get(2..).and_then(<[u8]>::first_chunk) {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            length => (u64::from(length), 2),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > PAYLOAD_MAX {
            return Err(FrameError::TooLarge);
        }
        let Some(payload) = self.rest.get(header..header + length) else {
            return Ok(None);
        };
        self.rest = &self.rest[header + length..];
        Ok(Some(Frame {
            opcode,
            compressed: first & 0x40 != 0,
            payload,
        }))
    }
}

/// A frame from a client.
pub(crate) fn from_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(0x80 | opcode);
    if let Ok(length @ 0..126) = u8::try_from(payload.len()) {
        frame.push(0x80 | length);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        frame.push(0x80 | SHORT);
        frame.extend_from_slice(&length.to_be_bytes());
    } else {
        frame.push(0x80 | LONG);
        frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    frame.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                frame.push(126);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_come_out_whole_wherever_the_bytes_are_cut() {
        let payloads = [
            vec![],
            vec![1; 125],
            vec![2; 126],
            vec![3; 300],
            vec![4; 70_000],
        ];
        let opcodes = [TEXT, PING, BINARY, CLOSE, TEXT];
        let frames = opcodes.iter().zip(&payloads);
        let stream: Vec<u8> = frames
            .clone()
            .flat_map(|(opcode, payload)| from_server(*opcode, payload))
            .collect();
        let wanted: Vec<_> = frames
            .map(|(opcode, payload)| (*opcode, payload.clone()))
            .collect();
        // Every cut near a boundary, and some in the middle of the large one.
        let cuts = (0..800)
            .chain((800..stream.len()).step_by(997))
            .chain([stream.len()]);
        for cut in cuts {
            let mut got = Vec::new();
            let mut held = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                held.extend_from_slice(part);
                let mut frames = Frames::new(&held);
                while let Some(frame) = frames.next().unwrap() {
                    got.push((frame.opcode, frame.payload.to_vec()));
                }
                held = frames.rest().to_vec();
            }
            assert_eq!(got, wanted, "cut at {cut}");
            assert!(held.is_empty());
        }
    }

    #[test]
    fn a_byte_at_a_time_is_enough() {
        let stream = [from_server(TEXT, b"hello"), from_server(BINARY, &[7; 200])].concat();
        let (mut held, mut got) = (Vec::new(), Vec::new());
        for byte in stream {
            held.push(byte);
            let mut frames = Frames::new(&held);
            while let Some(frame) = frames.next().unwrap() {
                got.push(frame.payload.len());
            }
            held = frames.rest().to_vec();
        }
        assert_eq!(got, [5, 200]);
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        fn refused(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
            Frames::new(bytes).next()
        }
        assert_eq!(refused(&[0x81, 0x80]), Err(FrameError::Masked));
        assert_eq!(refused(&[0x01, 0]), Err(FrameError::Fragmented));
        assert_eq!(refused(&[0x80, 0]), Err(FrameError::Fragmented));
        assert_eq!(refused(&[0xa1, 0]), Err(FrameError::Reserved));
        let lying = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(refused(&lying), Err(FrameError::TooLarge));
    }

    #[test]
    fn compression_is_seen() {
        let frame = [0xc1, 1, b'x'];
        assert!(Frames::new(&frame).next().unwrap().unwrap().compressed);
    }

    #[test]
    fn a_client_masks() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; length];
            let frame = from_client(TEXT, &payload);
            let header = match length {
                0..126 => 2,
                126..65_536 => 4,
                _ => 10,
            };
            assert_eq!(frame.len(), header + 4 + length);
            assert_eq!(frame[0], 0x81);
            assert_eq!(frame[1] & 0x80, 0x80);
            let unmasked = frame[header + 4..].iter().zip(MASK.iter().cycle());
            assert!(unmasked.map(|(byte, mask)| byte ^ mask).eq(payload));
        }
    }
}
