//! What waits because the socket does not take it: for how long, and who wants to know when it has
//! gone.

use std::time::Instant;

use tokio::sync::oneshot;

use super::Outbox;
use super::age::Ages;
use super::queue::Queue;

/// What is to be known of an outbox whose frames do not all leave at once.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) ages: Ages,
    /// Told when what waits takes no more than so many bytes, or never will.
    pub(super) drained: Option<(usize, oneshot::Sender<()>)>,
}

impl Outbox {
    pub(super) fn note_age(&self) {
        let queue = self.queue.borrow();
        let pushed = queue.taken() + queue.bytes() as u64;
        let mut waiting = self.waiting.borrow_mut();
        let ages = &mut waiting.get_or_insert_default().ages;
        ages.note(Instant::now(), pushed, self.limits.max_age);
    }

    /// Whether something has been waiting for longer than it may.
    pub(crate) fn is_overdue(&self) -> bool {
        let taken = self.queue.borrow().taken();
        let mut waiting = self.waiting.borrow_mut();
        let is_overdue = |waiting: &mut Box<Waiting>| {
            let ages = &mut waiting.ages;
            ages.is_overdue(Instant::now(), taken, self.limits.max_age)
        };
        self.is_blocked() && waiting.as_mut().is_some_and(is_overdue)
    }

    /// Tells whoever waits for it that what waits takes no more than so many bytes.
    pub(super) fn note_drained(&self, queue: &Queue) {
        if let Some(waiting) = &mut *self.waiting.borrow_mut() {
            let is_drained = |drained: &mut (usize, _)| queue.held_bytes() <= drained.0;
            drop(waiting.drained.take_if(is_drained));
        }
    }

    /// Waits until what waits to be written takes no more than `bytes`, or the socket has ended. One
    /// at a time may wait.
    pub(crate) async fn drained_to(&self, bytes: usize) {
        if self.queue.borrow().held_bytes() <= bytes || self.is_shut.get() {
            return;
        }
        let (drained, wait) = oneshot::channel();
        self.waiting.borrow_mut().get_or_insert_default().drained = Some((bytes, drained));
        // It is dropped rather than sent.
        wait.await.ok();
    }
}
