//! Frames of a client, in reads of any size: what comes out does not depend on where the bytes are
//! cut, nor on pauses, and what is held is bounded.

use crate::protocol::websocket::decode::{Decoder, Incoming, Input};
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

impl From<Incoming<'_>> for Outcome {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Incoming::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Incoming::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Incoming::Close(frame) => Self::Close(format!("{frame:?}")),
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

fn decode(max_message_bytes: usize, stream: &[u8], pace: &Pace<'_>) -> Vec<Outcome> {
    let mut decoder = Decoder::new(max_message_bytes);
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
        let read = &mut rest[at..at + length];
        at += length;
        let mut input = Input::new(read);
        loop {
            let next = match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => Outcome::from(incoming),
                Err(error) => Outcome::Error(error),
            };
            let is_last = matches!(next, Outcome::Close(_) | Outcome::Error(_));
            check_length(&next, max_message_bytes);
            outcomes.push(next);
            if is_last {
                let after = decoder.next(&mut input);
                assert_eq!(after, Ok(None), "something after the end");
                return outcomes;
            }
            if pace.pauses {
                decoder.stash(input);
                input = Input::empty();
            }
        }
        let most = 2 * (max_message_bytes + length) + FIXED_BYTES;
        let held = decoder.held_bytes();
        assert!(held <= most, "{held} bytes held, {most} expected at most");
    }
    outcomes
}

fn check_length(outcome: &Outcome, max_message_bytes: usize) {
    let (length, most) = match outcome {
        Outcome::Text(text) => (text.len(), max_message_bytes),
        Outcome::Binary(bytes) => (bytes.len(), max_message_bytes),
        Outcome::Ping(bytes) | Outcome::Pong(bytes) => (bytes.len(), 125),
        Outcome::Close(_) | Outcome::Error(_) => return,
    };
    assert!(length <= most, "{length} bytes where {most} are allowed");
}

/// The first byte: limit and pauses; the second: how many lengths of reads follow, up to 15.
pub(super) fn run(data: &[u8]) {
    let [how, cuts, rest @ ..] = data else { return };
    let cuts = usize::from(cuts & 0x0f).min(rest.len());
    let (reads, stream) = rest.split_at(cuts);
    let max_message_bytes = MAX_MESSAGE_BYTES[usize::from(how & 3)];
    let whole = Pace {
        reads: &[],
        pauses: false,
    };
    let cut = Pace {
        reads,
        pauses: how & 4 != 0,
    };
    let expected = decode(max_message_bytes, stream, &whole);
    assert_eq!(decode(max_message_bytes, stream, &cut), expected);
    let bytewise = Pace {
        reads: &[1],
        pauses: false,
    };
    assert_eq!(decode(max_message_bytes, stream, &bytewise), expected);
}
