//! The node's access to Postgres: the pool of connections, its part of what the server has, and who gets
//! none.

mod connections;
mod places;
mod share;
mod shortage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{PoolError, TimeoutType};
use parking_lot::Mutex;
use tokio::sync::watch;

pub(super) use self::connections::{Connections, Plan, sort_pool_error};
pub(super) use self::places::Place;
use self::share::{Division, Share};
use self::shortage::ShortageLog;
use super::breaker::Breaker;
use super::conn::{Conn, Limits};
use super::error::StoreError;
use super::metrics;
use super::server_check::{self, Server};
use super::session::{SessionOptions, connect_single};

/// How much longer than the server's `statement_timeout` the node waits for an answer: enough
/// for the server's own error to arrive over a slow link.
const MARGIN: Duration = Duration::from_secs(1);

/// Connections that a node with default settings opens outside the pool: four journal writers
/// with two each, LISTEN, NOTIFY, and two for migrations and by hand.
const USUALLY_OUTSIDE: usize = 12;

/// The node's access to Postgres. Cheap to clone; the pool closes with the last clone.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    division: Mutex<Division>,
    shortage: ShortageLog,
    /// Who waits longer for a connection has the server probed.
    suspicion: Duration,
    breaker: Breaker,
    server: Server,
}

impl Store {
    /// Checks the server behind `url` and makes a pool. The connections' drivers run on the
    /// runtime that calls this.
    pub async fn connect(config: &crate::config::Database, url: &str) -> Result<Self, StoreError> {
        Self::connect_beside(config, url, USUALLY_OUTSIDE).await
    }

    /// As [`Store::connect`], where the node opens `outside` connections besides the pool's.
    pub async fn connect_beside(
        config: &crate::config::Database,
        url: &str,
        outside: usize,
    ) -> Result<Self, StoreError> {
        let session = SessionOptions::from_config(config);
        let server = {
            let (client, _driver) = connect_single(url, &session).await?;
            let check = server_check::check(&client, config.require_fsync);
            tokio::time::timeout(session.connect_timeout, check)
                .await
                .map_err(|_| StoreError::Timeout {
                    what: "the server's settings",
                })??
        };
        let share = Share {
            asked: config.pool_max,
            connections: server.connections,
            outside,
            expected: config.nodes_expected,
        };
        share.check()?;
        let division = Division::new(share);
        let size = division.size();
        tracing::info!(
            postgres = server.version,
            pool = size,
            asked = config.pool_max,
            server = server.connections,
            outside,
            "connected to Postgres"
        );
        if size < config.pool_max {
            tell_of_less(&division);
        }
        let suspicion = Duration::from_millis(config.suspect_after_ms);
        let breaker = Breaker::new(url, &session, suspicion);
        let connections = Connections::new(Plan {
            url,
            session: &session,
            max: config.pool_max,
            min: config.pool_min,
            wait: Duration::from_millis(config.acquire_timeout_ms),
            idle: Duration::from_secs(config.idle_timeout_s),
            limits: Limits {
                breaker: Some(breaker.clone()),
                patience: session.statement_timeout + MARGIN,
                suspicion,
                slow: Duration::from_millis(config.slow_query_ms),
                log_all: config.log_queries,
            },
            examination: None,
            show: metrics::show_pool,
        })?;
        connections.resize(size);
        Ok(Self {
            shared: Arc::new(Shared {
                connections,
                division: Mutex::new(division),
                shortage: ShortageLog::default(),
                suspicion,
                breaker,
                server,
            }),
        })
    }

    /// So many nodes live that use the server, this one included: the pool takes no more than its
    /// part. How long from now this should be said again, if at all.
    pub fn divide_among(&self, nodes: usize) -> Option<Duration> {
        let connections = &self.shared.connections;
        let mut division = self.shared.division.lock();
        let again_in = division.living(nodes, Instant::now());
        let (before, size) = (connections.size(), division.size());
        if size != before {
            connections.resize(size);
            if size < division.share.asked {
                tell_of_less(&division);
            } else {
                tracing::info!(
                    pool = size,
                    nodes = division.nodes,
                    "the pool has all that database.pool_max says"
                );
            }
            connections.show();
        }
        again_in
    }

