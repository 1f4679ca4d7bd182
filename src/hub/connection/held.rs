//! What comes from a client while one of its commands takes its time.
//!
//! A replay may take minutes, at the pace of its reader. Meanwhile the connection reads on, so that
//! pings are answered and an end is noticed; commands are held until it is their turn. Beyond a
//! bound it reads no further, and the kernel tells the client to wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Step;
use super::outbox::Outbox;

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

/// Whether the socket is read.
#[derive(Debug, Default)]
pub(super) struct Tap {
    is_shut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Tap {
    /// Reads no further.
    pub(super) fn shut(&self) {
        self.is_shut.set(true);
    }

    /// Reads on.
    pub(super) fn open(&self) {
        if self.is_shut.replace(false)
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Ready when the socket is read and has something.
    pub(super) fn poll(&self, outbox: &Rc<Outbox>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut.get() {
            self.waker.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        outbox.poll_readable(cx)
    }
}
