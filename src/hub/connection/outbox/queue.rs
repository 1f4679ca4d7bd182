//! What waits for one client: whole frames, each of one part or, where something of a shared frame
//! is the connection's own, of several. Pure.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};

use super::parts::Parts;

/// What a part takes besides its bytes, about: its place here, of which there are up to twice as many
/// as are in use, and what the allocator and [`Bytes`] add to a small one.
pub(super) const PART_BYTES: usize = 64;

/// The frames.
#[derive(Debug, Default)]
pub(super) struct Queue {
    parts: VecDeque<Part>,
    bytes: usize,
    /// The first part is the rest of a frame that has been sent in part: it cannot be taken back.
    front_is_cut: bool,
    /// The last part is a pong.
    back_is_pong: bool,
    /// What has been sent in all, bytes.
    taken: u64,
}

/// A frame, or a part of one.
#[derive(Debug)]
struct Part {
    bytes: Bytes,
    /// The frame goes on with the next part.
    goes_on: bool,
}

impl Queue {
    /// Adds a frame.
    pub(super) fn push(&mut self, frame: Parts) {
        self.back_is_pong = false;
        for bytes in frame.into_iter() {
            self.bytes += bytes.len();
            self.parts.push_back(Part {
                bytes,
                goes_on: true,
            });
        }
        if let Some(last) = self.parts.back_mut() {
            last.goes_on = false;
        }
    }

    /// Adds the rest of a frame that has been sent in part. Nothing waits.
    pub(super) fn push_cut(&mut self, rest: Bytes) {
        self.push(rest.into());
        self.front_is_cut = true;
    }

    /// So many bytes have been sent that never waited.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// What was pushed last is a pong.
    pub(super) fn mark_pong(&mut self) {
        self.back_is_pong = true;
    }

    /// Drops the pong that was pushed last, if it is one and has not been sent in part.
    pub(super) fn drop_last_pong(&mut self) -> bool {
        if !self.back_is_pong || (self.parts.len() == 1 && self.front_is_cut) {
            return false;
        }
        self.back_is_pong = false;
        let pong = self.parts.pop_back();
        self.bytes -= pong.as_ref().map_or(0, |part| part.bytes.len());
        pong.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What waits, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory that what waits takes, bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes + self.parts.len() * PART_BYTES
    }

    /// What has been sent in all, bytes.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many parts wait.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The part that is next.
    pub(super) fn front(&self) -> Option<&[u8]> {
        self.parts.front().map(|part| &*part.bytes)
    }

