//! A connection's socket and what waits to be written to it.
//!
//! Everything that a connection's thread has for it is pushed here; one `flush` writes as much as
//! the socket takes, many frames in one `writev`. Nothing is allocated while nothing waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_rt::net::TcpStream;
use bytes::{Buf as _, Bytes};
use tokio::sync::oneshot;

use crate::protocol::close::Disconnect;
use crate::protocol::websocket;

/// At most this many frames go into one `writev`.
const FRAMES_PER_WRITE: usize = 64;

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

/// Bounds of an outbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxLimits {
    /// What may wait in all, bytes.
    pub(crate) max_bytes: usize,
    /// Above this fill ephemeral frames are dropped, bytes.
    pub(crate) ephemeral_max_bytes: usize,
}

/// The socket and its queue. It lives on one worker thread.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: TcpStream,
    limits: OutboxLimits,
    queue: RefCell<Queue>,
    /// A task waits for the socket to take more.
    is_blocked: Cell<bool>,
    closing: Cell<Option<Disconnect>>,
    is_shut: Cell<bool>,
    /// Told when no more than so many bytes wait, or never will.
    drained: RefCell<Option<(usize, oneshot::Sender<()>)>>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The first frame has been written in part: it cannot be taken back.
    front_is_cut: bool,
    /// What the socket has taken in all, bytes.
    taken: u64,
}

impl Outbox {
    /// For a socket that has been handed over after its handshake.
    pub(crate) fn new(socket: TcpStream, limits: OutboxLimits) -> Rc<Self> {
        Rc::new(Self {
            socket,
            limits,
            queue: RefCell::default(),
            is_blocked: Cell::new(false),
            closing: Cell::new(None),
            is_shut: Cell::new(false),
            drained: RefCell::default(),
        })
    }

