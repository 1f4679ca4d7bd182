//! The socket below an HTTP dispatcher, with a hold on it.
//!
//! A dispatcher does not ask a body for more while the peer takes nothing, so nothing that a body
//! would say can end the connection. Whoever holds the socket can: a socket that is shut down
//! wakes the dispatcher, which finds that it can neither read nor write, and is gone.
//!
//! The dispatcher waits for such a peer without an end, and reads on meanwhile. So the time in
//! which nothing is taken, and what is read ahead, are bounded here.

mod ahead;
mod dispatched;
mod heads;
mod hold;
mod patience;
mod streams;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use actix_http::Protocol;
use actix_rt::net::TcpStream;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use self::ahead::Ahead;
use self::heads::Heads;
pub(super) use self::hold::{Answering, SocketHold, Streaming};
use self::patience::Patience;
use self::streams::{ANNOUNCED_OF, Untaken, announced, goaway};
use super::metrics::CUT;
use super::places::TcpPlace;
use crate::config;
use crate::hub::connection::Socket;

/// The socket. It is the dispatcher's; it belongs to one thread, as that does.
#[derive(Debug)]
pub(super) struct HeldStream(Rc<Held>);

#[derive(Debug)]
struct Held {
    socket: Socket,
    place: TcpPlace,
    http: Arc<config::Http>,
    is_http2: bool,
    /// With who sends nothing, where the dispatcher has none.
    patience: RefCell<Patience>,
    untaken: RefCell<Untaken>,
    /// Of HTTP/2.
    heads: RefCell<Option<Heads>>,
    /// Of HTTP/2: what is left to say of the frame that says how many requests there may be.
    /// None before it.
    announcing: RefCell<Option<Vec<u8>>>,
    /// Numbers the requests.
    requests: Cell<u32>,
    ahead: RefCell<Ahead>,
    /// Wakes the dispatcher for the patience.
    timer: RefCell<Option<Pin<Box<Sleep>>>>,
    /// Wakes it when the peer has taken nothing for too long: there while it takes nothing.
    stalled: RefCell<Option<Pin<Box<Sleep>>>>,
    reader: RefCell<Option<Waker>>,
    /// The reader was given nothing of what may be there.
    is_held_back: Cell<bool>,
    /// Requests that are being answered.
    open: Cell<u32>,
    /// Event streams among the answers, which have a patience of their own.
    streams: Cell<u32>,
    written_bytes: Cell<u64>,
    has_ended: Cell<bool>,
}

impl HeldStream {
    pub(super) fn new(
        socket: Socket,
        place: TcpPlace,
        protocol: Protocol,
        http: &Arc<config::Http>,
    ) -> Self {
        let is_http2 = protocol == Protocol::Http2;
        let patience = Patience::of(http, is_http2, Instant::now());
        Self(Rc::new(Held {
            socket,
            place,
            http: Arc::clone(http),
            is_http2,
            patience: RefCell::new(patience),
            untaken: RefCell::default(),
            heads: RefCell::new(is_http2.then(|| Heads::new(http.max_head_bytes))),
            announcing: RefCell::new((!is_http2).then(Vec::new)),
            requests: Cell::new(0),
            ahead: RefCell::new(Ahead::new(http.read_ahead_bytes)),
            timer: RefCell::default(),
            stalled: RefCell::default(),
            reader: RefCell::default(),
            is_held_back: Cell::new(false),
            open: Cell::new(0),
            streams: Cell::new(0),
            written_bytes: Cell::new(0),
            has_ended: Cell::new(false),
        }))
    }

    pub(super) fn hold(&self) -> SocketHold {
        SocketHold::of(&self.0)
    }

    /// The socket itself, which nobody holds any more, and its place.
    pub(super) fn into_inner(self) -> Option<(Socket, TcpPlace)> {
        let held = Rc::into_inner(self.0)?;
        Some((held.socket, held.place))
    }
}

