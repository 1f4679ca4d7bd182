//! Where an outbox is emptied to.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::task::Waker;

use super::polled::Polled;
use super::socket::Socket;

/// The hold that a transport gives the hub on the socket below a stream. What writes the stream
/// to it is not asked for anything while the peer does not read, so nothing can be told to it.
pub trait Hold: Debug + 'static {
    /// Ends the socket now, whatever waits.
    fn cut(&self);

    /// How many bytes the socket has taken since it was opened.
    fn written_bytes(&self) -> u64;
}

/// Where an outbox is emptied to.
#[derive(Debug)]
pub(super) enum Sink {
    /// A socket of our own: we write.
    Socket(Socket),
    /// A transport that takes what waits when it can send it.
    Stream(Taker),
    /// A session of Engine.IO: its polls take what waits, until it has a socket.
    Polled(Box<Polled>),
}

impl Sink {
    /// Tells whoever empties it that there is something, or that there never will be.
    pub(super) fn wake(&self) {
        match self {
            Self::Socket(_) => {}
            Self::Stream(taker) => taker.wake(),
            Self::Polled(polled) => polled.wake(),
        }
    }
}

/// A transport that takes what waits.
#[derive(Debug)]
pub(super) struct Taker {
    pub(super) hold: Box<dyn Hold>,
    /// The task that waits for something to take.
    waiting: RefCell<Option<Waker>>,
    /// What the socket had taken when it was last pinged, bytes.
    mark: Cell<u64>,
}

impl Taker {
    pub(super) fn new(hold: Box<dyn Hold>) -> Self {
        Self {
            hold,
            waiting: RefCell::default(),
            mark: Cell::new(0),
        }
    }

    /// There is something to take, or there never will be.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(super) fn wait(&self, waker: &Waker) {
        self.waiting.replace(Some(waker.clone()));
    }

    pub(super) fn mark(&self) {
        self.mark.set(self.hold.written_bytes());
    }

    pub(super) fn has_taken(&self) -> bool {
        self.hold.written_bytes() > self.mark.get()
    }
}
