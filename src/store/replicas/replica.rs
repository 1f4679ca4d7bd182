//! One replica: its connections, and whether it is asked.
//!
//! It is asked from when it was looked at and found fit until a read of it fails or takes too long. Then it
//! has a pause, longer each time, and is looked at again. Meanwhile nobody waits for it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, PoolError};
use tokio::sync::watch;

use super::identity::{Primary, Unfit};
use super::told::Told;
use crate::config::Database;
use crate::store::conn::Limits;
use crate::store::metrics::REPLICAS_ASKED;
use crate::store::pool::{Connections, Plan, sort_pool_error};
use crate::store::{Conn, SessionOptions, StoreError, connect_single};

/// How often one that is asked is looked at: whether it is still a replica.
const LOOK: Duration = Duration::from_secs(5);

/// A look may take this long.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// The pause before one that failed is looked at again,
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// and the longest, if it fails again and again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why a replica is not asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Doubt {
    #[error("it has not been looked at yet")]
    New,
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    /// In the words of [`Unfit`].
    #[error("{0}")]
    Unfit(String),
    #[error(transparent)]
    Failed(Arc<StoreError>),
}

impl Doubt {
    fn of_pool(error: PoolError) -> Self {
        match error {
            PoolError::PostCreateHook(HookError::Message(why)) => Self::Unfit(why.into_owned()),
            other => sort_pool_error(other).into(),
        }
    }

    /// All that is known of it, for the log.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}

impl From<StoreError> for Doubt {
    fn from(error: StoreError) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl From<Unfit> for Doubt {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit.to_string())
    }
}

/// A replica.
pub(super) struct Replica {
    /// Its place in `database.replica_urls`, from 1 on.
    pub(super) number: usize,
    url: String,
    session: SessionOptions,
    connections: Connections,
    /// The longest that a read may take.
    limit: Duration,
    primary: Arc<Primary>,
    /// Why it is not asked; none: it is.
    doubt: watch::Sender<Option<Doubt>>,
}

/// Without the address, which holds a password.
impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("number", &self.number)
            .field("doubt", &self.doubt)
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Nothing is connected yet.
    pub(super) fn new(
        number: usize,
        url: &str,
        config: &Database,
        primary: &Arc<Primary>,
    ) -> Result<Self, StoreError> {
        let limit = Duration::from_millis(config.replica_timeout_ms);
        let usual = SessionOptions::from_config(config);
        let session = SessionOptions {
            application_name: "hubbub-replica",
            connect_timeout: usual.connect_timeout.min(LOOK_LIMIT),
            statement_timeout: limit,
            idle_in_transaction_timeout: limit,
            keepalives: true,
            ..usual
        };
        let connections = Connections::new(Plan {
            url,
            session: &session,
            max: config.replica_pool_max,
            min: 1,
            // Nobody waits for one: who finds none asks the primary.
            wait: Duration::ZERO,
            idle: Duration::from_secs(config.idle_timeout_s),
            limits: Limits {
                breaker: None,
                patience: limit,
                suspicion: limit,
                slow: Duration::from_millis(config.slow_query_ms),
                log_all: config.log_queries,
            },
            examination: Some(examination(primary)),
            show: |_, _, _| {},
        })?;
        Ok(Self {
            number,
            url: url.to_owned(),
            session,
            connections,
            limit,
            primary: Arc::clone(primary),
            doubt: watch::Sender::new(Some(Doubt::New)),
        })
    }

    /// How many may ask it now.
    pub(super) fn free(&self) -> usize {
        if self.doubt.borrow().is_some() {
            return 0;
        }
        self.connections.free()
    }

    /// Why it is not asked; none: it is.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.doubt.borrow().clone()
    }

    /// Reads something. None if nobody more may ask it now. If that fails, or takes long, it is not asked
    /// any more until it has been looked at.
    pub(super) async fn read<T>(
        &self,
        reading: impl AsyncFnOnce(&Conn) -> Result<T, StoreError>,
    ) -> Option<Result<T, Doubt>> {
        let place = self.connections.try_place()?;
        let work = async {
            let taken = self.connections.take_at(place).await;
            let conn = taken.map_err(Doubt::of_pool)?;
            Ok(reading(&conn).await?)
        };
        let read = tokio::time::timeout(self.limit, work).await;
        let read = read.unwrap_or(Err(Doubt::Late(self.limit)));
        if let Err(doubt) = &read {
            self.begin_to_doubt(doubt.clone());
        }
        Some(read)
    }

    /// A connection that waits for an answer would have the next one wait, too, so none is kept.
    fn begin_to_doubt(&self, doubt: Doubt) {
        self.doubt.send_if_modified(|known| {
            let is_news = known.is_none();
            if is_news {
                REPLICAS_ASKED.dec();
                *known = Some(doubt);
            }
            is_news
        });
        self.connections.close_unused();
    }

    /// Looks at it, again and again, and tells the log.
    pub(super) async fn watch(self: Arc<Self>, place: String) {
        let mut states = self.doubt.subscribe();
        let mut told = Told::new(self.number, place);
        let mut failures = 0;
        loop {
            match self.look().await {
                Ok(()) => {
                    told.is_asked();
                    let until_next = LOOK.mul_f64(0.5 + rand::random::<f64>() / 2.0);
                    let failing = states.wait_for(Option::is_some);
                    match tokio::time::timeout(until_next, failing).await {
                        Err(_) => {
                            failures = 0;
                            told.has_lasted();
                            continue;
                        }
                        // The sender lives as long as this does.
                        Ok(state) => {
                            let doubt = state.ok().and_then(|state| state.clone());
                            told.is_not_asked(&doubt.unwrap_or(Doubt::New));
                        }
                    }
                }
                Err(doubt) => told.is_not_asked(&doubt),
            }
            tokio::time::sleep(pause(failures)).await;
            failures += 1;
        }
    }

    /// Whether it is there, and fit, by a connection of its own. It is asked from then on, or no longer.
    async fn look(&self) -> Result<(), Doubt> {
        let was_doubted = self.doubt.borrow().is_some();
        let looking = async {
            let (client, _driver) = connect_single(&self.url, &self.session).await?;
            self.primary.must_be_followed_by(&client).await
        };
        let looked = tokio::time::timeout(LOOK_LIMIT, looking).await;
        match looked.unwrap_or(Err(Doubt::Late(LOOK_LIMIT))) {
            Ok(()) => {
                // Else somebody may have begun to doubt it meanwhile.
                if was_doubted {
                    REPLICAS_ASKED.inc();
                    self.doubt.send_replace(None);
                }
                Ok(())
            }
            Err(doubt) => {
                self.begin_to_doubt(doubt.clone());
                if was_doubted {
                    self.doubt.send_replace(Some(doubt.clone()));
                }
                Err(doubt)
            }
        }
    }
}

/// Each new connection is put to this: what is behind an address may change.
fn examination(primary: &Arc<Primary>) -> Hook {
    let primary = Arc::clone(primary);
    Hook::async_fn(move |client, _| {
        let primary = Arc::clone(&primary);
        Box::pin(async move {
            let examined = primary.must_be_followed_by(client).await;
            examined.map_err(|doubt| HookError::message(doubt.in_full()))
        })
    })
}

/// The pause after so many failures before.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(16));
    longest
        .min(LONGEST_PAUSE)
        .mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for failures in 0..100 {
            let length = pause(failures);
            assert!(length >= FIRST_PAUSE / 2 && length <= LONGEST_PAUSE);
        }
        assert!(pause(0) <= FIRST_PAUSE);
        assert!(pause(99) >= LONGEST_PAUSE / 2);
    }
}
