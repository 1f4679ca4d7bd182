//! Who is online, for the column `users.online_status`: whoever has a connection to any node.
//!
//! Each node writes of its own users, gathered, into `online_users`; from that the column follows.
//! What a node has written counts for as long as that life of it: the first of the living, by name,
//! removes what dead ones have left, and corrects what is wrong besides. A node that is the only one
//! writes its end itself.

mod book;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;

use self::book::{Book, Page};
use super::HubHandle;
use super::metrics::{ONLINE_FAILED, ONLINE_WRITTEN};
use super::peers::PeerEvent;
use crate::config::Config;
use crate::protocol::id::UserId;
use crate::protocol::origin::Origin;
use crate::store::{StoreError, online_users};

/// Users written of at once.
const BATCH_MAX: usize = 1000;

/// How often what others have left is looked for, and what is written compared.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// For all writing at the node's end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Who is connected to this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Online {
    book: Arc<Mutex<Book>>,
    /// One at a time writes.
    writing: Arc<tokio::sync::Mutex<()>>,
    every: Duration,
    grace: Duration,
    lease: Duration,
}

impl Online {
    pub(crate) fn new(config: &Config) -> Self {
        let grace = Duration::from_millis(config.hub.presence_grace_ms);
        Self {
            book: Arc::new(Mutex::new(Book::new(grace))),
            writing: Arc::default(),
            every: Duration::from_millis(config.hub.online_every_ms),
            grace,
            lease: Duration::from_millis(config.node.lease_ms),
        }
    }

    /// A connection of a user has begun.
    pub(crate) fn arrive(&self, user: UserId) {
        self.book.lock().arrive(user);
    }

    /// It has ended.
    pub(crate) fn depart(&self, user: UserId) {
        self.book.lock().depart(user, Instant::now());
    }

    /// Writes for as long as the node lives.
    pub(crate) async fn run(self, hub: HubHandle) {
        let mut events = hub.peer_events();
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Before that a node that lives may not have been heard.
        let mut sweep_at = Instant::now() + self.lease + self.every;
        let earliest = sweep_at;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let written = self.write(&hub).await;
                    let swept = if written.is_ok() && sweep_at <= Instant::now() {
                        sweep_at = Instant::now() + SWEEP_EVERY;
                        self.sweep(&hub).await
                    } else {
                        Ok(())
                    };
                    if let Err(error) = written.and(swept) {
                        ONLINE_FAILED.inc();
                        tracing::debug!(%error, "who is online was not written; it is tried again");
                    }
                }
                event = events.recv() => {
                    let wait = match event {
                        Ok(PeerEvent::Died(_)) => Duration::ZERO,
                        Ok(PeerEvent::Left(_)) | Err(RecvError::Lagged(_)) => self.grace,
                        Ok(PeerEvent::Joined(_)) => continue,
                        Err(RecvError::Closed) => return,
                    };
                    sweep_at = sweep_at.min((Instant::now() + wait).max(earliest));
                }
            }
        }
    }

    async fn write(&self, hub: &HubHandle) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        loop {
            let page = self.book.lock().take(Instant::now(), BATCH_MAX);
            if page.is_empty() {
                return Ok(());
            }
            let unwritten = Unwritten {
                book: &self.book,
                page: Some(page),
            };
            unwritten.write(hub).await?;
        }
    }

    /// Corrects what is written of this node, and, if it is this node's turn, what others have left.
    async fn sweep(&self, hub: &HubHandle) -> Result<(), StoreError> {
        let own = &hub.shared.origin;
        let count = online_users::count(hub.store(), own).await?;
        {
            let mut book = self.book.lock();
            if count != book.written() as u64 {
                book.write_again();
            }
        }
        let mut left = vec![own.clone()];
        left.extend(hub.peers().borrow().iter().map(|peer| Origin {
            node: (*peer.life.node).into(),
            incarnation: peer.life.incarnation,
        }));
        if left.iter().any(|other| other.node < own.node) {
            return Ok(());
        }
        let limit = u32::try_from(BATCH_MAX).unwrap_or(u32::MAX);
        while online_users::sweep(hub.store(), &left, limit).await? > 0 {}
        Ok(())
    }

    /// The node stops. Another one looks after its users; if there is none, they are offline.
    pub(crate) async fn end(&self, hub: &HubHandle) {
        if !hub.peers().borrow().is_empty() {
            return;
        }
        let writing = async {
            // What is on its way may have to be written again.
            drop(self.writing.lock().await);
            self.book.lock().end();
            self.write(hub).await
        };
        let written = tokio::time::timeout(LAST_WORDS, writing).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::debug!("that the users are offline was not written; the next start does it");
        }
    }
}

/// What is being written. It is written again if this is dropped before.
struct Unwritten<'a> {
    book: &'a Mutex<Book>,
    page: Option<Page>,
}

impl Unwritten<'_> {
    async fn write(mut self, hub: &HubHandle) -> Result<(), StoreError> {
        let Some(page) = &self.page else {
            return Ok(());
        };
        online_users::note(hub.store(), &hub.shared.origin, &page.come, &page.gone).await?;
        let written = page.come.len() + page.gone.len();
        ONLINE_WRITTEN.inc_by(written as u64);
        self.page = None;
        Ok(())
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some(page) = &self.page {
            self.book.lock().failed(page);
        }
    }
}
