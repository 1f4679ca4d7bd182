//! The outbox of an event stream: its transport takes from it what waits.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::sink::{Hold, Sink, Taker};
use super::{Outbox, OutboxLimits};

impl Outbox {
    /// For a stream, whose transport takes from it by [`Outbox::poll_take`].
    pub(crate) fn taken_by(hold: Box<dyn Hold>, limits: Rc<OutboxLimits>) -> Rc<Self> {
        Self::with(Sink::Stream(Taker::new(hold)), limits)
    }

    /// Takes a part of what waits for a stream's transport; none at the stream's end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = self.queue.borrow_mut();
        if let Some(part) = queue.pop() {
            self.note_drained(&queue);
            if queue.is_empty() {
                queue.clear();
            }
            return Poll::Ready(Some(part));
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        if let Sink::Stream(taker) = &self.sink {
            taker.wait(cx.waker());
        }
        Poll::Pending
    }

    /// A ping has been pushed to a stream, which is not answered: whether it arrives is seen by
    /// [`Outbox::has_taken`]. False for a socket, whose peer answers.
    pub(crate) fn mark(&self) -> bool {
        match &self.sink {
            Sink::Socket(_) | Sink::Polled(_) => false,
            Sink::Stream(taker) => {
                taker.mark();
                true
            }
        }
    }

    /// Whether a stream's socket has taken anything since it was marked.
    pub(crate) fn has_taken(&self) -> bool {
        match &self.sink {
            Sink::Socket(_) | Sink::Polled(_) => false,
            Sink::Stream(taker) => taker.has_taken(),
        }
    }
}
