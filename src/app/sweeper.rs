//! Removing what nobody can use any more: sessions and invitations that have expired, and the
//! control log's old entries. What rooms hold is the matter of [`super::retention`].

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
    actix_rt::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = authenticator.sessions().sweep(STEP_MAX).await {
                tracing::warn!(%error, "expired sessions were not removed");
            }
            if let Err(error) = invitations(&store).await {
                tracing::warn!(%error, "expired invitations were not removed");
            }
            if let Err(error) = control_log(&store, control_log_hours).await {
                tracing::warn!(%error, "old entries of the control log were not removed");
            }
        }
    })
}

async fn invitations(store: &Store) -> Result<(), StoreError> {
    let conn = store.get().await?;
    store::invitations::delete_expired(&conn, STEP_MAX).await?;
    Ok(())
}

async fn control_log(store: &Store, hours: u32) -> Result<(), StoreError> {
    // It grows with every membership change: one step a tick might not keep up.
    for _ in 0..STEPS_MAX {
        let conn = store.get().await?;
        let removed = store::control_log::delete_old(&conn, hours, STEP_MAX).await?;
        if removed < u64::from(STEP_MAX) {
            break;
        }
        drop(conn);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
