//! What each watched thread says of itself.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::Mutex;

use super::{Activity, Millis, ThreadKind};

/// Stalls of one thread that wait to be counted; there is a look at them long before there are
/// more.
const ENDED_MAX: usize = 64;

/// The activity stands above so many bits of time.
const TIME_BITS: u32 = 56;

/// Nothing.
const IDLE: u64 = 0;

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// From here on a thread counts as blocked; 0 as long as nobody watches.
static STALL: AtomicU64 = AtomicU64::new(0);

static SLOTS: Mutex<Vec<Arc<Slot>>> = Mutex::new(Vec::new());

/// The watcher is woken by this when a stall has ended.
static WATCHER: Mutex<Option<std::thread::Thread>> = Mutex::new(None);

thread_local! {
    static HERE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// The clock of this module.
pub(super) fn now() -> Millis {
    u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// An activity and when it began, in one atomic, so that both belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    pub(super) const fn new(activity: Activity, since: Millis) -> Self {
        Self(((activity as u64) << TIME_BITS) | since)
    }

    /// None: the thread waits.
    pub(super) fn activity(self) -> Option<Activity> {
        let index = usize::try_from(self.0 >> TIME_BITS).ok()?;
        Activity::ALL.get(index.checked_sub(1)?).copied()
    }

    pub(super) fn since(self) -> Millis {
        self.0 & ((1 << TIME_BITS) - 1)
    }

    /// The runtime's own mark, around everything that has none: it begins anew after each.
    fn is_base(self) -> bool {
        self.activity() == Some(Activity::Other)
    }

    fn is_idle(self) -> bool {
        self.0 == IDLE
    }

    fn since_now(self, now: Millis) -> Self {
        self.activity()
            .map_or(self, |activity| Self::new(activity, now))
    }
}

/// A stall that is over.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) mark: Mark,
    pub(super) until: Millis,
    pub(super) detail: String,
}

/// A thread that is watched.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: ThreadKind,
    pub(super) name: String,
    pub(super) tid: i32,
    mark: AtomicU64,
    /// How often something was begun: whether there is work at all.
    begun: AtomicU64,
    detail: Mutex<String>,
    ended: Mutex<Vec<Ended>>,
}

impl Slot {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.mark.load(Ordering::Relaxed))
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// What is said of an activity besides.
    pub(super) fn detail(&self, mark: Mark) -> String {
        match mark.activity() {
            Some(activity) if activity.has_detail() => self.detail.lock().clone(),
            _ => String::new(),
        }
    }

    pub(super) fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut *self.ended.lock())
    }

    fn set(&self, mark: Mark) {
        self.mark.store(mark.0, Ordering::Relaxed);
    }

    /// Tells of a stall that is over, after the thread's mark says so: whoever has heard of it must
    /// not see it go on.
    #[cold]
    fn tell(&self, mark: Mark, until: Millis) {
        let detail = self.detail(mark);
        let mut ended = self.ended.lock();
        if ended.len() < ENDED_MAX {
            ended.push(Ended {
                mark,
                until,
                detail,
            });
        }
        drop(ended);
        if let Some(watcher) = &*WATCHER.lock() {
            watcher.unpark();
        }
    }
}

/// A thread's own slot; its end takes it out of the list.
struct Place(Arc<Slot>);

impl Drop for Place {
    fn drop(&mut self) {
        SLOTS.lock().retain(|slot| !Arc::ptr_eq(slot, &self.0));
    }
}

/// All watched threads.
pub(super) fn slots() -> Vec<Arc<Slot>> {
    SLOTS.lock().clone()
}

/// From now on threads are watched, and `watcher` hears of stalls that are over.
pub(super) fn begin(stall: Millis, watcher: std::thread::Thread) {
    *WATCHER.lock() = Some(watcher);
    STALL.store(stall, Ordering::Relaxed);
}

/// No longer.
pub(super) fn end() {
    STALL.store(0, Ordering::Relaxed);
    *WATCHER.lock() = None;
}

/// Watches the present thread, if threads are watched.
pub(crate) fn watch_thread(kind: ThreadKind) {
    if STALL.load(Ordering::Relaxed) == 0 {
        return;
    }
    HERE.with_borrow_mut(|here| {
        here.get_or_insert_with(|| {
            let slot = Arc::new(Slot {
                kind,
                name: std::thread::current().name().unwrap_or("?").to_owned(),
                tid: rustix::thread::gettid().as_raw_nonzero().get(),
                mark: AtomicU64::new(IDLE),
                begun: AtomicU64::new(0),
                detail: Mutex::default(),
                ended: Mutex::default(),
            });
            SLOTS.lock().push(Arc::clone(&slot));
            Place(slot)
        });
    });
}

/// The present thread does this until the guard is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Doing {
    /// What it does, and what it did before; none on a thread that is not watched.
    marks: Option<(Mark, Mark)>,
}

/// Marks what the present thread does.
#[inline]
pub(crate) fn doing(activity: Activity) -> Doing {
    let marks = on_slot(|slot| {
        let now = now();
        let outer = slot.mark();
        if outer.is_base() || outer.is_idle() {
            let begun = slot.begun();
            slot.begun.store(begun.wrapping_add(1), Ordering::Relaxed);
        }
        let mark = Mark::new(activity, now);
        slot.set(mark);
        if outer.is_base() && is_stall(outer, now) {
            slot.tell(outer, now);
        }
        (mark, outer)
    });
    Doing { marks }
}

/// As [`doing`], with a short name for it that the log tells.
pub(crate) fn doing_with(activity: Activity, detail: &str) -> Doing {
    on_slot(|slot| {
        let mut said = slot.detail.lock();
        said.clear();
        said.push_str(detail);
    });
    doing(activity)
}

impl Drop for Doing {
    fn drop(&mut self) {
        let Some((mark, outer)) = self.marks else {
            return;
        };
        on_slot(|slot| {
            let now = now();
            let was_stall = is_stall(mark, now);
            // What has been told of is not told of again.
            let is_anew = was_stall || outer.is_base();
            slot.set(if is_anew { outer.since_now(now) } else { outer });
            if was_stall {
                slot.tell(mark, now);
                if !outer.is_base() && is_stall(outer, mark.since()) {
                    slot.tell(outer, mark.since());
                }
            }
        });
    }
}

/// A runtime's thread goes on after it has waited.
pub(super) fn unparked() {
    on_slot(|slot| {
        let begun = slot.begun();
        slot.begun.store(begun.wrapping_add(1), Ordering::Relaxed);
        slot.set(Mark::new(Activity::Other, now()));
    });
}

/// A runtime's thread is about to wait.
pub(super) fn parks() {
    on_slot(|slot| {
        let (mark, now) = (slot.mark(), now());
        slot.set(Mark(IDLE));
        if is_stall(mark, now) {
            slot.tell(mark, now);
        }
    });
}

fn is_stall(mark: Mark, now: Millis) -> bool {
    let stall = STALL.load(Ordering::Relaxed);
    !mark.is_idle() && stall > 0 && now.saturating_sub(mark.since()) >= stall
}

#[inline]
fn on_slot<T>(work: impl FnOnce(&Slot) -> T) -> Option<T> {
    // A thread that ends has no slot any more.
    HERE.try_with(|here| here.borrow().as_ref().map(|place| work(&place.0)))
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_what_and_since_when() {
        for activity in Activity::ALL {
            let mark = Mark::new(activity, 1 << 40);
            assert_eq!(mark.activity(), Some(activity));
            assert_eq!(mark.since(), 1 << 40);
        }
        assert_eq!(Mark(IDLE).activity(), None);
    }
}
