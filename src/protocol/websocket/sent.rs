//! Our own frames, taken apart again: what was made for WebSockets can be sent by other ways.

use super::header::{self, Opcode};

/// The messages in complete frames that stand one after the other, as [`encode`](super::encode)
/// makes them. Ends where something else stands.
#[derive(Clone, Debug)]
pub struct Sent<'a> {
    rest: &'a [u8],
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Text, or bytes.
    pub is_text: bool,
    /// What it says.
    pub payload: &'a [u8],
    /// The frame.
    pub frame: &'a [u8],
}

impl<'a> Sent<'a> {
    /// Those in so many bytes.
    #[must_use]
    pub const fn new(frames: &'a [u8]) -> Self {
        Self { rest: frames }
    }
}

impl<'a> Iterator for Sent<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (opcode, start, length) = header::measure(self.rest)?;
        let end = start.checked_add(length)?;
        let (frame, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Message {
            is_text: opcode == Opcode::Text,
            payload: &frame[start..],
            frame,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn frames_come_apart_as_they_were_made() {
        let parts = [0, 1, 125, 126, 65_535, 65_536].map(|length| vec![b'x'; length]);
        let mut all = Vec::new();
        for part in &parts {
            all.extend_from_slice(&encode::text(part));
            all.extend_from_slice(&encode::binary(part));
        }
        let found: Vec<_> = Sent::new(&all).collect();
        assert_eq!(found.len(), 2 * parts.len());
        for (at, message) in found.iter().enumerate() {
            assert_eq!(message.is_text, at % 2 == 0);
            assert_eq!(message.payload, parts[at / 2]);
        }
        let whole: usize = found.iter().map(|it| it.frame.len()).sum();
        assert_eq!(whole, all.len());
    }

    #[test]
    fn what_is_cut_or_no_message_ends_it() {
        let frame = encode::text(b"hello");
        assert_eq!(Sent::new(&frame[..frame.len() - 1]).count(), 0);
        assert_eq!(Sent::new(&[]).count(), 0);
        let mut frames = frame.to_vec();
        frames.extend_from_slice(&encode::close(1000, ""));
        assert_eq!(Sent::new(&frames).count(), 1);
    }
}
