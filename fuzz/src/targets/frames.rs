//! Frames of a client, in reads of any size: what comes out does not depend on where the bytes are
//! cut, nor on pauses, and what is held is bounded.

use crate::protocol::websocket::decode::{Decoder, Incoming, Input};
use crate::protocol::websocket::deflate::{Inflater, deflated_max_bytes};
use crate::protocol::websocket::frame_error::FrameError;

/// Limits of a message to choose from, bytes.
const MAX_MESSAGE_BYTES: [usize; 4] = [0, 125, 1000, 70_000];

/// What a decoder holds beside a message and what it was told to keep, bytes.
const FIXED_BYTES: usize = 1024;

#[derive(Debug, PartialEq)]
enum Outcome {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(String),
    Error(FrameError),
}

impl Outcome {
    fn of(incoming: Incoming<'_>, inflater: &mut Inflater, max_message_bytes: usize) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Incoming::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Incoming::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Incoming::Close(frame) => Self::Close(format!("{frame:?}")),
            Incoming::Deflated(deflated) => match inflater.message(deflated, max_message_bytes) {
                Ok(Incoming::Text(text)) => Self::Text(text.to_owned()),
                Ok(Incoming::Binary(bytes)) => Self::Binary(bytes.to_vec()),
                Ok(other) => panic!("{other:?} was compressed"),
                Err(error) => Self::Error(error),
            },
        }
    }

    fn check_length(&self, max_message_bytes: usize) {
        let (length, most) = match self {
            Self::Text(text) => (text.len(), max_message_bytes),
            Self::Binary(bytes) => (bytes.len(), max_message_bytes),
            Self::Ping(bytes) | Self::Pong(bytes) => (bytes.len(), 125),
            Self::Close(_) | Self::Error(_) => return,
        };
        assert!(length <= most, "{length} bytes where {most} are allowed");
    }
}

/// What a connection has agreed on.
#[derive(Clone, Copy)]
struct Agreed {
    max_message_bytes: usize,
    deflate: bool,
}

impl Agreed {
    fn decoder(self) -> Decoder {
        if self.deflate {
            Decoder::with_deflate(self.max_message_bytes)
        } else {
            Decoder::new(self.max_message_bytes)
        }
    }
}

/// How the bytes come.
struct Pace<'a> {
    /// Lengths of the reads, over and over; 0 is all there is.
    reads: &'a [u8],
    /// Stop after each message, and go on later.
    pauses: bool,
}

fn decode(agreed: Agreed, stream: &[u8], pace: &Pace<'_>) -> Vec<Outcome> {
    let max_message_bytes = agreed.max_message_bytes;
    let mut decoder = agreed.decoder();
    let mut inflater = Inflater::default();
    let mut outcomes = Vec::new();
    let mut rest = stream.to_vec();
    let mut at = 0;
    let mut reads = pace.reads.iter().cycle();
    while at < rest.len() {
        let left = rest.len() - at;
        let length = match reads.next() {
            None | Some(0) => left,
            Some(length) => usize::from(*length).min(left),
        };
        let mut input = Input::new(&mut rest[at..at + length]);
        at += length;
        loop {
            let next = match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => Outcome::of(incoming, &mut inflater, max_message_bytes),
                Err(error) => {
                    assert_eq!(decoder.next(&mut input), Ok(None), "more after an error");
                    Outcome::Error(error)
                }
            };
            next.check_length(max_message_bytes);
            let is_last = matches!(next, Outcome::Close(_) | Outcome::Error(_));
            outcomes.push(next);
            if is_last {
                return outcomes;
            }
            if pace.pauses {
                decoder.stash(input);
                input = Input::empty();
            }
        }
        let most = 2 * (deflated_max_bytes(max_message_bytes) + length) + FIXED_BYTES;
        let held = decoder.held_bytes();
        assert!(held <= most, "{held} bytes held, {most} expected at most");
    }
    outcomes
}

/// The first byte: limit, pauses and compression; the second: how many lengths of reads follow, up
/// to 15.
pub(super) fn run(data: &[u8]) {
    let [how, cuts, rest @ ..] = data else { return };
    let cuts = usize::from(cuts & 0x0f).min(rest.len());
    let (reads, stream) = rest.split_at(cuts);
    let agreed = Agreed {
        max_message_bytes: MAX_MESSAGE_BYTES[usize::from(how & 3)],
        deflate: how & 8 != 0,
    };
    let whole = Pace {
        reads: &[],
        pauses: false,
    };
    let cut = Pace {
        reads,
        pauses: how & 4 != 0,
    };
    let bytewise = Pace {
        reads: &[1],
        pauses: false,
    };
    let expected = decode(agreed, stream, &whole);
    assert_eq!(decode(agreed, stream, &cut), expected);
    assert_eq!(decode(agreed, stream, &bytewise), expected);
}
