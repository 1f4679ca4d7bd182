//! What a connection's actor runs in.
//!
//! `actix::Context` has a mailbox and keeps places for futures twice over, some 700 bytes of each
//! idle connection, and nobody sends a connection messages: what others have for it goes into its
//! outbox. So it has a context of its own: the futures of commands under way, and the socket.

use std::pin::Pin;
use std::task::{self, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, ActorState};

use super::Connection;

/// After so many reads without a pause others have their turn: each fills the thread's buffer, if
/// the client has more to say than that.
const READS_MAX: usize = 2;

/// So many things happen in a session without a pause.
const TURNS_MAX: usize = 8;

/// A future that works on an actor.
type Work<A> = Pin<Box<dyn ActorFuture<A, Output = ()>>>;

/// The context. It holds no memory of its own while no command is under way.
pub(super) struct Context<A> {
    /// Those that everything else waits for; the last comes first.
    waits: Vec<Work<A>>,
    /// Those beside which the connection reads on.
    beside: Vec<Work<A>>,
    is_stopping: bool,
}

impl<A: Actor<Context = Self>> Context<A> {
    pub(super) fn new() -> Self {
        Self {
            waits: Vec::new(),
            beside: Vec::new(),
            is_stopping: false,
        }
    }

    /// Does nothing else, and reads nothing, until this is done.
    pub(super) fn wait(&mut self, work: impl ActorFuture<A, Output = ()> + 'static) {
        self.waits.push(Box::pin(work));
    }

    /// Does this besides.
    pub(super) fn spawn(&mut self, work: impl ActorFuture<A, Output = ()> + 'static) {
        self.beside.push(Box::pin(work));
    }

    /// Whether everything waits for something.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Goes on with what everything waits for, until there is nothing of it left.
    fn poll_waits(&mut self, actor: &mut A, cx: &mut task::Context<'_>) -> Poll<()> {
        while let Some(mut work) = self.waits.pop() {
            let place = self.waits.len();
            if work.as_mut().poll(actor, self, cx).is_pending() && !self.is_stopping {
                self.waits.insert(place, work);
                return Poll::Pending;
            }
        }
        self.waits = Vec::new();
        Poll::Ready(())
    }

    /// Goes on with what is beside. Ready if something was done, which may have asked for more.
    fn poll_beside(&mut self, actor: &mut A, cx: &mut task::Context<'_>) -> Poll<()> {
        for place in 0..self.beside.len() {
            let mut work = self.beside.swap_remove(place);
            if work.as_mut().poll(actor, self, cx).is_ready() {
                return Poll::Ready(());
            }
            self.beside.push(work);
            let last = self.beside.len() - 1;
            self.beside.swap(place, last);
        }
        if self.beside.is_empty() {
            self.beside = Vec::new();
        }
        Poll::Pending
    }
}

impl<A: Actor<Context = Self>> ActorContext for Context<A> {
    fn stop(&mut self) {
        self.is_stopping = true;
    }

    fn terminate(&mut self) {
        self.is_stopping = true;
    }

    fn state(&self) -> ActorState {
        if self.is_stopping {
            ActorState::Stopping
        } else {
            ActorState::Running
        }
    }
}

/// A connection's actor in its context: the task that it is.
pub(super) struct Running {
    pub(super) connection: Connection,
    pub(super) ctx: Context<Connection>,
}

impl Future for Running {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let Self { connection, ctx } = self.get_mut();
        let (mut reads, mut turns) = (0, 0);
        while !ctx.is_stopping {
            if ctx.poll_waits(connection, cx).is_pending() {
                // Heartbeats and polls of a session wait for nobody.
                if connection.engine.is_some()
                    && turns < TURNS_MAX
                    && connection.poll_session(ctx, cx).is_ready()
                {
                    turns += 1;
                    continue;
                }
                if turns == TURNS_MAX {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            if ctx.is_stopping || ctx.poll_beside(connection, cx).is_ready() {
                continue;
            }
            if connection.engine.is_some() {
                if turns == TURNS_MAX {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                turns += 1;
                if connection.poll_session(ctx, cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            match connection.poll_readable(cx) {
                Poll::Ready(Ok(())) if reads == READS_MAX => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {
                    reads += 1;
                    connection.read(ctx);
                }
                Poll::Ready(Err(_)) => ctx.stop(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}