    /// Adds a frame; [`Outbox::flush`] writes it.
    pub(crate) fn push(&self, frame: Bytes, class: Class) -> Pushed {
        if self.closing.get().is_some() || self.is_shut.get() {
            return Pushed::Dropped;
        }
        let mut queue = self.queue.borrow_mut();
        let max_bytes = match class {
            Class::Durable => self.limits.max_bytes,
            Class::Ephemeral => self.limits.ephemeral_max_bytes,
        };
        // One frame is always taken by an empty outbox, whatever its size.
        if !queue.frames.is_empty() && queue.bytes + frame.len() > max_bytes {
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

    /// Bytes up to which a replay may fill it. The other half is for what is said meanwhile: a
    /// client must not be closed as slow because it was given what it had missed.
    pub(crate) fn replay_bytes(&self) -> usize {
        self.limits.max_bytes / 2
    }

    /// Whether a replay's frame of this many bytes may be added now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.queue.borrow().frames.is_empty() || self.has_room_for_all(bytes)
    }

    /// Whether frames of a replay, of this many bytes together, may be added at once.
    pub(crate) fn has_room_for_all(&self, bytes: usize) -> bool {
        self.queue.borrow().bytes + bytes <= self.replay_bytes()
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
        queue.push(websocket::encode::close(reason.code(), reason.reason()));
    }

    /// Why the hub is closing the connection, if it is.
    pub(crate) fn closing(&self) -> Option<Disconnect> {
        self.closing.get()
    }

    /// Ends the socket now, whatever waits: the connection's actor reads the end of the stream.
    pub(crate) fn shut(&self) {
        if self.is_shut.replace(true) {
            return;
        }
        self.queue.borrow_mut().clear();
        self.drained.take();
        let socket = socket2::SockRef::from(&self.socket);
        // An error means that it has ended already.
        socket.shutdown(std::net::Shutdown::Both).ok();
    }

    /// Whether the socket was ended from this side.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// Writes what the socket takes. If it does not take all, a task goes on when it takes more.
    pub(crate) fn flush(self: &Rc<Self>) {
        if self.is_blocked.get() || self.is_shut.get() {
            return;
        }
        match self.write() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_blocked.set(true);
                actix_rt::spawn(Rc::clone(self).flush_when_writable());
            }
            Err(_) => self.shut(),
        }
    }

    async fn flush_when_writable(self: Rc<Self>) {
        let written = loop {
            if let Err(error) = self.socket.writable().await {
                break Err(error);
            }
            match self.write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.is_shut.get() => {}
                written => break written,
            }
        };
        self.is_blocked.set(false);
        if written.is_err() {
            self.shut();
        }
    }

    /// Writes until nothing waits or the socket takes no more (`WouldBlock`).
    fn write(&self) -> io::Result<()> {
        let mut queue = self.queue.borrow_mut();
        while !queue.frames.is_empty() {
            let written = if queue.frames.len() == 1 {
                self.socket.try_write(&queue.frames[0])?
            } else {
                let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
                let count = queue.frames.len().min(FRAMES_PER_WRITE);
                for (slice, frame) in slices.iter_mut().zip(&queue.frames) {
                    *slice = IoSlice::new(frame);
                }
                self.socket.try_write_vectored(&slices[..count])?
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            queue.advance(written);
            let is_drained = |waiting: &(usize, _)| queue.bytes <= waiting.0;
            drop(self.drained.borrow_mut().take_if(|it| is_drained(it)));
        }
        // An idle connection holds no buffer.
        queue.frames = VecDeque::new();
        Ok(())
    }

    /// What the socket has taken in all, bytes.
    pub(crate) fn taken(&self) -> u64 {
        self.queue.borrow().taken
    }

    /// Waits until no more than `bytes` wait to be written, or the socket has ended. One at a
    /// time may wait.
    pub(crate) async fn drained_to(&self, bytes: usize) {
        if self.queue.borrow().bytes <= bytes || self.is_shut.get() {
            return;
        }
        let (drained, wait) = oneshot::channel();
        self.drained.replace(Some((bytes, drained)));
        // It is dropped rather than sent.
        wait.await.ok();
    }

    /// The connection's actor has gone: what waits may still be written, then the peer reads the
    /// end of the stream.
    pub(crate) fn finish(self: &Rc<Self>) {
        self.flush();
        if self.is_blocked.get() {
            // Nobody watches over it any more.
            self.shut();
        } else {
            let socket = socket2::SockRef::from(&self.socket);
            // An error means that it has ended already.
            socket.shutdown(std::net::Shutdown::Write).ok();
        }
    }

    /// Ready when the socket has something to read, or has ended.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Reads what is there.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buffer)
    }
}

impl Queue {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        self.taken += written as u64;
        while written > 0 {
            let Some(front) = self.frames.front_mut() else {
                return;
            };
            if front.len() > written {
                front.advance(written);
                self.front_is_cut = true;
                return;
            }
            written -= front.len();
            self.front_is_cut = false;
            self.frames.pop_front();
        }
    }

    fn drop_whole_frames(&mut self) {
        let keep = usize::from(self.front_is_cut);
        self.frames.truncate(keep);
        self.bytes = self.frames.iter().map(Bytes::len).sum();
    }

    fn clear(&mut self) {
        *self = Self {
            taken: self.taken,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_frame_is_kept_and_whole_ones_can_go() {
        let mut queue = Queue::default();
        for frame in ["abc", "def", "ghi"] {
            queue.push(Bytes::from_static(frame.as_bytes()));
        }
        queue.advance(4);
        assert_eq!(queue.frames, ["ef", "ghi"]);
        assert_eq!(queue.bytes, 5);
        queue.drop_whole_frames();
        assert_eq!(queue.frames, ["ef"]);
        queue.advance(2);
        queue.push(Bytes::from_static(b"xyz"));
        queue.drop_whole_frames();
        assert!(queue.frames.is_empty());
        assert_eq!(queue.bytes, 0);
    }
}
