//! The outbox of a session of Engine.IO: polls take from it what waits, until there is a WebSocket,
//! to which it is written from then on.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;

use super::sink::Sink;
use super::socket::Socket;
use super::{Outbox, OutboxLimits};
use crate::config;
use crate::protocol::close::Disconnect;

/// Where such an outbox is emptied to.
#[derive(Debug, Default)]
pub(super) struct Polled {
    socket: OnceCell<Socket>,
    /// The session's actor.
    waiting: RefCell<Option<Waker>>,
    /// What tells the client that it is out of its namespace; nothing while it is in none.
    farewell: RefCell<Bytes>,
}

impl Polled {
    pub(super) fn socket(&self) -> Option<&Socket> {
        self.socket.get()
    }

    /// There is something to take, or there never will be.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// What is said before the end. Clients that are put out stay away; those that only lose their
    /// connection come back by themselves.
    pub(super) fn farewell(&self, reason: Disconnect) -> Option<Bytes> {
        let farewell = self.farewell.borrow();
        (!reason.reconnect() && !farewell.is_empty()).then(|| farewell.clone())
    }
}

impl OutboxLimits {
    /// Those of sessions that begin by polls.
    pub(crate) fn of_polls(&self, config: &config::SocketIo) -> Self {
        Self {
            max_bytes: config.queue_max_bytes,
            ephemeral_max_bytes: self.ephemeral_max_bytes.min(config.queue_max_bytes),
            ..*self
        }
    }
}

impl Outbox {
    /// For a session, which takes from it by [`Outbox::take_frames`].
    pub(crate) fn polled(limits: Rc<OutboxLimits>) -> Rc<Self> {
        Self::with(Sink::Polled(Box::default()), limits)
    }

    /// What waits, and what comes, goes to this socket from now on. False if there is one already.
    pub(crate) fn adopt(&self, socket: Socket) -> bool {
        match &self.sink {
            Sink::Polled(polled) => polled.socket.set(socket).is_ok(),
            Sink::Socket(_) | Sink::Stream(_) => false,
        }
    }

    /// Whether there is a socket to write to.
    pub(crate) fn has_socket(&self) -> bool {
        self.socket().is_some()
    }

    /// What the client is told at the end, so that it stays away.
    pub(crate) fn set_farewell(&self, frame: Bytes) {
        if let Sink::Polled(polled) = &self.sink {
            polled.farewell.replace(frame);
        }
    }

    /// Has this task told when there is something to take, or when the outbox is closing.
    pub(crate) fn wake_for_frames(&self, waker: &Waker) {
        if let Sink::Polled(polled) = &self.sink {
            let mut waiting = polled.waiting.borrow_mut();
            if !waiting.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *waiting = Some(waker.clone());
            }
        }
    }

    /// Takes frames that wait, one after the other, up to so many bytes, one at least; none if
    /// nothing waits.
    pub(crate) fn take_frames(&self, max_bytes: usize) -> Option<Bytes> {
        let mut queue = self.queue.borrow_mut();
        let mut frames = Vec::new();
        while queue.pop_frame(&mut frames) {
            if frames.len() + queue.front_bytes() > max_bytes {
                break;
            }
        }
        self.note_drained(&queue);
        if queue.is_empty() {
            queue.clear();
        }
        (!frames.is_empty()).then(|| frames.into())
    }

    /// Whether its end was begun in the wrong way for good: nothing more is written or taken.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Class, Parts, Pushed};
    use super::*;

    fn outbox(max_bytes: usize) -> Rc<Outbox> {
        Outbox::polled(Rc::new(OutboxLimits {
            max_bytes,
            ephemeral_max_bytes: max_bytes,
            max_age: Duration::from_secs(1),
            max_stall: Duration::from_secs(1),
        }))
    }

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn whole_frames_are_taken_up_to_a_size() {
        let outbox = outbox(10_000);
        outbox.push(frame("abc"), Class::Durable);
        let parts = Parts::with_tail(frame("def"), frame("12"));
        outbox.push_parts(parts, Class::Durable);
        outbox.push(frame("g"), Class::Durable);
        assert_eq!(outbox.take_frames(8).as_deref(), Some(&b"abcdef12"[..]));
        assert_eq!(outbox.take_frames(0).as_deref(), Some(&b"g"[..]));
        assert_eq!(outbox.take_frames(8), None);
        assert_eq!(outbox.queued_bytes(), 0);
    }

    #[test]
    fn who_is_to_stay_away_is_told_and_others_are_not() {
        for (reason, told) in [
            (Disconnect::Drain, None),
            (Disconnect::SessionEnded, Some("41")),
        ] {
            let outbox = outbox(10_000);
            outbox.set_farewell(frame("41"));
            outbox.close(reason);
            let said = outbox.take_frames(100);
            assert_eq!(said.as_deref(), told.map(str::as_bytes));
        }
    }

    #[test]
    fn it_is_bounded() {
        let outbox = outbox(200);
        assert_eq!(outbox.push(frame("a"), Class::Durable), Pushed::Queued);
        assert_eq!(outbox.push(frame("b"), Class::Durable), Pushed::Queued);
        assert_eq!(outbox.push(frame("c"), Class::Durable), Pushed::Queued);
        assert_eq!(outbox.push(frame("d"), Class::Durable), Pushed::Overflowed);
        assert_eq!(outbox.closing(), Some(Disconnect::Slow));
    }
}
