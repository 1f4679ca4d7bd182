//! What comes from a client while one of its commands takes its time.
//!
//! A replay may take minutes, at the pace of its reader. Meanwhile the connection reads on, so that
//! pings are answered and an end is noticed; commands are held until it is their turn. Beyond a
//! bound it reads no further, and the kernel tells the client to wait.

use std::collections::VecDeque;

use super::Step;

/// So many bytes of commands are held, and one more command.
const HELD_MAX_BYTES: usize = 64 * 1024;

/// The commands that wait.
#[derive(Default)]
pub(super) struct Held {
    /// A command is under way beside which the connection reads on.
    pub(super) is_busy: bool,
    steps: VecDeque<Step>,
    bytes: usize,
}

impl Held {
    /// Holds a command that came in so many bytes. Whether there is room for more.
    pub(super) fn push(&mut self, step: Step, bytes: usize) -> bool {
        self.steps.push_back(step);
        self.bytes += bytes;
        self.bytes <= HELD_MAX_BYTES
    }

    /// The next one, if none is under way.
    pub(super) fn pop(&mut self) -> Option<Step> {
        if self.is_busy {
            return None;
        }
        let step = self.steps.pop_front();
        if self.steps.is_empty() {
            // An idle connection holds no buffer.
            self.steps = VecDeque::new();
            self.bytes = 0;
        }
        step
    }
}
