//! What comes from a client while one of its commands takes its time.
//!
//! A replay may take minutes, at the pace of its reader. Meanwhile the connection reads on, so that
//! pings are answered and an end is noticed; commands are held until it is their turn. Beyond a
//! bound it reads no further, and the kernel tells the client to wait.

use std::collections::VecDeque;

use super::Step;

/// Where no more commands are held, bytes: those of the messages that they came in, and what holding
/// each of them takes besides.
const HELD_MAX_BYTES: usize = 64 * 1024;

/// The commands that wait.
#[derive(Default)]
pub(super) struct Held {
    /// A command is under way beside which the connection reads on.
    pub(super) is_busy: bool,
    steps: VecDeque<(Step, usize)>,
    bytes: usize,
}

impl Held {
    /// Holds a command that came in a message of so many bytes.
    pub(super) fn push(&mut self, step: Step, message_bytes: usize) {
        // An empty message is a command, too.
        let bytes = message_bytes + size_of::<(Step, usize)>();
        self.steps.push_back((step, bytes));
        self.bytes += bytes;
    }

    /// Whether nothing waits, and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.is_busy
    }

    /// Whether nothing more may be held: there is always room for one command, whatever its size.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= HELD_MAX_BYTES
    }

    /// The next one, if none is under way.
    pub(super) fn pop(&mut self) -> Option<Step> {
        if self.is_busy {
            return None;
        }
        let (step, bytes) = self.steps.pop_front()?;
        self.bytes -= bytes;
        if self.steps.is_empty() {
            // An idle connection holds no buffer.
            self.steps = VecDeque::new();
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(held: &mut Held, message_bytes: usize) -> usize {
        let mut count = 0;
        while !held.is_full() {
            held.push(Step::Nothing, message_bytes);
            count += 1;
        }
        count
    }

    #[test]
    fn empty_messages_fill_it_too() {
        let mut held = Held::default();
        let count = fill(&mut held, 0);
        assert!(count * size_of::<Step>() <= HELD_MAX_BYTES, "{count}");
        assert_eq!(fill(&mut Held::default(), HELD_MAX_BYTES), 1);
    }

    #[test]
    fn what_goes_makes_room_for_as_much() {
        let mut held = Held::default();
        let count = fill(&mut held, 100);
        held.is_busy = true;
        assert!(held.pop().is_none() && held.is_full());
        held.is_busy = false;
        assert!(held.pop().is_some() && !held.is_full());
        assert_eq!(fill(&mut held, 100), 1);
        for _ in 0..count {
            assert!(held.pop().is_some());
        }
        assert!(held.pop().is_none());
        assert_eq!((held.bytes, held.steps.capacity()), (0, 0));
    }
}
