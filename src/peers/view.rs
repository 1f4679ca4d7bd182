//! What the node knows of the cluster: the nodes, the secret, the time. Read from the database when
//! it matters who is there now; while the database is away, what was read last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::metrics::VIEW_FAILED;
use crate::store::cluster::{self, ClusterReading, Secret};
use crate::store::{Store, StoreError};

/// Readings are at least so far apart; who asks in between waits for the next.
const APART: Duration = Duration::from_millis(50);

/// After one that failed it takes so long to the next; meanwhile what was read last is used, or
/// everybody would wait for a database that does not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long a reading may take, with the wait for a connection.
const READING: Duration = Duration::from_secs(2);

/// The view. Shared by those who ask and those who answer.
#[derive(Debug)]
pub(super) struct View {
    store: Store,
    known: Mutex<Known>,
    /// Held by who reads; the others wait for what it finds.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    reading: Arc<ClusterReading>,
    /// When the last attempt to read began, with whatever outcome.
    tried_at: Instant,
    /// When it failed, if it did.
    failed_at: Option<Instant>,
}

impl View {
    /// Reads for the first time.
    pub(super) async fn open(store: Store) -> Result<Self, StoreError> {
        let tried_at = Instant::now();
        let reading = read(&store).await?;
        Ok(Self {
            store,
            known: Mutex::new(Known {
                reading: Arc::new(reading),
                tried_at,
                failed_at: None,
            }),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// What was read last. It may be old: but the life of a node that is in it has the address that
    /// it has there for ever, and the clock goes on by itself.
    pub(super) fn known(&self) -> Arc<ClusterReading> {
        Arc::clone(&self.known.lock().reading)
    }

    /// What holds now: what was read last only if the database does not answer. One reading is for
    /// all who have asked before it began.
    pub(super) async fn current(&self) -> Arc<ClusterReading> {
        let asked_at = Instant::now();
        let _turn = self.turn.lock().await;
        let (tried_at, failed_at) = self.last_attempt();
        let has_just_failed = failed_at.is_some_and(|at| at.elapsed() < AFTER_FAILURE);
        if tried_at < asked_at && !has_just_failed {
            tokio::time::sleep(APART.saturating_sub(tried_at.elapsed())).await;
            self.read().await;
        }
        self.known()
    }

    /// Reads again if there was no attempt for a while and nobody is at it. False if nothing was
    /// read.
    pub(super) async fn look_again(&self) -> bool {
        if self.last_attempt().0.elapsed() < AFTER_FAILURE {
            return false;
        }
        let Ok(_turn) = self.turn.try_lock() else {
            return false;
        };
        self.read().await
    }

    fn last_attempt(&self) -> (Instant, Option<Instant>) {
        let known = self.known.lock();
        (known.tried_at, known.failed_at)
    }

    /// In one's turn. False if nothing was read.
    async fn read(&self) -> bool {
        self.known.lock().tried_at = Instant::now();
        let outcome = read(&self.store).await;
        let mut known = self.known.lock();
        match outcome {
            Ok(reading) => {
                known.reading = Arc::new(reading);
                known.failed_at = None;
                true
            }
            Err(error) => {
                VIEW_FAILED.with_label_values(&[error.kind()]).inc();
                if known.failed_at.replace(Instant::now()).is_none() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the nodes cannot be read; those read last are used");
                }
                false
            }
        }
    }
}

async fn read(store: &Store) -> Result<ClusterReading, StoreError> {
    let reading = async {
        let conn = store.get().await?;
        cluster::read(&conn, &Secret(rand::random())).await
    };
    tokio::time::timeout(READING, reading)
        .await
        .map_err(|_| StoreError::Timeout {
            what: "the nodes of the cluster",
        })?
}