impl Held {
    /// Writes by `write`, when the socket takes something.
    fn poll_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.socket.poll_write_ready(cx) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => return self.poll_stalled(cx).map(Err),
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    let before = self.written_bytes.get();
                    self.written_bytes.set(before + bytes as u64);
                    self.progress();
                    return Poll::Ready(Ok(bytes));
                }
            }
        }
    }

    /// Writes what is in `slices`.
    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let is_said = self.announcing.borrow().as_ref().is_some_and(Vec::is_empty);
        if !is_said {
            let first = slices.first().map_or(&[][..], |slice| slice);
            if ready!(self.poll_announce(cx, first))? {
                return Poll::Ready(Ok(ANNOUNCED_OF));
            }
        }
        self.poll_by(cx, |socket| socket.try_write_vectored(slices))
    }

    /// Says how many requests there may be at once, and of which size, in place of the head of the first frame, which
    /// is there to be written. False if that is not the frame in which it is said.
    fn poll_announce(&self, cx: &mut Context<'_>, first: &[u8]) -> Poll<io::Result<bool>> {
        let mut announcing = self.announcing.borrow_mut();
        if announcing.is_none() {
            let (streams, head_bytes) = (self.http.http2_max_streams, self.http.max_head_bytes);
            let frame = announced(first, streams, head_bytes);
            *announcing = Some(frame.map_or_else(Vec::new, Vec::from));
        }
        let Some(left) = announcing.as_mut().filter(|left| !left.is_empty()) else {
            return Poll::Ready(Ok(false));
        };
        while !left.is_empty() {
            let written = ready!(self.poll_by(cx, |socket| socket.try_write(left)))?;
            left.drain(..written);
        }
        Poll::Ready(Ok(true))
    }

    /// What TLS has left to write.
    fn poll_rest(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&Socket, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match poll(&self.socket, cx) {
            Poll::Ready(done) => {
                self.progress();
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    /// The peer has taken something.
    fn progress(&self) {
        if self.stalled.take().is_some() {
            self.wake_held_back();
        }
    }

    /// Ready when the peer has taken nothing for too long.
    fn poll_stalled(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let patience = Duration::from_millis(self.http.write_timeout_ms);
        let mut stalled = self.stalled.borrow_mut();
        let timer = stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        while timer.as_mut().poll(cx).is_ready() {
            // The hub has an eye on it, and says why it ends.
            if self.streams.get() == 0 {
                self.cut("not_reading");
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(tokio::time::Instant::now() + patience);
        }
        Poll::Pending
    }

    /// Whether the dispatcher is to have whatever comes. Not while the peer takes nothing: it
    /// could ask for answers without an end.
    fn is_asked(&self) -> bool {
        self.stalled.borrow().is_none() && (self.is_http2 || self.open.get() == 0)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.is_held_back.set(false);
        let is_asked = self.is_asked();
        let most = if is_asked {
            buffer.remaining()
        } else if self.is_http2 {
            0
        } else {
            self.ahead.borrow().left().min(buffer.remaining())
        };
        if most == 0 && buffer.remaining() > 0 {
            if !self.is_http2 && self.streams.get() > 0 {
                // It would not be noticed when the client goes.
                self.cut("read_ahead");
                return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
            }
            self.is_held_back.set(true);
            return self.poll_patience(cx).map(Err);
        }
        let before = buffer.filled().len();
        loop {
            match self.socket.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    if is_asked {
                        self.ahead.borrow_mut().wait();
                    }
                    return self.poll_patience(cx).map(Err);
                }
            }
            let read = if is_asked {
                self.socket.try_read_buf(buffer)
            } else {
                let part = buffer.initialize_unfilled_to(most);
                let read = self.socket.try_read(part);
                read.inspect(|bytes| buffer.advance(*bytes))
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    let new = &buffer.filled()[before..];
                    let mut heads = self.heads.borrow_mut();
                    if heads.as_mut().is_some_and(|heads| !heads.come(new)) {
                        self.cut("head");
                        return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
                    }
                    self.ahead.borrow_mut().read(bytes);
                    if bytes == 0 {
                        self.has_ended.set(true);
                    }
                    self.patience.borrow_mut().read(Instant::now());
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Ready when the patience is over.
    fn poll_patience(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut reader = self.reader.borrow_mut();
        if !reader.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        let patience = self.patience.borrow();
        let write_timeout = Duration::from_millis(self.http.write_timeout_ms);
        let untaken = self.untaken.borrow().deadline(write_timeout);
        let look_again = patience.look_again(Instant::now());
        let Some(next) = [look_again, untaken].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let next = tokio::time::Instant::from(next);
        let mut timer = self.timer.borrow_mut();
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        // One that is early is set anew when it wakes: most waits are put off before.
        if timer.deadline() > next {
            timer.as_mut().reset(next);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if patience.is_over(now) {
                self.say_goodbye();
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            if untaken.is_some_and(|deadline| now >= deadline) {
                self.cut("not_reading");
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(next);
        }
        Poll::Pending
    }

    /// Tells a client of HTTP/2 that has no request that the connection ends. Everything that was to
    /// be written before has been, unless it is stalled.
    fn say_goodbye(&self) {
        let is_begun = self.announcing.borrow().as_ref().is_some_and(Vec::is_empty);
        if let Some(heads) = &*self.heads.borrow()
            && is_begun
            && self.stalled.borrow().is_none()
        {
            // What does not go at once is not worth waiting for.
            let frame = goaway(heads.last_stream());
            let _ = self.socket.try_write(&frame);
            let _ = self.socket.try_flush();
        }
    }

    /// Ends the socket.
    fn cut(&self, reason: &str) {
        CUT.with_label_values(&[reason]).inc();
        // The kernel would keep what the peer has not taken. An error means the end, too.
        self.socket.reset().ok();
    }

    /// Has the dispatcher read again, if it was kept from that.
    fn wake_held_back(&self) {
        if self.is_held_back.get() {
            self.wake_reader();
        }
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Small frames leave at once, and the kernel holds no more for a peer that does not read than
/// it is allowed to.
pub(super) fn prepare(socket: &TcpStream, config: &config::WebSocket) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = socket2::SockRef::from(socket);
    if config.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(config.send_buffer_bytes)?;
    }
    #[cfg(target_os = "linux")]
    if config.notsent_lowat_bytes > 0 {
        socket.set_tcp_notsent_lowat(config.notsent_lowat_bytes)?;
    }
    Ok(())
}
