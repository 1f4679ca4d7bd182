//! Keeping the server up: one that dies is started again, at a bounded pace.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::{Instant, sleep};

use super::error::EmbeddedError;
use super::launch::Launch;
use super::postmaster::Process;

/// This many attempts within [`WINDOW`] are made quickly; after that restarting does not help,
/// and is tried again every [`SLOW`] only: somebody may free the disk or repair a setting.
const QUICK: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(10);

/// How long ending the server may take where nobody is in a hurry.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Watches over `process` until `stop` says so, then ends it within the time that it says.
pub(super) async fn watch_over(
    launch: Arc<Launch>,
    mut process: Process,
    mut stop: oneshot::Receiver<Duration>,
) -> Result<(), EmbeddedError> {
    let mut attempts = Attempts::default();
    loop {
        let status = tokio::select! {
            biased;
            limit = &mut stop => return end(&launch, &mut process, limit).await,
            status = process.ended() => status,
        };
        launch.pid.store(0, Ordering::Relaxed);
        tracing::error!(status, "the embedded Postgres died; starting it again");
        process = tokio::select! {
            biased;
            limit = &mut stop => {
                // What has been started meanwhile, if anything, is no child of ours any more.
                let pid = launch.pid.load(Ordering::Relaxed);
                return end(&launch, &mut Process::Adopted(pid), limit).await;
            }
            process = start_again(&launch, &mut attempts) => process,
        };
    }
}

async fn start_again(launch: &Launch, attempts: &mut Attempts) -> Process {
    let died = Instant::now();
    loop {
        sleep(attempts.pause(Instant::now())).await;
        match launch.run().await {
            Ok(running) => {
                let ms = died.elapsed().as_millis();
                let pid = running.process.pid();
                tracing::warn!(ms, pid, "the embedded Postgres is back");
                return running.process;
            }
            Err(error) => tracing::error!(%error, "the embedded Postgres cannot be started again"),
        }
    }
}

/// The latest attempts, [`QUICK`] at most.
#[derive(Debug, Default)]
struct Attempts(VecDeque<Instant>);

impl Attempts {
    /// How long to wait before the next, which counts as of `now`.
    fn pause(&mut self, now: Instant) -> Duration {
        self.0.retain(|at| now.duration_since(*at) < WINDOW);
        let pause = match u32::try_from(self.0.len()) {
            Ok(0) => Duration::ZERO,
            Ok(before) if self.0.len() < QUICK => PAUSE * 2_u32.pow(before - 1),
            _ => SLOW,
        };
        if self.0.len() == QUICK {
            self.0.pop_front();
        }
        self.0.push_back(now);
        pause
    }
}

async fn end(
    launch: &Launch,
    process: &mut Process,
    limit: Result<Duration, RecvError>,
) -> Result<(), EmbeddedError> {
    if process.pid() == 0 {
        return Ok(());
    }
    process.stop(limit.unwrap_or(STOP_LIMIT)).await?;
    launch.pid.store(0, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_slow_and_are_forgotten_in_time() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        let pauses: Vec<u128> = (0..7).map(|_| attempts.pause(now).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 10_000, 10_000]);
        assert_eq!(attempts.pause(now + WINDOW), Duration::ZERO);
    }
}
