//! How a connection's socket ends, by the book.

use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::Outbox;

impl Outbox {
    /// The connection's actor has gone. What waits may still be written within `patience`, then the
    /// peer reads the end of the stream, and what it still sends until it has ended its side is
    /// thrown away: closing before that would have the kernel reset the connection, and the close
    /// frame could be lost (RFC 6455 §7.1.1). What a stream's transport, or a poll, has not taken it never will.
    /// `keep` is dropped with the socket.
    pub(crate) fn finish(self: &Rc<Self>, keep: Option<Box<dyn Debug>>, patience: Duration) {
        let Some(socket) = self.socket() else {
            self.is_shut.set(true);
            self.queue.borrow_mut().clear();
            self.waiting.take();
            return;
        };
        self.flush();
        if self.is_shut.get() {
            return;
        }
        if self.has_peer_ended.get() {
            if self.is_blocked.get() {
                // Nobody takes what waits.
                self.shut();
            } else {
                // An error means that it has ended already.
                socket.finish().ok();
            }
            return;
        }
        let outbox = Rc::clone(self);
        actix_rt::spawn(async move {
            let ending = tokio::time::timeout(patience, outbox.end());
            if ending.await.is_err() {
                outbox.shut();
            }
            drop((outbox, keep));
        });
    }

    async fn end(&self) {
        self.drained_to(0).await;
        if let Some(socket) = self.socket() {
            // An error means that it has ended already.
            poll_fn(|cx| socket.poll_finish(cx)).await.ok();
        }
        let mut scratch = [0; 1024];
        while !self.is_shut.get() {
            if poll_fn(|cx| self.poll_readable(cx)).await.is_err() {
                return;
            }
            match self.read(&mut scratch) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
