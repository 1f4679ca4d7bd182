//! Sending what many connections get: past the queue, where nothing waits in it.

use std::io;
use std::rc::Rc;

use bytes::Bytes;

use super::{Batch, Class, Outbox, Pushed, Socket, held_bytes};
use crate::hub::metrics::{DELIVERIES, EPHEMERAL_DROPPED, SOCKET_WRITES};

/// What was done for connections, counted here and told to the metrics once in a while.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Frames that were sent, or wait in an outbox.
    pub(crate) delivered: u64,
    /// Ephemeral frames that found too much waiting.
    pub(crate) dropped: u64,
    /// Writes.
    pub(crate) writes: u64,
}

impl Tally {
    /// A frame was pushed.
    pub(crate) fn count(&mut self, pushed: Pushed, class: Class) {
        match pushed {
            Pushed::Queued => self.delivered += 1,
            Pushed::Dropped if class == Class::Ephemeral => self.dropped += 1,
            Pushed::Dropped | Pushed::Overflowed => {}
        }
    }

    /// Tells the metrics.
    pub(crate) fn tell(&self) {
        DELIVERIES.inc_by(self.delivered);
        SOCKET_WRITES.inc_by(self.writes);
        if self.dropped > 0 {
            let dropped = EPHEMERAL_DROPPED.with_label_values(&["outbox"]);
            dropped.inc_by(self.dropped);
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// So many of its frames were dealt with. There is no room for the next one, which is durable.
    pub(crate) frames: usize,
    /// The connection needs to be looked after: its socket takes no more, or it is closing.
    pub(crate) needs_care: bool,
}

impl Outbox {
    /// Sends frames that others get, too: at once where nothing waits, after what waits otherwise,
    /// as far as there is room.
    pub(crate) fn send(self: &Rc<Self>, batch: &Batch, tally: &mut Tally) -> Sent {
        let mut frames = batch.len();
        let Some(socket) = self.ready() else {
            frames = self.queue_batch(batch.frames(), tally);
            self.flush();
            return self.sent(frames);
        };
        match socket.try_write(batch.bytes()) {
            Ok(written) if written == batch.bytes().len() => {
                self.queue.borrow_mut().passed(written);
                tally.writes += 1;
                tally.delivered += batch.len() as u64;
                if socket.try_flush().is_ok() {
                    return Sent {
                        frames,
                        needs_care: false,
                    };
                }
                // TLS holds the end of it: a task waits until the kernel takes that.
                self.flush();
            }
            Ok(0) => self.shut(),
            Ok(written) => {
                let (cut, whole) = batch.rest(written);
                tally.writes += 1;
                tally.delivered += (batch.len() - whole.len()) as u64;
                let mut queue = self.queue.borrow_mut();
                queue.passed(written);
                if let Some(cut) = cut {
                    queue.push_cut(cut);
                }
                drop(queue);
                frames -= whole.len() - self.queue_batch(whole, tally);
                self.flush();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                frames = self.queue_batch(batch.frames(), tally);
                // It finds the same without asking the kernel again, and has a task wait.
                self.flush();
            }
            Err(_) => self.shut(),
        }
        self.sent(frames)
    }

    fn sent(&self, frames: usize) -> Sent {
        Sent {
            frames,
            needs_care: self.needs_care(),
        }
    }

    /// The socket, if a frame can be written to it now.
    fn ready(&self) -> Option<&Socket> {
        let is_open = !self.is_blocked.get() && !self.is_over();
        let socket = self.socket()?;
        (is_open && self.queue.borrow().is_empty()).then_some(socket)
    }

    /// Queues frames up to the first durable one that has no room, and says how many.
    fn queue_batch(&self, frames: &[(Bytes, Class)], tally: &mut Tally) -> usize {
        for (at, (frame, class)) in frames.iter().enumerate() {
            if *class == Class::Durable && !self.takes_event(held_bytes([frame.len()])) {
                return at;
            }
            tally.count(self.push(frame.clone(), *class), *class);
        }
        frames.len()
    }
}