    /// A connection, from the pool or new. Refused at once while Postgres counts as away.
    pub async fn get(&self) -> Result<Conn, StoreError> {
        let started = Instant::now();
        let acquired = self.acquire().await;
        metrics::observe_acquire(started.elapsed());
        self.shared.connections.show();
        match &acquired {
            Ok(_) => self.shared.shortage.served(),
            Err(error) => metrics::count_error(error.kind()),
        }
        acquired
    }

    async fn acquire(&self) -> Result<Conn, StoreError> {
        let Shared {
            connections,
            suspicion,
            breaker,
            ..
        } = &*self.shared;
        breaker.check()?;
        let acquiring = async {
            let getting = connections.take();
            tokio::pin!(getting);
            // Often there is one, and then nothing else is looked at.
            if let Ok(taken) = tokio::time::timeout(*suspicion, &mut getting).await {
                return taken;
            }
            breaker.suspect();
            let mut unserved = Unserved(Some(self));
            let taken = getting.await;
            unserved.0 = None;
            taken
        };
        let acquired = tokio::select! {
            biased;
            acquired = acquiring => acquired,
            refused = breaker.opened() => return Err(refused),
        };
        acquired.map_err(|error| {
            // Others have the connections, but the server may be well.
            if !matches!(
                error,
                PoolError::Timeout(TimeoutType::Wait) | PoolError::Closed
            ) {
                breaker.suspect();
            }
            let is_closed = matches!(error, PoolError::Closed);
            let error = sort_pool_error(error);
            if !is_closed {
                self.shared.shortage.refused(&error, self.pool_max());
            }
            error
        })
    }

    /// Whether Postgres counts as away, and when that changes. While it does, requests to it are
    /// refused at once.
    #[must_use]
    pub fn outages(&self) -> watch::Receiver<bool> {
        self.shared.breaker.states()
    }

    /// Whether Postgres answers within `limit`, for health checks.
    pub async fn ping(&self, limit: Duration) -> Result<(), StoreError> {
        let answer = async {
            let conn = self.get().await?;
            conn.ping().await
        };
        tokio::time::timeout(limit, answer)
            .await
            .map_err(|_| StoreError::Timeout { what: "ping" })?
    }

    /// What was found out about the server at the start.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.shared.server
    }

    /// How many connections the pool may open. Changes with the number of nodes.
    #[must_use]
    pub fn pool_max(&self) -> usize {
        self.shared.connections.size()
    }

    /// How many connections of the pool are open.
    #[must_use]
    pub fn pool_size(&self) -> usize {
        self.shared.connections.open()
    }

    /// Closes the pool: connections that are in use end when they are dropped, and nobody gets
    /// a new one.
    pub fn close(&self) {
        self.shared.connections.close();
    }
}

/// A caller who waits for long, and may give up: then it has had no connection either.
struct Unserved<'a>(Option<&'a Store>);

impl Drop for Unserved<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.0
            // That is told by itself.
            && store.shared.breaker.check().is_ok()
        {
            let error = StoreError::Timeout {
                what: "waiting for a connection of the pool",
            };
            store.shared.shortage.refused(&error, store.pool_max());
        }
    }
}

/// Says that the pool gets less than was asked for.
fn tell_of_less(division: &Division) {
    let Share {
        asked,
        connections,
        outside,
        ..
    } = division.share;
    tracing::warn!(
        pool = division.size(),
        nodes = division.nodes,
        "Postgres allows {connections} connections to all nodes, and each needs {outside} besides its \
         pool: the pool has fewer than database.pool_max = {asked}. Raise max_connections of \
         Postgres, or lower database.pool_max"
    );
}
