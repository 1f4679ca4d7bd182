//! A connection's socket and what waits to be written to it.
//!
//! Everything that a connection's thread has for it is pushed here; one `flush` writes as much as
//! the socket takes, many frames in one `writev`. Nothing is allocated while nothing waits.
//!
//! The socket of an event stream belongs to its transport: there a `flush` only says that there is
//! something to take. So it does for a session that polls.

mod age;
mod batch;
mod end;
mod parts;
mod polled;
mod queue;
mod send;
mod sink;
mod socket;
mod stream;
mod waiting;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

pub(crate) use self::batch::{BATCH_MAX_BYTES, Batch};
pub(crate) use self::parts::{Parts, held_bytes};
use self::queue::Queue;
pub(crate) use self::send::Tally;
pub use self::sink::Hold;
use self::sink::Sink;
pub use self::socket::{DetachedSocket, Socket, TlsSocket};
use self::waiting::Waiting;
use crate::config;
use crate::hub::metrics::{PONGS_SAVED, SOCKET_WRITES};
use crate::protocol::close::Disconnect;
use crate::protocol::{sse, websocket};

/// At most this many parts of frames go into one `writev`: a client that was behind gets what
/// waits in few of them, and the kernel takes up to 1024.
const PARTS_PER_WRITE: usize = 256;

/// Whether a frame may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Never: if there is no room for it, the connection ends.
    Durable,
    /// When the outbox is filling up.
    Ephemeral,
}

/// What became of a pushed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits for the next flush.
    Queued,
    /// It was ephemeral and there was little room, or the connection is closing.
    Dropped,
    /// It was durable and there was no room: the connection is closed as `slow` now.
    Overflowed,
}

/// Bounds of an outbox; one for all of a thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxLimits {
    /// The memory that what waits may take in all, bytes.
    pub(crate) max_bytes: usize,
    /// Above this fill ephemeral frames are dropped, bytes.
    pub(crate) ephemeral_max_bytes: usize,
    /// What has waited for longer makes the peer a slow one.
    pub(crate) max_age: Duration,
    /// A full one that is not emptied for longer does so, too.
    pub(crate) max_stall: Duration,
}

impl From<&config::WebSocket> for OutboxLimits {
    fn from(config: &config::WebSocket) -> Self {
        Self {
            max_bytes: config.outbox_max_bytes,
            ephemeral_max_bytes: config.ephemeral_max_bytes,
            max_age: Duration::from_millis(config.outbox_max_age_ms),
            max_stall: Duration::from_millis(config.outbox_max_stall_ms),
        }
    }
}

/// The socket and its queue. It lives on one worker thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    sink: Sink,
    limits: Rc<OutboxLimits>,
    queue: RefCell<Queue>,
    /// A task waits for the socket to take more.
    is_blocked: Cell<bool>,
    closing: Cell<Option<Disconnect>>,
    is_shut: Cell<bool>,
    /// The peer sends nothing more.
    has_peer_ended: Cell<bool>,
    /// There only while something waits, or somebody waits for that.
    waiting: RefCell<Option<Box<Waiting>>>,
}

impl Outbox {
    /// For a socket that has been handed over after its handshake.
    pub(crate) fn new(socket: Socket, limits: Rc<OutboxLimits>) -> Rc<Self> {
        Self::with(Sink::Socket(socket), limits)
    }

    fn with(sink: Sink, limits: Rc<OutboxLimits>) -> Rc<Self> {
        Rc::new(Self {
            sink,
            limits,
            queue: RefCell::default(),
            is_blocked: Cell::new(false),
            closing: Cell::new(None),
            is_shut: Cell::new(false),
            has_peer_ended: Cell::new(false),
            waiting: RefCell::default(),
        })
    }

    /// Adds a frame; [`Outbox::flush`] writes it.
    pub(crate) fn push(&self, frame: Bytes, class: Class) -> Pushed {
        self.push_parts(frame.into(), class)
    }

