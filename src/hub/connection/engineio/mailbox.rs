//! What other threads have for a session.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

use crate::hub::engineio::{Call, Refused};

/// At most so many wait. A client has one poll and one POST at a time, in two parts.
const CALLS_MAX: usize = 16;

/// The requests and sockets that wait for their session.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    calls: RefCell<VecDeque<Call>>,
    waiting: RefCell<Option<Waker>>,
}

impl Mailbox {
    /// Puts one behind the others, if there is room.
    pub(crate) fn put(&self, call: Call) {
        let mut calls = self.calls.borrow_mut();
        if calls.len() >= CALLS_MAX {
            drop(calls);
            return call.refuse(Refused::Overloaded.counted());
        }
        calls.push_back(call);
        drop(calls);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// The next one; if there is none, this task is told of it.
    pub(super) fn take(&self, waker: &Waker) -> Option<Call> {
        let mut calls = self.calls.borrow_mut();
        let call = calls.pop_front();
        if call.is_none() {
            // Nothing stays allocated for who is idle.
            *calls = VecDeque::new();
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *waiting = Some(waker.clone());
            }
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded() {
        let mailbox = Mailbox::default();
        for id in 0..2 * CALLS_MAX as u64 {
            mailbox.put(Call::Posted(id, None));
        }
        let taken = std::iter::from_fn(|| mailbox.take(Waker::noop()));
        assert_eq!(taken.count(), CALLS_MAX);
    }
}
