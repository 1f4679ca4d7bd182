//! How much of a connection of HTTP/1 is read before anybody has asked for it. Pure.
//!
//! The dispatcher reads on while a request is answered, and while its answer waits for a peer that
//! takes nothing. Up to 16 further requests it queues; what comes after those it keeps, and when
//! that buffer is full (131,072 bytes) it asks again and again, without an end, for what it will
//! not take. So it is given no more than a part of that beyond what is asked for: the next request
//! when there is none, and the body that a handler waits for.

/// What has been read of one connection beyond what was asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    most: usize,
    bytes: usize,
    /// All that was read has been looked at, and more is waited for.
    is_awaited: bool,
}

impl Ahead {
    /// At most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            bytes: 0,
            is_awaited: false,
        }
    }

    /// More is waited for, by the dispatcher or by whoever reads a body.
    pub(super) fn wait(&mut self) {
        self.is_awaited = true;
    }

    /// What was waited for has come: what was read with it is ahead.
    pub(super) fn come(&mut self) {
        self.is_awaited = false;
    }

    /// So many bytes were read. The first after a wait are the first of a new reckoning.
    pub(super) fn read(&mut self, bytes: usize) {
        if std::mem::take(&mut self.is_awaited) {
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// What may still be read.
    pub(super) fn left(&self) -> usize {
        if self.is_awaited {
            self.most
        } else {
            self.most.saturating_sub(self.bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_beyond_a_request_is_bounded_until_the_next_is_waited_for() {
        let mut ahead = Ahead::new(100);
        ahead.wait();
        ahead.read(60);
        ahead.come();
        assert_eq!(ahead.left(), 40);
        ahead.read(40);
        assert_eq!(ahead.left(), 0);
        // The next request came with this one: nothing was waited for.
        ahead.come();
        assert_eq!(ahead.left(), 0);
        ahead.wait();
        assert_eq!(ahead.left(), 100);
        ahead.read(1);
        assert_eq!(ahead.left(), 99);
    }

    #[test]
    fn a_wait_that_came_too_early_counts_for_nothing() {
        let mut ahead = Ahead::new(100);
        ahead.read(500);
        // A handler asks for its body, which has been read and not been handed on yet.
        ahead.wait();
        ahead.come();
        assert_eq!(ahead.left(), 0);
    }
}
