//! Removing what is old, in small steps beside everything else.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::config::Retention;
use crate::store::metrics::{RETENTION_LAST_RUN, RETENTION_ROWS};
use crate::store::{Store, StoreError, retention};

/// Rooms looked at by one query.
const ROOMS_PAGE: u32 = 200;

/// Removes what is old again and again, until it is aborted.
pub(super) fn start(store: Store, config: Retention) -> JoinHandle<()> {
    actix_rt::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(config.every_s));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let run = Run { store, config };
        loop {
            ticks.tick().await;
            match run.all().await {
                Ok(()) => RETENTION_LAST_RUN.set(jiff::Timestamp::now().as_second()),
                // What is left is removed by the next run.
                Err(error) => tracing::warn!(%error, "what is old was not removed"),
            }
        }
    })
}

struct Run {
    store: Store,
    config: Retention,
}

impl Run {
    async fn all(&self) -> Result<(), StoreError> {
        self.keys().await?;
        if self.config.log_days > 0 {
            self.logs().await?;
        }
        Ok(())
    }

    async fn keys(&self) -> Result<(), StoreError> {
        let Retention {
            step_rows,
            keys_days,
            ..
        } = self.config;
        loop {
            let removed = retention::remove_keys(&self.store, step_rows, keys_days).await?;
            RETENTION_ROWS
                .with_label_values(&["publish_keys"])
                .inc_by(removed);
            if removed < u64::from(step_rows) {
                return Ok(());
            }
            self.pause().await;
        }
    }

    async fn logs(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let days = self.config.log_days;
            let rooms = retention::rooms_due(&self.store, after, ROOMS_PAGE, days).await?;
            let Some(last) = rooms.last() else {
                return Ok(());
            };
            after = Some(last.room_id);
            for room in rooms.iter().filter(|room| room.is_due) {
                if !self.log(room).await? {
                    // Another node is at it: one is enough.
                    return Ok(());
                }
            }
            self.pause().await;
        }
    }

    /// Removes a room's old events, step by step. False if another node does it.
    async fn log(&self, room: &retention::Looked) -> Result<bool, StoreError> {
        let Retention {
            step_rows,
            log_days,
            ..
        } = self.config;
        loop {
            let removed =
                retention::remove_events(&self.store, room.room_id, step_rows, log_days).await?;
            let Some(removed) = removed else {
                return Ok(false);
            };
            RETENTION_ROWS
                .with_label_values(&["room_events"])
                .inc_by(removed);
            self.pause().await;
            if removed < u64::from(step_rows) {
                return Ok(true);
            }
        }
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(self.config.step_pause_ms)).await;
    }
}
