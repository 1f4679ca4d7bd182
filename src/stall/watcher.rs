//! The thread that looks at the others.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::judge::{Judge, Seldom};
use super::metrics::{MACHINE_STALL_SECONDS, STALL_SECONDS, STALLS};
use super::pace::Pace;
use super::slot::{self, Mark, Slot};
use super::{Activity, Millis};

/// Of each thread so many stalls are logged in this time; all are counted.
const LOG_MAX: (u32, Millis) = (10, 10_000);

/// The machine's are logged less often: nothing here can be done about them.
const MACHINE_LOG_MAX: (u32, Millis) = (1, 60_000);

/// Watches the threads for as long as it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch the threads that ask for it from now on; what blocks one for `stall_ms` or
    /// longer is a stall. With 0 none is watched.
    pub(crate) fn start(stall_ms: u64) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        if stall_ms == 0 {
            let thread = None;
            return Ok(Self { is_over, thread });
        }
        let told = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("stall-watch".to_owned())
            .spawn(move || watch(stall_ms, &told))?;
        slot::begin(stall_ms, thread.thread().clone());
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            slot::end();
            thread.thread().unpark();
            // It panicked: then it watches no more either.
            thread.join().ok();
        }
    }
}

/// A thread as the watcher knows it.
#[derive(Debug)]
struct Seen {
    slot: Arc<Slot>,
    begun: u64,
    /// A stall that was told of while it lasted, and whether it was logged.
    told: Option<(Mark, bool)>,
    seldom: Seldom,
}

fn watch(stall: Millis, is_over: &AtomicBool) {
    let (mut judge, mut pace) = (Judge::new(stall), Pace::new(stall));
    let mut machine = Seldom::new(MACHINE_LOG_MAX.0, MACHINE_LOG_MAX.1);
    let mut seen: Vec<Seen> = Vec::new();
    let mut planned = slot::now();
    while !is_over.load(Ordering::Relaxed) {
        let now = slot::now();
        if let Some(still) = judge.woke(planned, now) {
            MACHINE_STALL_SECONDS.observe(seconds(still));
            if let Some(untold) = machine.tell(now) {
                tracing::info!(ms = still, untold, "the machine stood still");
            }
        }
        meet(&mut seen);
        let (mut begun, mut is_busy) = (0, false);
        for seen in &mut seen {
            begun = begun.max(seen.count_begun());
            seen.count_ended(&judge);
            is_busy |= seen.look(&judge, now);
        }
        let wait = pace.next(now, begun, is_busy);
        planned = slot::now() + wait;
        std::thread::park_timeout(Duration::from_millis(wait));
    }
}

/// Takes in threads that are new, and forgets those that have ended.
fn meet(seen: &mut Vec<Seen>) {
    let slots = slot::slots();
    seen.retain(|seen| slots.iter().any(|slot| Arc::ptr_eq(slot, &seen.slot)));
    for slot in slots {
        if seen.iter().all(|seen| !Arc::ptr_eq(&slot, &seen.slot)) {
            seen.push(Seen {
                slot,
                begun: 0,
                told: None,
                seldom: Seldom::new(LOG_MAX.0, LOG_MAX.1),
            });
        }
    }
}

impl Seen {
    /// How much was begun since the last look.
    fn count_begun(&mut self) -> u64 {
        let begun = self.slot.begun();
        begun.wrapping_sub(std::mem::replace(&mut self.begun, begun))
    }

    /// Counts the stalls that are over.
    fn count_ended(&mut self, judge: &Judge) {
        for ended in self.slot.take_ended() {
            let Some(activity) = ended.mark.activity() else {
                continue;
            };
            let told = self.told.take_if(|(mark, _)| *mark == ended.mark);
            let since = ended.mark.since();
            let Some(ms) = judge.stall(since, ended.until) else {
                continue;
            };
            let labels = [self.slot.kind.label(), activity.label()];
            STALL_SECONDS
                .with_label_values(&labels)
                .observe(seconds(ms));
            let untold = match told {
                Some((_, true)) => Some(0),
                Some((_, false)) => None,
                None => {
                    STALLS.with_label_values(&labels).inc();
                    self.seldom.tell(ended.until)
                }
            };
            if let Some(untold) = untold {
                let (kind, thread) = (labels[0], &self.slot.name);
                let doing = name(activity, &ended.detail);
                tracing::warn!(kind, thread, doing, ms, untold, "a thread was blocked");
            }
        }
    }

    /// Looks at what the thread does now. Whether it is in the midst of something.
    fn look(&mut self, judge: &Judge, now: Millis) -> bool {
        let mark = self.slot.mark();
        let Some(activity) = mark.activity() else {
            return false;
        };
        let is_told = self.told.is_some_and(|(told, _)| told == mark);
        if !is_told && let Some(ms) = judge.stall(mark.since(), now) {
            let labels = [self.slot.kind.label(), activity.label()];
            STALLS.with_label_values(&labels).inc();
            let untold = self.seldom.tell(now);
            self.told = Some((mark, untold.is_some()));
            if let Some(untold) = untold {
                let (kind, thread) = (labels[0], &self.slot.name);
                let doing = name(activity, &self.slot.detail(mark));
                let state = state(self.slot.tid);
                tracing::warn!(
                    kind,
                    thread,
                    doing,
                    ms,
                    state,
                    untold,
                    "a thread is blocked"
                );
            }
        }
        true
    }
}

fn name(activity: Activity, detail: &str) -> String {
    match detail {
        "" => activity.label().to_owned(),
        detail => format!("{} {detail}", activity.label()),
    }
}

/// What the kernel says of a thread: whether it runs, sleeps or waits for a disk.
fn state(tid: i32) -> &'static str {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    match after_name.chars().next() {
        Some('R') => "running",
        Some('S') => "sleeping",
        Some('D') => "waiting for a disk",
        Some('T' | 't') => "stopped",
        _ => "unknown",
    }
}

fn seconds(ms: Millis) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}
