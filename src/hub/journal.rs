//! The journal: the one way into a room's log.
//!
//! A room belongs to one of the node's writers, by hash. A writer has one batch on its way to
//! Postgres at a time and gathers the next meanwhile, so batches grow by themselves under load.
//! Whoever handed in an entry is told after the commit, never before.
//!
//! Pure: [`queue`] (what goes into the next batch), [`appends`] and [`message_changes`] (what the
//! statements are given). With I/O: [`flight`] (one batch, one transaction), [`mod@write`] (a batch in halves, locked rooms aside), [`writer`] (the actor).

mod appends;
pub(super) mod bench;
mod changes;
pub(crate) mod entry;
mod flight;
mod message_changes;
mod queue;
mod settled;
mod write;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use self::entry::{Entry, unavailable};
pub(crate) use self::message_changes::ChangeLimits;
pub(crate) use self::writer::{Writer, WriterSettings};
use crate::hub::metrics::{JOURNAL_OUTCOMES, JOURNAL_QUEUE};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::RoomId;

/// What a writer is given to do.
#[derive(Debug)]
enum Work {
    Write(Box<Entry>),
    /// Tell when everything given before is settled.
    Flush(oneshot::Sender<()>),
}

/// The node's writers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    slots: Arc<[Arc<Slot>]>,
}

/// A writer's place: it stays when the writer is recreated.
#[derive(Debug)]
pub(crate) struct Slot {
    number: usize,
    queue_max: usize,
    inbox: RwLock<Option<mpsc::Sender<Work>>>,
    /// Entries handed in and not settled.
    queued: AtomicUsize,
    /// The writer is connected.
    up: AtomicBool,
    /// The batch on its way takes suspiciously long.
    stalled: AtomicBool,
}

impl Journal {
    /// Places for `writers` writers; each holds at most `queue_max` entries that are not settled.
    pub(crate) fn new(writers: usize, queue_max: usize) -> Self {
        let slot = |number| {
            Arc::new(Slot {
                number,
                queue_max,
                inbox: RwLock::new(None),
                queued: AtomicUsize::new(0),
                up: AtomicBool::new(false),
                stalled: AtomicBool::new(false),
            })
        };
        Self {
            slots: (0..writers.max(1)).map(slot).collect(),
        }
    }

    /// The places.
    pub(crate) fn slots(&self) -> &[Arc<Slot>] {
        &self.slots
    }

    /// Hands in an entry. Its fate is told through its `reply_to`, at once if it cannot be taken.
    pub(crate) fn submit(&self, entry: Entry) {
        let slot = &self.slots[index_of(entry.room_id, self.slots.len())];
        if let Err((entry, refusal)) = slot.submit(entry) {
            JOURNAL_OUTCOMES
                .with_label_values(&[refusal.code.as_str()])
                .inc();
            entry.reply_to.send(Err(refusal));
        }
    }

    /// Waits until everything handed in so far is settled.
    pub(crate) async fn flush(&self) {
        for slot in self.slots.iter() {
            let inbox = slot.inbox.read().clone();
            let (done, settled) = oneshot::channel();
            if let Some(inbox) = inbox
                && inbox.send(Work::Flush(done)).await.is_ok()
            {
                // An error means that the writer has gone, and with it what it held.
                settled.await.ok();
            }
        }
    }

    /// Whether every writer can write.
    pub(crate) fn is_up(&self) -> bool {
        self.slots.iter().all(|slot| slot.is_up())
    }
}

impl Slot {
    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) && !self.stalled.load(Ordering::Relaxed)
    }

    fn submit(self: &Arc<Self>, entry: Entry) -> Result<(), (Box<Entry>, Refusal)> {
        let mut entry = Box::new(entry);
        if !self.is_up() {
            return Err((entry, unavailable()));
        }
        entry.permit = Some(Permit::take(self));
        if self.queued.load(Ordering::Relaxed) > self.queue_max {
            return Err((entry, overloaded()));
        }
        let work = Work::Write(entry);
        let sent = match &*self.inbox.read() {
            Some(inbox) => inbox.try_send(work).map_err(|error| match error {
                mpsc::error::TrySendError::Full(work) => (work, overloaded()),
                mpsc::error::TrySendError::Closed(work) => (work, unavailable()),
            }),
            None => Err((work, unavailable())),
        };
        sent.map_err(|(work, refusal)| match work {
            Work::Write(entry) => (entry, refusal),
            Work::Flush(_) => unreachable!("an entry was sent"),
        })
    }
}

/// An entry's place in the count of those that are not settled, given back when the entry goes,
/// however it goes.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Slot>);

impl Permit {
    fn take(slot: &Arc<Slot>) -> Self {
        slot.queued.fetch_add(1, Ordering::Relaxed);
        JOURNAL_QUEUE.inc();
        Self(Arc::clone(slot))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
        JOURNAL_QUEUE.dec();
    }
}

fn overloaded() -> Refusal {
    Refusal::new(
        ErrorCode::Overloaded,
        "the journal's queue is full; nothing was stored, try again",
    )
}

/// Which of `count` places a room belongs to.
pub(crate) fn index_of(room: RoomId, count: usize) -> usize {
    // The same for all, so that a room's actor and its lane of the bridge meet.
    crate::bus::lane_of(room, count)
}
