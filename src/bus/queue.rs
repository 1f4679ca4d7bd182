//! Queues of the bus, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Arrival;
use super::envelope::Envelope;

/// What something costs in memory, bytes.
pub(super) trait Weight {
    /// It does not change.
    fn bytes(&self) -> usize;
}

impl Weight for Envelope {
    fn bytes(&self) -> usize {
        self.payload.len()
    }
}

impl Weight for Arrival {
    fn bytes(&self) -> usize {
        match self {
            Self::Envelope(envelope) => envelope.bytes(),
            Self::Subscribed(_) => 0,
        }
    }
}

/// The end that is written to.
#[derive(Debug)]
pub(super) struct Sender<T> {
    items: mpsc::Sender<T>,
    held: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// The end that is read.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    items: mpsc::Receiver<T>,
    held: Arc<AtomicUsize>,
}

/// A queue of at most so many, which weigh at most so much.
pub(super) fn bounded<T: Weight>(max: usize, max_bytes: usize) -> (Sender<T>, Receiver<T>) {
    let (items, received) = mpsc::channel(max.max(1));
    let held = Arc::<AtomicUsize>::default();
    let sender = Sender {
        items,
        held: Arc::clone(&held),
        max_bytes,
    };
    let receiver = Receiver {
        items: received,
        held,
    };
    (sender, receiver)
}

impl<T: Weight> Sender<T> {
    /// Puts it in, if there is room.
    pub(super) fn try_send(&self, item: T) -> Result<(), Full> {
        let bytes = item.bytes();
        // Several at once may each find the room that there is for one: so much, and no more, is
        // held beyond the bound.
        if self.held.fetch_add(bytes, Ordering::Relaxed) + bytes > self.max_bytes
            || self.items.try_send(item).is_err()
        {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(())
    }
}

/// There was no room in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl<T: Weight> Receiver<T> {
    /// The next ones, at least one and at most `max`; none when nobody can send any more.
    pub(super) fn poll_batch(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Option<Vec<T>>> {
        let mut batch = Vec::new();
        self.items
            .poll_recv_many(cx, &mut batch, max)
            .map(|received| {
                let bytes = batch.iter().map(Weight::bytes).sum();
                self.held.fetch_sub(bytes, Ordering::Relaxed);
                (received > 0).then_some(batch)
            })
    }

    /// The same, to wait for.
    pub(super) async fn batch(&mut self, max: usize) -> Option<Vec<T>> {
        std::future::poll_fn(|cx| self.poll_batch(cx, max)).await
    }

    /// All that is there is of no use.
    pub(super) fn clear(&mut self) -> usize {
        let mut cleared = 0;
        while let Ok(item) = self.items.try_recv() {
            self.held.fetch_sub(item.bytes(), Ordering::Relaxed);
            cleared += 1;
        }
        cleared
    }
}

/// Where a lane of a node comes in.
#[derive(Debug)]
pub struct Inbox {
    /// `None` only while dropping.
    receiver: Option<Receiver<Arrival>>,
    home: InboxHome,
}

/// Where an inbox lies when nobody has it.
pub(super) type InboxHome = Arc<Mutex<Option<Receiver<Arrival>>>>;

/// A lane: what is put in comes out of its inbox.
pub(super) fn lane(max: usize, max_bytes: usize) -> (Sender<Arrival>, InboxHome) {
    let (sender, receiver) = bounded(max, max_bytes);
    (sender, Arc::new(Mutex::new(Some(receiver))))
}

impl Inbox {
    /// Takes the inbox from where it lies.
    pub(super) fn take(home: &InboxHome) -> Option<Self> {
        let receiver = home.lock().take()?;
        Some(Self {
            receiver: Some(receiver),
            home: Arc::clone(home),
        })
    }

    /// The next arrivals, at least one and at most `max`; none when the bus has ended.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Option<Vec<Arrival>>> {
        match &mut self.receiver {
            Some(receiver) => receiver.poll_batch(cx, max),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *self.home.lock() = self.receiver.take();
    }
}

/// Cuts what waits into parts that are not too many and not too heavy, in their order.
pub(super) fn parts<T: Weight>(items: Vec<T>, max_bytes: usize) -> VecDeque<Vec<T>> {
    let mut parts = VecDeque::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for item in items {
        if bytes + item.bytes() > max_bytes && !part.is_empty() {
            parts.push_back(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += item.bytes();
        part.push(item);
    }
    if !part.is_empty() {
        parts.push_back(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    #[test]
    fn a_queue_is_bounded_in_number_and_bytes() {
        let (sender, mut receiver) = bounded::<usize>(3, 100);
        assert_eq!(sender.try_send(60), Ok(()));
        assert_eq!(sender.try_send(41), Err(Full));
        assert_eq!(sender.try_send(40), Ok(()));
        assert_eq!(sender.try_send(0), Ok(()));
        assert_eq!(sender.try_send(0), Err(Full), "a fourth");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(
            receiver.poll_batch(&mut cx, 2),
            Poll::Ready(Some(vec![60, 40]))
        );
        assert_eq!(sender.try_send(100), Ok(()));
        assert_eq!(receiver.clear(), 2);
        assert_eq!(
            sender.try_send(100),
            Ok(()),
            "what was cleared weighs nothing"
        );
    }

    #[test]
    fn parts_are_not_too_heavy_and_keep_the_order() {
        let parts: Vec<_> = parts(vec![5, 6, 1, 20, 1], 10).into();
        assert_eq!(parts, [vec![5], vec![6, 1], vec![20], vec![1]]);
    }
}