    /// Adds a frame that is made of several parts.
    pub(crate) fn push_parts(&self, frame: Parts, class: Class) -> Pushed {
        if self.is_over() {
            return Pushed::Dropped;
        }
        let mut queue = self.queue.borrow_mut();
        let max_bytes = match class {
            Class::Durable => self.limits.max_bytes,
            Class::Ephemeral => self.limits.ephemeral_max_bytes,
        };
        // One frame is always taken by an empty outbox, whatever its size.
        let bytes = frame.held_bytes();
        if !queue.is_empty() && queue.held_bytes() + bytes > max_bytes {
            drop(queue);
            return match class {
                Class::Ephemeral => Pushed::Dropped,
                Class::Durable => {
                    self.close(Disconnect::Slow);
                    Pushed::Overflowed
                }
            };
        }
        queue.push(frame);
        Pushed::Queued
    }

    /// Whether its socket takes no more for the moment, or it is closing.
    pub(crate) fn needs_care(&self) -> bool {
        self.is_blocked.get() || self.closing.get().is_some()
    }

    /// What waits, bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.borrow().bytes()
    }

    /// Adds the answer to a ping. A client that takes nothing has only its last ping answered
    /// (RFC 6455 §5.5.3), so that however many it sends, no more than one answer waits.
    pub(crate) fn push_pong(&self, frame: Bytes) {
        if self.is_blocked.get() && self.queue.borrow_mut().drop_last_pong() {
            PONGS_SAVED.inc();
        }
        if self.push(frame, Class::Durable) == Pushed::Queued {
            self.queue.borrow_mut().mark_pong();
        }
    }

    /// Memory up to which a replay may fill it, bytes. The other half is for what is said meanwhile: a
    /// client must not be closed as slow because it was given what it had missed.
    pub(crate) fn replay_bytes(&self) -> usize {
        self.limits.max_bytes / 2
    }

    /// Whether frames of a replay, that take this many [bytes](held_bytes) together, may wait
    /// besides what waits already.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.queue.borrow().held_bytes() + bytes <= self.replay_bytes()
    }

    /// Whether a replay's frame that takes this many bytes may be added now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.queue.borrow().is_empty() || self.fits(bytes)
    }

    /// Whether several durable frames that take so many bytes in all would be taken now, with some
    /// room left.
    pub(crate) fn has_room_for_all(&self, bytes: usize) -> bool {
        let max_bytes = self.limits.max_bytes - self.limits.max_bytes / 8;
        self.queue.borrow().held_bytes() + bytes <= max_bytes
    }

    /// Whether an event of a room may be added: what cannot be read again, as replies, has some room
    /// of its own. One event is always taken by an empty outbox, and everything by one that is over.
    pub(crate) fn takes_event(&self, bytes: usize) -> bool {
        self.has_room_for_all(bytes) || self.queue.borrow().is_empty() || self.is_over()
    }

    /// Adds the close frame, after which nothing more is sent. A slow reader gets it instead of
    /// what waits: it has to resume anyway.
    pub(crate) fn close(&self, reason: Disconnect) {
        if self.closing.replace(Some(reason)).is_some() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        if reason == Disconnect::Slow {
            queue.drop_whole_frames();
        }
        let close = || websocket::encode::close(reason.code(), reason.reason());
        let frame = match &self.sink {
            Sink::Socket(_) => close(),
            Sink::Stream(_) => sse::close(reason),
            Sink::Polled(polled) => {
                if let Some(farewell) = polled.farewell(reason) {
                    queue.push(farewell.into());
                }
                if polled.socket().is_none() {
                    // Its session says that it ends.
                    return;
                }
                close()
            }
        };
        queue.push(frame.into());
    }

    /// Why the hub is closing the connection, if it is.
    pub(crate) fn closing(&self) -> Option<Disconnect> {
        self.closing.get()
    }

    /// Whether nothing of what its client still asks for counts: it is closing, or has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.closing.get().is_some() || self.is_shut.get()
    }

    /// Ends the socket now, whatever waits: the connection's actor reads the end of the stream.
    pub(crate) fn shut(&self) {
        if self.is_shut.replace(true) {
            return;
        }
        self.queue.borrow_mut().clear();
        self.waiting.take();
        if let Some(socket) = self.socket() {
            // An error means that it has ended already.
            if self.is_blocked.get() {
                socket.reset().ok();
            } else {
                socket.shutdown().ok();
            }
        }
        match &self.sink {
            Sink::Socket(_) => {}
            Sink::Stream(taker) => {
                taker.hold.cut();
                taker.wake();
            }
            Sink::Polled(polled) => polled.wake(),
        }
    }

    /// The socket that it writes to, if there is one.
    fn socket(&self) -> Option<&Socket> {
        match &self.sink {
            Sink::Socket(socket) => Some(socket),
            Sink::Stream(_) => None,
            Sink::Polled(polled) => polled.socket(),
        }
    }

    /// Writes what the socket takes. If it does not take all, a task goes on when it takes more.
    pub(crate) fn flush(self: &Rc<Self>) {
        if self.is_shut.get() {
            return;
        }
        let Some(socket) = self.socket() else {
            return self.sink.wake();
        };
        if self.is_blocked.get() {
            return self.note_age();
        }
        match self.write(socket) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_blocked.set(true);
                self.note_age();
                actix_rt::spawn(Rc::clone(self).flush_when_writable());
            }
            Err(_) => self.shut(),
        }
    }

    async fn flush_when_writable(self: Rc<Self>) {
        let Some(socket) = self.socket() else {
            return;
        };
        let written = loop {
            if let Err(error) = socket.writable().await {
                break Err(error);
            }
            match self.write(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.is_shut.get() => {}
                written => break written,
            }
        };
        self.is_blocked.set(false);
        let is_awaited = |waiting: &mut Box<Waiting>| {
            waiting.ages.clear();
            waiting.drained.is_some()
        };
        let mut waiting = self.waiting.borrow_mut();
        waiting.take_if(|waiting| !is_awaited(waiting));
        drop(waiting);
        if written.is_err() {
            self.shut();
        }
    }

    /// Writes until nothing waits or the socket takes no more (`WouldBlock`).
    fn write(&self, socket: &Socket) -> io::Result<()> {
        let mut queue = self.queue.borrow_mut();
        while let Some(front) = queue.front() {
            let written = if queue.parts() == 1 {
                socket.try_write(front)?
            } else {
                let mut slices = [IoSlice::new(&[]); PARTS_PER_WRITE];
                let count = queue.gather(&mut slices);
                socket.try_write_vectored(&slices[..count])?
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            SOCKET_WRITES.inc();
            queue.advance(written);
            self.note_drained(&queue);
        }
        // An idle connection holds no buffer.
        queue.clear();
        socket.try_flush()
    }

    /// Whether something waits for the socket to take more.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// How long something may wait.
    pub(crate) fn max_age(&self) -> Duration {
        self.limits.max_age
    }

    /// How long a full one may go without anything being taken.
    pub(crate) fn max_stall(&self) -> Duration {
        self.limits.max_stall
    }

    /// What the socket, or a stream's transport, has taken in all, bytes.
    pub(crate) fn taken(&self) -> u64 {
        self.queue.borrow().taken()
    }

    /// Ready when the socket has something to read, or has ended.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket() {
            Some(socket) => socket.poll_read_ready(cx),
            // Nothing is read from a stream.
            None => Poll::Pending,
        }
    }

    /// Reads what is there.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.socket() {
            Some(socket) => {
                let read = socket.try_read(buffer);
                if matches!(read, Ok(0)) {
                    self.has_peer_ended.set(true);
                }
                read
            }
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
