//! How statements run on a connection of the pool.
//!
//! Every statement is prepared once per connection, timed, logged by name when it is slow, and
//! bounded twice: by the server's `statement_timeout`, and by a limit of our own a little above
//! it, for a server that is frozen and keeps no promise. A connection that ran into the latter is
//! closed rather than returned to the pool.
//!
//! Dropping a future that runs a statement leaves the statement running on the server; its
//! connection goes back to the pool, where the next statement waits behind it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::breaker::Breaker;
use super::error::{StoreError, is_connection_lost};
use super::metrics;
use super::pool::Place;
use super::statement::Statement;

/// Parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Limits of every statement.
#[derive(Debug)]
pub(super) struct Limits {
    /// Told how the server does, if there is one.
    pub(super) breaker: Option<Breaker>,
    /// A statement that takes longer makes one wonder whether the server is there.
    pub(super) suspicion: Duration,
    /// How long a statement may take before its connection is given up.
    pub(super) patience: Duration,
    /// A statement that takes longer is logged.
    pub(super) slow: Duration,
    /// Log every statement.
    pub(super) log_all: bool,
}

impl Limits {
    fn suspect(&self) {
        if let Some(breaker) = &self.breaker {
            breaker.suspect();
        }
    }
}

/// Runs statements of one connection within its limits.
#[derive(Debug)]
struct Watch {
    limits: Arc<Limits>,
    /// The connection must not be used again.
    broken: AtomicBool,
}

impl Watch {
    async fn run<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let outcome = if let Some(outcome) = self.within_limits(work).await {
            outcome.map_err(|error| self.sort(error, name))
        } else {
            self.broken.store(true, Ordering::Relaxed);
            self.limits.suspect();
            Err(StoreError::Timeout { what: name })
        };
        let took = started.elapsed();
        metrics::observe_query(name, took);
        if let Err(error) = &outcome {
            metrics::count_error(error.kind());
        }
        let ms = took.as_secs_f64() * 1000.0;
        if took > self.limits.slow {
            tracing::warn!(query = name, ms, "slow query");
        } else if self.limits.log_all {
            tracing::info!(query = name, ms, "query");
        }
        outcome
    }

    /// What comes of the work; none if that takes too long.
    async fn within_limits<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let Limits {
            suspicion,
            patience,
            ..
        } = &*self.limits;
        tokio::pin!(work);
        if let Ok(outcome) = tokio::time::timeout(*suspicion, &mut work).await {
            return Some(outcome);
        }
        self.limits.suspect();
        let left = patience.saturating_sub(*suspicion);
        tokio::time::timeout(left, work).await.ok()
    }

    fn sort(&self, error: tokio_postgres::Error, name: &'static str) -> StoreError {
        // 0A000: "cached plan must not change result type", after a migration by another node;
        // 26000: the server has forgotten a prepared statement. A new connection knows better.
        let stale = error
            .code()
            .is_some_and(|code| matches!(code.code(), "0A000" | "26000"));
        let is_lost = is_connection_lost(&error);
        if stale || is_lost {
            self.broken.store(true, Ordering::Relaxed);
        }
        if is_lost {
            self.limits.suspect();
        }
        StoreError::classify(error, name)
    }
}

/// A connection of the pool; it returns there when dropped.
#[derive(Debug)]
pub struct Conn {
    /// `None` only while dropping.
    object: Option<Object>,
    watch: Watch,
    /// Given back after the connection.
    _place: Place,
}

impl Drop for Conn {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && self.watch.broken.load(Ordering::Relaxed)
        {
            drop(Object::take(object));
        }
    }
}

impl Conn {
    pub(super) fn new(object: Object, place: Place, limits: &Arc<Limits>) -> Self {
        Self {
            object: Some(object),
            _place: place,
            watch: Watch {
                limits: Arc::clone(limits),
                broken: AtomicBool::new(false),
            },
        }
    }

    fn object(&self) -> Result<&Object, StoreError> {
        self.object.as_ref().ok_or_else(gone)
    }

    /// Asks the server for nothing, to see that it answers.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let object = self.object()?;
        self.watch.run("ping", object.check_connection()).await
    }

    /// Runs a statement and returns its rows.
    pub async fn query(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let object = self.object()?;
        let work = async {
            let prepared = object.prepare_cached(statement.sql).await?;
            object.query(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Runs a statement that returns at most one row.
    pub async fn query_opt(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        let object = self.object()?;
        let work = async {
            let prepared = object.prepare_cached(statement.sql).await?;
            object.query_opt(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Runs a statement that returns exactly one row.
    pub async fn query_one(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Row, StoreError> {
        let object = self.object()?;
        let work = async {
            let prepared = object.prepare_cached(statement.sql).await?;
            object.query_one(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<u64, StoreError> {
        let object = self.object()?;
        let work = async {
            let prepared = object.prepare_cached(statement.sql).await?;
            object.execute(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Begins a transaction; it is rolled back unless [`Tx::commit`] succeeds.
    pub async fn transaction(&mut self) -> Result<Tx<'_>, StoreError> {
        let object = self.object.as_mut().ok_or_else(gone)?;
        let watch = &self.watch;
        let transaction = watch.run("begin", object.transaction()).await?;
        Ok(Tx { transaction, watch })
    }
}

fn gone() -> StoreError {
    StoreError::unavailable("the connection has been returned to the pool")
}

/// A transaction on a connection of the pool.
#[derive(Debug)]
pub struct Tx<'a> {
    transaction: Transaction<'a>,
    watch: &'a Watch,
}

impl Tx<'_> {
    /// Runs a statement and returns its rows.
    pub async fn query(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let work = async {
            let prepared = self.transaction.prepare_cached(statement.sql).await?;
            self.transaction.query(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Runs a statement that returns at most one row.
    pub async fn query_opt(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        let work = async {
            let prepared = self.transaction.prepare_cached(statement.sql).await?;
            self.transaction.query_opt(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Runs a statement that returns exactly one row.
    pub async fn query_one(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Row, StoreError> {
        let work = async {
            let prepared = self.transaction.prepare_cached(statement.sql).await?;
            self.transaction.query_one(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<u64, StoreError> {
        let work = async {
            let prepared = self.transaction.prepare_cached(statement.sql).await?;
            self.transaction.execute(&prepared, params).await
        };
        self.watch.run(statement.name, work).await
    }

    /// Commits. If this fails with [`StoreError::Unavailable`] or [`StoreError::Timeout`] it is
    /// unknown whether the transaction took place.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.watch.run("commit", self.transaction.commit()).await
    }
}
