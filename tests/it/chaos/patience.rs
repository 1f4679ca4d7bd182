//! How long a run waits for what must come: in time that the machine had to give.
//!
//! A machine that stands still for seconds, or has ten times the work that it can do, is no fault of
//! the hub's. So patience is counted in short sleeps: each that comes late has cost no more than one
//! that did not.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// The length of one sleep.
const TICK: Duration = Duration::from_millis(50);

/// Patience that several waits share. It runs out once.
#[derive(Debug)]
pub(super) struct Patience {
    is_over: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Patience {
    /// It begins now; within a runtime, which counts it.
    pub(super) fn of(time: Duration) -> Self {
        let (over, is_over) = watch::channel(false);
        let counting = async move {
            run_out(time).await;
            over.send_replace(true);
        };
        let task = tokio::spawn(counting).abort_handle();
        Self { is_over, task }
    }

    /// What comes of it; none if patience ran out first.
    pub(super) async fn wait_for<T>(&self, awaited: impl Future<Output = T>) -> Option<T> {
        let mut is_over = self.is_over.clone();
        tokio::select! {
            biased;
            came = awaited => Some(came),
            _ = is_over.wait_for(|is_over| *is_over) => None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns when that much patience is spent.
async fn run_out(time: Duration) {
    for _ in 0..time.as_millis() / TICK.as_millis() {
        sleep(TICK).await;
    }
}

#[tokio::test]
async fn what_is_there_is_taken_and_what_never_comes_is_given_up() {
    let patience = Patience::of(TICK * 3);
    assert_eq!(patience.wait_for(async { 1 }).await, Some(1));
    let never = patience.wait_for(std::future::pending::<()>()).await;
    assert_eq!(never, None);
    assert!(patience.is_over());
}
