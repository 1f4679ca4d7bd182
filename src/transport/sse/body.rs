//! A stream as the body of an answer: an actor in an HTTP context, which takes from the hub's
//! outbox what the dispatcher asks it for, and no more.
//!
//! The context would take all that there is and keep it until the peer reads. What waits must wait
//! in the outbox, where it is bounded and counted, so it is given one part at a time, and the next
//! when that one has gone to the dispatcher (which keeps up to 32 KiB).

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix::{Actor, AsyncContext as _, StreamHandler};
use actix_web::Error;
use actix_web_actors::HttpContext;
use bytes::Bytes;
use futures_util::stream::{LocalBoxStream, Stream};

use crate::hub::connection::stream;
use crate::transport::held::{SocketHold, Streaming};
use crate::transport::places::Seat;

/// The body that sends a stream.
pub(super) fn body(
    stream: stream::Stream,
    hold: SocketHold,
    seat: Seat,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let is_waiting = Rc::new(Cell::new(false));
    let source = Source {
        stream,
        _streaming: hold.streaming(),
        hold,
        _seat: seat,
        is_waiting: Rc::clone(&is_waiting),
    };
    Paced {
        context: Box::pin(HttpContext::create(EventStream {
            source: Some(source),
        })),
        is_waiting,
    }
}

/// The actor.
struct EventStream {
    source: Option<Source>,
}

impl Actor for EventStream {
    type Context = HttpContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(source) = self.source.take() {
            ctx.add_stream(source);
        }
    }
}

impl StreamHandler<Bytes> for EventStream {
    fn handle(&mut self, part: Bytes, ctx: &mut Self::Context) {
        ctx.write(part);
    }
}

/// What the actor takes from: one part at a time.
struct Source {
    stream: stream::Stream,
    hold: SocketHold,
    _streaming: Streaming,
    /// Given back with the stream.
    _seat: Seat,
    /// A part is with the context.
    is_waiting: Rc<Cell<bool>>,
}

impl Stream for Source {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.hold.has_ended() {
            return Poll::Ready(None);
        }
        if self.is_waiting.get() {
            // The body that has just been asked for gives it, and is asked again.
            return Poll::Pending;
        }
        let taken = std::task::ready!(self.stream.poll_take(cx));
        self.is_waiting.set(taken.is_some());
        Poll::Ready(taken)
    }
}

/// The context's stream, which notes when a part has gone to the dispatcher.
struct Paced {
    context: LocalBoxStream<'static, Result<Bytes, Error>>,
    is_waiting: Rc<Cell<bool>>,
}

impl Stream for Paced {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = std::task::ready!(self.context.as_mut().poll_next(cx));
        self.is_waiting.set(false);
        Poll::Ready(part)
    }
}
