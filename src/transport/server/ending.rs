//! The end of the HTTP side: which connections and requests it still has, and the word to them to
//! finish.
//!
//! The server has a graceful stop of its own, but looks only once a second whether its
//! connections are gone. So they are told, and counted, here; the server is stopped when there is
//! nothing left to wait for.

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// Tells HTTP connections to finish, and counts them. Cheap to clone. Sockets that were handed to
/// the hub are no longer among them.
#[derive(Clone, Debug)]
pub struct Ending {
    finish: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Ending {
    pub(super) fn new() -> Self {
        Self {
            finish: watch::Sender::new(false),
            connections: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// From now on an HTTP/1 connection is closed when it has no request, or has answered the one
    /// that it has. Those of HTTP/2 take no notice.
    pub fn finish(&self) {
        self.finish.send_replace(true);
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests that are being worked on; not those whose client still has to send something.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Resolves when connections are to finish.
    pub(in crate::transport) fn told(&self) -> impl Future<Output = ()> + use<> {
        let mut finish = self.finish.subscribe();
        async move {
            if finish.wait_for(|finish| *finish).await.is_err() {
                pending::<()>().await;
            }
        }
    }

    pub(in crate::transport) fn connection(&self) -> Counted {
        Counted::new(&self.connections)
    }

    pub(super) fn request(&self) -> Counted {
        Counted::new(&self.requests)
    }
}

/// One that is counted for as long as this is held.
pub(in crate::transport) struct Counted {
    count: Arc<AtomicUsize>,
    is_paused: Cell<bool>,
}

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self {
            count: Arc::clone(count),
            is_paused: Cell::new(false),
        }
    }

    /// Nobody need wait for it until this is taken back.
    pub(super) fn pause(&self, is_paused: bool) {
        match (self.is_paused.replace(is_paused), is_paused) {
            (false, true) => self.count.fetch_sub(1, Ordering::Relaxed),
            (true, false) => self.count.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.pause(true);
    }
}
