//! How many connections of the pool may be in use at once, which changes while it is used. The
//! pool's own `resize` lets go of no place that has not been used yet (deadpool 0.13,
//! `managed/pool.rs`), so that it could still grow to what it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    counts: Mutex<Counts>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Counts {
    size: usize,
    /// Places that are to go when they are given back.
    too_many: usize,
}

impl Places {
    /// So many.
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(size)),
            counts: Mutex::new(Counts { size, too_many: 0 }),
            waiting: AtomicUsize::new(0),
        })
    }

    /// How many there are.
    pub(super) fn size(&self) -> usize {
        self.counts.lock().size
    }

    /// How many of them nobody has.
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many callers wait for one.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// From now on so many. Those beyond that go when they are given back.
    pub(super) fn resize(&self, size: usize) {
        let mut counts = self.counts.lock();
        if size < counts.size {
            let fewer = counts.size - size;
            counts.too_many += fewer - self.free.forget_permits(fewer);
        } else {
            let more = size - counts.size;
            let kept = more.min(counts.too_many);
            counts.too_many -= kept;
            self.free.add_permits(more - kept);
        }
        counts.size = size;
    }

    /// Waits for one. An error: the pool is closed.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Place, AcquireError> {
        let taken = if let Ok(taken) = Arc::clone(&self.free).try_acquire_owned() {
            taken
        } else {
            let _waiting = Waiting::new(&self.waiting);
            Arc::clone(&self.free).acquire_owned().await?
        };
        Ok(Place {
            taken: Some(taken),
            places: Arc::clone(self),
        })
    }

    /// Nobody gets one any more.
    pub(super) fn close(&self) {
        self.free.close();
    }
}

/// One caller who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place that is used; given back when dropped.
#[derive(Debug)]
pub(in crate::store) struct Place {
    taken: Option<OwnedSemaphorePermit>,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts.lock();
        if counts.too_many > 0 {
            counts.too_many -= 1;
            if let Some(taken) = self.taken.take() {
                taken.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn try_take(places: &Arc<Places>) -> Option<Place> {
        use futures_util::FutureExt as _;
        places.take().now_or_never()?.ok()
    }

    #[test]
    fn a_place_too_many_goes_when_it_is_given_back() {
        let places = Places::new(2);
        let (first, second) = (try_take(&places), try_take(&places));
        assert!(first.is_some() && second.is_some());
        places.resize(1);
        drop(first);
        assert!(try_take(&places).is_none());
        drop(second);
        assert!(try_take(&places).is_some());
        places.close();
        assert!(try_take(&places).is_none());
    }

    proptest! {
        /// Whatever the order, no more can be taken than there are, and all of those can.
        #[test]
        fn there_are_as_many_as_it_says(steps in prop::collection::vec((0..3, 1..9_usize), 1..60)) {
            let places = Places::new(4);
            let mut taken = VecDeque::new();
            for (step, size) in steps {
                match step {
                    0 => places.resize(size),
                    1 => drop(taken.pop_front()),
                    _ => {
                        let before = taken.len();
                        taken.extend(try_take(&places));
                        prop_assert_eq!(taken.len() > before, before < places.size());
                    }
                }
            }
            taken.clear();
            while let Some(place) = try_take(&places) {
                taken.push_back(place);
            }
            prop_assert_eq!(taken.len(), places.size());
            prop_assert_eq!(places.waiting(), 0);
        }
    }
}
