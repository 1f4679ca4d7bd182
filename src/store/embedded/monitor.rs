//! Keeping the server up: one that dies is started again, a bounded number of times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::error::EmbeddedError;
use super::launch::Launch;
use super::postmaster::Process;

/// More restarts than this within [`WINDOW`] mean that restarting does not help.
const RESTARTS_MAX: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Watches over `process` until `stop` says so, then ends it. Sends `true` on `failed` when it
/// gives up.
pub(super) async fn watch_over(
    launch: Arc<Launch>,
    mut process: Process,
    mut stop: oneshot::Receiver<()>,
    failed: watch::Sender<bool>,
) -> Result<(), EmbeddedError> {
    let mut restarts: VecDeque<Instant> = VecDeque::new();
    loop {
        let status = tokio::select! {
            biased;
            _ = &mut stop => return end(&launch, &mut process).await,
            status = process.ended() => status,
        };
        launch.pid.store(0, Ordering::Relaxed);
        restarts.retain(|at| at.elapsed() < WINDOW);
        if restarts.len() >= RESTARTS_MAX {
            tracing::error!(
                status,
                restarts = restarts.len(),
                window_s = WINDOW.as_secs(),
                "the embedded Postgres died again; giving up"
            );
            break;
        }
        restarts.push_back(Instant::now());
        tracing::error!(status, "the embedded Postgres died; starting it again");
        let started = Instant::now();
        let running = tokio::select! {
            biased;
            _ = &mut stop => {
                // What `run` has started, if anything, is no child of ours any more.
                let pid = launch.pid.load(Ordering::Relaxed);
                return end(&launch, &mut Process::Adopted(pid)).await;
            }
            running = launch.run() => running,
        };
        match running {
            Ok(running) => {
                let ms = started.elapsed().as_millis();
                tracing::warn!(
                    ms,
                    pid = running.process.pid(),
                    "the embedded Postgres is back"
                );
                process = running.process;
            }
            Err(error) => {
                tracing::error!(%error, "the embedded Postgres cannot be started again; giving up");
                break;
            }
        }
    }
    let _ = failed.send(true);
    let _ = stop.await;
    Ok(())
}

async fn end(launch: &Launch, process: &mut Process) -> Result<(), EmbeddedError> {
    if process.pid() == 0 {
        return Ok(());
    }
    process.stop().await?;
    launch.pid.store(0, Ordering::Relaxed);
    Ok(())
}
