//! Polls that come while a client changes to a WebSocket.
//!
//! A client that has sent its upgrade packet and then polls comes to the session by two ways, and the
//! poll's may be the shorter one: the socket may still be on its way between threads, or the runtime
//! has not looked yet which sockets have something. So the poll waits for both. If the socket says
//! meanwhile that the session goes on by it, the poll is refused, as the protocol wants it of any
//! after that.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Instant;

use actix_rt::task::JoinHandle;
use tokio::sync::oneshot;

use super::{Connection, Context, Engine};
use crate::hub::engineio::{Call, Waiting};

/// A poll that waits, and what for.
pub(super) struct PutOff {
    call: Call,
    /// Over when the socket has come, or never will.
    coming: Option<oneshot::Receiver<Infallible>>,
    /// Over when the runtime has looked at the sockets, which it does before it goes on with who has
    /// yielded. A task of its own, as this one may be polled earlier for something else.
    look: Option<JoinHandle<()>>,
}

impl PutOff {
    fn poll_over(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        if let Some(coming) = &mut self.coming {
            // It ends in no other way than by being dropped.
            let _ = ready!(Pin::new(coming).poll(cx));
            self.coming = None;
        }
        let turn = || actix_rt::spawn(tokio::task::yield_now());
        let look = self.look.get_or_insert_with(turn);
        Pin::new(look).poll(cx).map(drop)
    }
}

impl Engine {
    /// What other threads have for the session, but a poll that has to wait.
    pub(super) fn next_call(&mut self, cx: &task::Context<'_>) -> Option<Call> {
        loop {
            let call = self.mailbox.take(cx.waker())?;
            if let Call::Coming(coming) = call {
                self.coming = Some(coming);
                continue;
            }
            let is_poll = matches!(call, Call::Begun(_, Waiting::Poll { .. }));
            let may_change = self.coming.is_some() || self.probing.is_some();
            // A second one is judged as it is without this: it ends the session.
            if !is_poll || !may_change || self.put_off.is_some() {
                return Some(call);
            }
            self.put_off = Some(Box::new(PutOff {
                call,
                coming: self.coming.take(),
                look: None,
            }));
        }
    }
}

impl Connection {
    /// Goes on with the poll that waits. To be asked when no socket has anything more to read.
    pub(super) fn poll_put_off(
        &mut self,
        now: Instant,
        ctx: &mut Context<Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        let Some(engine) = &mut self.engine else {
            return Poll::Pending;
        };
        let is_over = |it: &mut Box<PutOff>| it.poll_over(cx).is_ready();
        let Some(put_off) = engine.put_off.take_if(is_over) else {
            return Poll::Pending;
        };
        self.called(now, put_off.call, ctx);
        Poll::Ready(())
    }
}
