//! The requests of a connection of HTTP/2: how many at once, how large, and answers that nobody
//! takes. Pure.
//!
//! The HTTP library bounds none of that. A peer that gives a stream no window keeps its answer in
//! memory, whatever the socket below takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The head of a frame, RFC 9113 section 4.1.
const HEAD: usize = 9;

/// A setting in a frame SETTINGS, section 6.5.1.
const SETTING: usize = 6;

/// `SETTINGS_MAX_CONCURRENT_STREAMS`, section 6.5.2.
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// `SETTINGS_MAX_HEADER_LIST_SIZE`, section 6.5.2.
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The server's first frame, whose head this is, with two further settings at its beginning: how
/// many streams the client may have at once, and how large their heads may be. None if this is not
/// that frame.
pub(super) fn announced(
    first: &[u8],
    most: u32,
    head_bytes: usize,
) -> Option<[u8; HEAD + 2 * SETTING]> {
    let head: &[u8; HEAD] = first.first_chunk()?;
    let [high, middle, low, 4, 0, 0, 0, 0, 0] = *head else {
        return None;
    };
    let length = u32::from_be_bytes([0, high, middle, low]) + 12;
    let head_bytes = u32::try_from(head_bytes).unwrap_or(u32::MAX);
    let mut frame = [0; HEAD + 2 * SETTING];
    frame[..3].copy_from_slice(&length.to_be_bytes()[1..]);
    frame[3] = 4;
    frame[9..11].copy_from_slice(&MAX_CONCURRENT_STREAMS.to_be_bytes());
    frame[11..15].copy_from_slice(&most.to_be_bytes());
    frame[15..17].copy_from_slice(&MAX_HEADER_LIST_SIZE.to_be_bytes());
    frame[17..].copy_from_slice(&head_bytes.to_be_bytes());
    Some(frame)
}

/// The frame GOAWAY (section 6.8) that ends a connection without an error after this stream: what
/// the client sends beyond it may be sent again elsewhere.
pub(super) fn goaway(last_stream: u32) -> [u8; HEAD + 8] {
    let mut frame = [0; HEAD + 8];
    frame[2] = 8;
    frame[3] = 7;
    frame[HEAD..HEAD + 4].copy_from_slice(&last_stream.to_be_bytes());
    frame
}

/// How much of the frame was the library's.
pub(super) const ANNOUNCED_OF: usize = HEAD;

/// Parts of answers that were handed out, and have not been taken to the end.
#[derive(Debug, Default)]
pub(super) struct Untaken(VecDeque<(u32, Instant)>);

impl Untaken {
    /// The answer to the request of this number has handed out a part.
    pub(super) fn given(&mut self, number: u32, now: Instant) {
        self.taken(number);
        self.0.push_back((number, now));
    }

    /// It is asked for the next, or is over.
    pub(super) fn taken(&mut self, number: u32) {
        self.0.retain(|(other, _)| *other != number);
    }

    /// When the patience with the oldest is over.
    pub(super) fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.0.front().map(|(_, since)| *since + patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_added_to_the_first_frame() {
        let theirs = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0];
        let ours = announced(&theirs, 100, 65_536).unwrap();
        assert_eq!(ours[..9], [0, 0, 18, 4, 0, 0, 0, 0, 0]);
        assert_eq!(ours[9..], [0, 3, 0, 0, 0, 100, 0, 6, 0, 1, 0, 0]);
        assert!(announced(&theirs[..8], 100, 1).is_none());
        // An acknowledgement, and another frame.
        assert!(announced(&[0, 0, 0, 4, 1, 0, 0, 0, 0], 100, 1).is_none());
        assert!(announced(&[0, 0, 8, 6, 0, 0, 0, 0, 0], 100, 1).is_none());
    }

    #[test]
    fn a_goodbye_names_the_last_stream() {
        let expected = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0];
        assert_eq!(goaway(257), expected);
    }

    #[test]
    fn the_oldest_part_is_waited_for() {
        const PATIENCE: Duration = Duration::from_secs(30);
        let (mut untaken, now) = (Untaken::default(), Instant::now());
        let at = |s| now + Duration::from_secs(s);
        assert_eq!(untaken.deadline(PATIENCE), None);
        untaken.given(1, at(0));
        untaken.given(2, at(1));
        assert_eq!(untaken.deadline(PATIENCE), Some(at(30)));
        untaken.given(1, at(2));
        assert_eq!(untaken.deadline(PATIENCE), Some(at(31)));
        untaken.taken(2);
        assert_eq!(untaken.deadline(PATIENCE), Some(at(32)));
        untaken.taken(1);
        assert_eq!(untaken.deadline(PATIENCE), None);
    }
}
