//! What others know of the socket below a dispatcher, and tell it.

use std::io;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::{Held, prepare};
use crate::config::WebSocket;
use crate::hub::connection::stream::Hold;

/// The hold on it, for as long as it is there.
#[derive(Clone, Debug)]
pub(in crate::transport) struct SocketHold(Weak<Held>);

/// A request that is being answered over it. Its drop says that this is over.
#[derive(Debug)]
pub(in crate::transport) struct Answering {
    held: Weak<Held>,
    number: u32,
}

/// An event stream over it. Its drop says that this is over.
#[derive(Debug)]
pub(in crate::transport) struct Streaming(Weak<Held>);

impl SocketHold {
    pub(super) fn of(held: &Rc<Held>) -> Self {
        Self(Rc::downgrade(held))
    }

    /// A request is being answered, for as long as this is kept. With too many the connection is
    /// cut.
    pub(in crate::transport) fn answering(&self) -> Answering {
        let mut number = 0;
        if let Some(held) = self.0.upgrade() {
            number = held.requests.get();
            held.requests.set(number.wrapping_add(1));
            held.open.set(held.open.get() + 1);
            held.ahead.borrow_mut().come();
            held.patience.borrow_mut().begin();
            // Of those that the client has given up some may still be worked on.
            let most = held.http.http2_max_streams.saturating_mul(2);
            if held.is_http2 && held.open.get() == most + 1 {
                held.cut("streams");
            }
        }
        let held = Weak::clone(&self.0);
        Answering { held, number }
    }

    /// Somebody waits for more of a request's body.
    pub(in crate::transport) fn await_body(&self) {
        if let Some(held) = self.0.upgrade() {
            held.ahead.borrow_mut().wait();
            held.wake_held_back();
        }
    }

    /// Nobody waits for it any more.
    pub(in crate::transport) fn body_came(&self) {
        if let Some(held) = self.0.upgrade() {
            held.ahead.borrow_mut().come();
        }
    }

    /// An event stream is sent, for as long as this is kept: what was read ahead may be no more
    /// than `http.read_ahead_bytes`, or the connection is cut, as the end of a stream's client
    /// must be noticed; and it is the hub that has an eye on whether the peer takes anything.
    pub(in crate::transport) fn streaming(&self) -> Streaming {
        if let Some(held) = self.0.upgrade() {
            held.streams.set(held.streams.get() + 1);
            held.wake_held_back();
        }
        Streaming(Weak::clone(&self.0))
    }

    /// Makes the socket ready for a stream: small writes leave at once, and a peer that
    /// acknowledges nothing for `patience` is given up by the kernel (`TCP_USER_TIMEOUT`), which
    /// is the only one who knows.
    pub(in crate::transport) fn prepare(
        &self,
        config: &WebSocket,
        patience: Duration,
    ) -> io::Result<()> {
        let held = self.0.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let socket = held.socket.tcp();
        prepare(socket, config)?;
        socket2::SockRef::from(socket).set_tcp_user_timeout(Some(patience))
    }

    /// Whether the peer has said that it sends no more. A client of a stream says so by going.
    pub(in crate::transport) fn has_ended(&self) -> bool {
        self.0.upgrade().is_none_or(|held| held.has_ended.get())
    }
}

impl Answering {
    /// A part of the answer was handed out. HTTP/2 may keep it for a peer that gives its stream no
    /// window, and the socket below knows nothing of that.
    pub(in crate::transport) fn given(&self) {
        if let Some(held) = self.held.upgrade()
            && held.is_http2
        {
            held.untaken.borrow_mut().given(self.number, Instant::now());
            // It sets its timer.
            held.wake_reader();
        }
    }

    /// The next part is asked for.
    pub(in crate::transport) fn taken(&self) {
        if let Some(held) = self.held.upgrade()
            && held.is_http2
        {
            held.untaken.borrow_mut().taken(self.number);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.taken();
        let Some(held) = self.held.upgrade() else {
            return;
        };
        held.open.set(held.open.get().saturating_sub(1));
        let is_first = held.patience.borrow_mut().end(Instant::now());
        if is_first {
            // It asks again, and is woken by the timer from now on.
            held.wake_reader();
        } else if held.open.get() == 0 {
            held.wake_held_back();
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(held) = self.0.upgrade() {
            held.streams.set(held.streams.get().saturating_sub(1));
        }
    }
}

impl Hold for SocketHold {
    fn cut(&self) {
        if let Some(held) = self.0.upgrade() {
            // An error means that the socket has ended already.
            held.socket.reset().ok();
        }
    }

    fn written_bytes(&self) -> u64 {
        self.0.upgrade().map_or(0, |held| held.written_bytes.get())
    }
}
