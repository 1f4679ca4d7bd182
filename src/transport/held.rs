//! The socket below an HTTP dispatcher, with a hold on it.
//!
//! A dispatcher does not ask a body for more while the peer takes nothing, so nothing that a body
//! would say can end the connection. Whoever holds the socket can: a socket that is shut down
//! wakes the dispatcher, which finds that it can neither read nor write, and is gone.

mod patience;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(super) use self::patience::Patience;
use super::places::TcpPlace;
use crate::config::WebSocket;
use crate::hub::connection::Socket;
use crate::hub::connection::stream::Hold;

/// The socket. It is the dispatcher's; it belongs to one thread, as that does.
#[derive(Debug)]
pub(super) struct HeldStream(Rc<Held>);

#[derive(Debug)]
struct Held {
    socket: Socket,
    place: TcpPlace,
    /// With who sends nothing, where the dispatcher has none; none for HTTP/2.
    patience: Option<RefCell<Patience>>,
    /// Wakes the dispatcher for it.
    timer: RefCell<Option<Pin<Box<Sleep>>>>,
    reader: RefCell<Option<Waker>>,
    written_bytes: Cell<u64>,
    has_ended: Cell<bool>,
    /// What may still be read, if that is bounded, bytes.
    readable_bytes: Cell<Option<usize>>,
}

/// A request that is being answered over it. Its drop says that this is over.
#[derive(Debug)]
pub(super) struct Answering(Weak<Held>);

/// The hold on it, for as long as it is there.
#[derive(Clone, Debug)]
pub(super) struct SocketHold(Weak<Held>);

impl HeldStream {
    /// `patience` is for HTTP/1.
    pub(super) fn new(socket: Socket, place: TcpPlace, patience: Option<Patience>) -> Self {
        Self(Rc::new(Held {
            socket,
            place,
            patience: patience.map(RefCell::new),
            timer: RefCell::default(),
            reader: RefCell::default(),
            written_bytes: Cell::new(0),
            has_ended: Cell::new(false),
            readable_bytes: Cell::new(None),
        }))
    }

    pub(super) fn hold(&self) -> SocketHold {
        SocketHold(Rc::downgrade(&self.0))
    }

    /// The socket itself, which nobody holds any more, and its place.
    pub(super) fn into_inner(self) -> Option<(Socket, TcpPlace)> {
        let held = Rc::into_inner(self.0)?;
        Some((held.socket, held.place))
    }

    /// Writes by `write`, when the socket takes something.
    fn poll_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.0.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.socket.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    let before = self.0.written_bytes.get();
                    self.0.written_bytes.set(before + bytes as u64);
                    return Poll::Ready(Ok(bytes));
                }
            }
        }
    }

    fn poll_read_some(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.socket.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return self.poll_patience(cx).map(Err),
            }
            match self.0.socket.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    if let Some(patience) = &self.0.patience {
                        patience.borrow_mut().read(Instant::now());
                    }
                    return Poll::Ready(read.map(drop));
                }
            }
        }
    }

    /// Ready when the patience is over.
    fn poll_patience(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(patience) = &self.0.patience else {
            return Poll::Pending;
        };
        let mut reader = self.0.reader.borrow_mut();
        if !reader.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        let patience = patience.borrow();
        let now = Instant::now();
        let Some(next) = patience.look_again(now) else {
            return Poll::Pending;
        };
        let next = tokio::time::Instant::from(next);
        let mut timer = self.0.timer.borrow_mut();
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        // One that is early is set anew when it wakes: most waits are put off before.
        if timer.deadline() > next {
            timer.as_mut().reset(next);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if patience.is_over(Instant::now()) {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}

impl SocketHold {
    /// A request is being answered, for as long as this is kept.
    pub(super) fn answering(&self) -> Answering {
        if let Some(held) = self.0.upgrade()
            && let Some(patience) = &held.patience
        {
            patience.borrow_mut().begin();
        }
        Answering(Weak::clone(&self.0))
    }

    /// Makes the socket ready for a stream: small writes leave at once, and a peer that
    /// acknowledges nothing for `patience` is given up by the kernel (`TCP_USER_TIMEOUT`), which
    /// is the only one who knows.
    pub(super) fn prepare(&self, config: &WebSocket, patience: Duration) -> io::Result<()> {
        let held = self.0.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let socket = held.socket.tcp();
        prepare(socket, config)?;
        socket2::SockRef::from(socket).set_tcp_user_timeout(Some(patience))
    }

    /// Bounds what is read from now on, or lifts that. An HTTP/1 dispatcher whose read buffer is
    /// full while an answer goes on asks again and again, for ever if the answer has no end.
    pub(super) fn bound_reading(&self, bytes: Option<usize>) {
        if let Some(held) = self.0.upgrade() {
            held.readable_bytes.set(bytes);
        }
    }

    /// Whether the peer has said that it sends no more. A client of a stream says so by going.
    pub(super) fn has_ended(&self) -> bool {
        self.0.upgrade().is_none_or(|held| held.has_ended.get())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Some(held) = self.0.upgrade() else { return };
        let Some(patience) = &held.patience else {
            return;
        };
        if patience.borrow_mut().end(Instant::now())
            && let Some(reader) = held.reader.take()
        {
            // It asks again, and is woken by the timer from now on.
            reader.wake();
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

impl AsyncRead for HeldStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.poll_read_some(cx, buffer);
        if let Poll::Ready(Ok(())) = &read {
            let bytes = buffer.filled().len() - before;
            if bytes == 0 {
                self.0.has_ended.set(true);
            }
            if let Some(readable) = self.0.readable_bytes.get() {
                let Some(left) = readable.checked_sub(bytes) else {
                    return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
                };
                self.0.readable_bytes.set(Some(left));
            }
        }
        read
    }
}

impl AsyncWrite for HeldStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_by(cx, |socket| socket.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.socket.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.socket.poll_finish(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_by(cx, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl ActixStream for HeldStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.0
            .socket
            .poll_read_ready(cx)
            .map_ok(|()| Ready::READABLE)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.0
            .socket
            .poll_write_ready(cx)
            .map_ok(|()| Ready::WRITABLE)
    }
}

/// Small frames leave at once, and the kernel holds no more for a peer that does not read than
/// it is allowed to.
pub(super) fn prepare(socket: &TcpStream, config: &WebSocket) -> io::Result<()> {
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