    /// Fills `slices` with what is next, and says how many of them it needed.
    pub(super) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = self.parts.len().min(slices.len());
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(&part.bytes);
        }
        count
    }

    /// So many bytes have been sent.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        self.taken += written as u64;
        while written > 0 {
            let Some(front) = self.parts.front_mut() else {
                return;
            };
            if front.bytes.len() > written {
                front.bytes.advance(written);
                self.front_is_cut = true;
                return;
            }
            written -= front.bytes.len();
            self.front_is_cut = front.goes_on;
            self.parts.pop_front();
        }
    }

    /// Takes the part that is next.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let part = self.parts.pop_front()?;
        self.bytes -= part.bytes.len();
        self.taken += part.bytes.len() as u64;
        self.front_is_cut = part.goes_on;
        Some(part.bytes)
    }

    /// Takes the frame that is next, whole, and appends it to `out`. False if there is none.
    pub(super) fn pop_frame(&mut self, out: &mut Vec<u8>) -> bool {
        let mut is_any = false;
        while let Some(part) = self.pop() {
            is_any = true;
            out.extend_from_slice(&part);
            if !self.front_is_cut {
                break;
            }
        }
        is_any
    }

    /// How long the frame that is next is, bytes.
    pub(super) fn front_bytes(&self) -> usize {
        let more = self.parts.iter().take_while(|part| part.goes_on).count();
        let parts = self.parts.iter().take(more + 1);
        parts.map(|part| part.bytes.len()).sum()
    }

    /// Drops all but the rest of a frame that has been sent in part.
    pub(super) fn drop_whole_frames(&mut self) {
        let keep = if self.front_is_cut {
            1 + self.parts.iter().take_while(|part| part.goes_on).count()
        } else {
            0
        };
        self.back_is_pong &= keep == self.parts.len();
        self.parts.truncate(keep);
        self.bytes = self.parts.iter().map(|part| part.bytes.len()).sum();
    }

    /// Drops everything, and the memory that it took.
    pub(super) fn clear(&mut self) {
        *self = Self {
            taken: self.taken,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(frames: &[(&'static str, Option<&'static str>)]) -> Queue {
        let mut queue = Queue::default();
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        for (body, tail) in frames {
            let tail = tail.map_or(Bytes::new(), bytes);
            queue.push(Parts::with_tail(bytes(body), tail));
        }
        queue
    }

    fn left(queue: &Queue) -> Vec<&[u8]> {
        queue.parts.iter().map(|part| &*part.bytes).collect()
    }

    #[test]
    fn a_cut_frame_is_kept_and_whole_ones_can_go() {
        let mut queue = queue(&[("abc", None), ("def", None), ("ghi", None)]);
        queue.advance(4);
        assert_eq!(left(&queue), [&b"ef"[..], b"ghi"]);
        assert_eq!(queue.bytes(), 5);
        queue.drop_whole_frames();
        assert_eq!(left(&queue), [b"ef"]);
        queue.advance(2);
        queue.push(Bytes::from_static(b"xyz").into());
        queue.drop_whole_frames();
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn small_frames_take_more_than_their_bytes() {
        let mut queue = queue(&[("a", None), ("b", Some("c"))]);
        assert_eq!(queue.held_bytes(), 3 + 3 * PART_BYTES);
        queue.pop();
        queue.advance(1);
        assert_eq!(queue.held_bytes(), 1 + PART_BYTES);
        queue.clear();
        assert_eq!(queue.held_bytes(), 0);
        assert!(size_of::<Part>() < PART_BYTES);
    }

    #[test]
    fn a_frame_that_was_begun_keeps_its_tail() {
        let frames = [("abc", Some("1")), ("def", Some("2"))];
        let mut whole = queue(&frames);
        whole.drop_whole_frames();
        assert!(whole.is_empty());

        let mut cut = queue(&frames);
        cut.advance(2);
        cut.drop_whole_frames();
        assert_eq!(left(&cut), [b"c", b"1"]);

        let mut popped = queue(&frames);
        assert_eq!(popped.pop().as_deref(), Some(&b"abc"[..]));
        popped.drop_whole_frames();
        assert_eq!(left(&popped), [b"1"]);
        assert_eq!(popped.bytes(), 1);
        popped.pop();
        popped.push(Bytes::from_static(b"x").into());
        popped.drop_whole_frames();
        assert!(popped.is_empty());
    }

    #[test]
    fn a_frame_is_taken_with_all_its_parts() {
        let mut queue = queue(&[("abc", Some("1")), ("def", None)]);
        assert_eq!(queue.front_bytes(), 4);
        let mut out = Vec::new();
        assert!(queue.pop_frame(&mut out));
        assert_eq!((&out[..], queue.front_bytes()), (&b"abc1"[..], 3));
        assert!(queue.pop_frame(&mut out));
        assert!(!queue.pop_frame(&mut out));
        assert_eq!(out, b"abc1def");
        assert_eq!(
            (queue.front_bytes(), queue.bytes(), queue.taken()),
            (0, 0, 7)
        );
    }

    #[test]
    fn a_pong_that_waits_last_can_be_replaced() {
        let mut queue = queue(&[("abc", None)]);
        assert!(!queue.drop_last_pong());
        for _ in 0..2 {
            queue.push(Bytes::from_static(b"pong").into());
            queue.mark_pong();
            assert!(queue.drop_last_pong());
            assert!(!queue.drop_last_pong());
            assert_eq!((left(&queue), queue.bytes()), (vec![&b"abc"[..]], 3));
        }
        // Not one that has something behind it, nor one that has been begun.
        queue.push(Bytes::from_static(b"pong").into());
        queue.mark_pong();
        queue.push(Bytes::from_static(b"x").into());
        assert!(!queue.drop_last_pong());
        queue.advance(8);
        assert!(queue.is_empty());
        queue.push(Bytes::from_static(b"pong").into());
        queue.mark_pong();
        queue.advance(1);
        assert!(!queue.drop_last_pong());
        queue.drop_whole_frames();
        assert_eq!(left(&queue), [b"ong"]);
    }
}
