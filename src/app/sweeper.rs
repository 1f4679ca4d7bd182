//! Removing what nobody can use any more: sessions and invitations that have expired, the control
//! log's old entries, and old answers to requests with keys. What rooms hold is the matter of [`super::retention`].

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::store::{self, Store, StoreError};

/// Sessions that have expired are removed this often.
const EVERY: Duration = Duration::from_secs(600);

/// And at most so many at a time.
const STEP_MAX: u32 = 1000;

/// In at most so many steps where one is not enough.
const STEPS_MAX: u32 = 1000;

/// With this pause between them.
const PAUSE: Duration = Duration::from_millis(50);

/// Removes, in small steps, what nobody can use any more.
pub(super) fn start(store: Store, authenticator: Authenticator, config: &Config) -> JoinHandle<()> {
    let control_log_hours = config.retention.control_log_hours;
    let request_keys_hours = config.retention.request_keys_hours;
    actix_rt::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let sessions = authenticator.sessions();
            if let Err(error) = in_steps(async || sessions.sweep(STEP_MAX).await).await {
                tracing::warn!(%error, "expired sessions were not removed");
            }
            let invitations = async || {
                let conn = store.get().await?;
                store::invitations::delete_expired(&conn, STEP_MAX).await
            };
            if let Err(error) = in_steps(invitations).await {
                tracing::warn!(%error, "expired invitations were not removed");
            }
            let control_log = async || {
                let conn = store.get().await?;
                store::control_log::delete_old(&conn, control_log_hours, STEP_MAX).await
            };
            if let Err(error) = in_steps(control_log).await {
                tracing::warn!(%error, "old entries of the control log were not removed");
            }
            let request_keys = async || {
                let conn = store.get().await?;
                store::request_keys::delete_old(&conn, request_keys_hours, STEP_MAX).await
            };
            if let Err(error) = in_steps(request_keys).await {
                tracing::warn!(%error, "old answers to requests with keys were not removed");
            }
        }
    })
}

/// Removes by `step`, which says how much it has removed, until it finds less than it may: one
/// step a tick might not keep up.
async fn in_steps(step: impl AsyncFn() -> Result<u64, StoreError>) -> Result<(), StoreError> {
    for _ in 0..STEPS_MAX {
        if step().await? < u64::from(STEP_MAX) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
