//! The pool of connections: its size, its time-outs, and the closing of idle ones.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

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
    pool: Pool,
    limits: Arc<Limits>,
    breaker: Breaker,
    server: Server,
    reaper: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reaper.abort();
        self.pool.close();
    }
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
        let size = server_check::pool_size(config.pool_max, &server, outside)?;
        tracing::info!(
            postgres = server.version,
            pool = size,
            asked = config.pool_max,
            server = server.connections,
            outside,
            "connected to Postgres"
        );
        let pool = make_pool(config, &session, url, size)?;
        let suspicion = Duration::from_millis(config.suspect_after_ms);
        let breaker = Breaker::new(url, &session, suspicion);
        let reaper = tokio::spawn(reap(
            pool.clone(),
            Duration::from_secs(config.idle_timeout_s),
            config.pool_min,
        ));
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                breaker: breaker.clone(),
                limits: Arc::new(Limits {
                    breaker,
                    patience: session.statement_timeout + MARGIN,
                    suspicion,
                    slow: Duration::from_millis(config.slow_query_ms),
                    log_all: config.log_queries,
                }),
                server,
                reaper,
            }),
        })
    }

    /// A connection, from the pool or new. Refused at once while Postgres counts as away.
    pub async fn get(&self) -> Result<Conn, StoreError> {
        let started = Instant::now();
        let acquired = self.acquire().await;
        metrics::observe_acquire(started.elapsed());
        metrics::show_pool(&self.shared.pool.status());
        if let Err(error) = &acquired {
            metrics::count_error(error.kind());
        }
        acquired
    }

    async fn acquire(&self) -> Result<Conn, StoreError> {
        let Shared {
            pool,
            limits,
            breaker,
            ..
        } = &*self.shared;
        breaker.check()?;
        let acquiring = async {
            let getting = pool.get();
            tokio::pin!(getting);
            // Often there is one, and then nothing else is looked at.
            if let Ok(object) = tokio::time::timeout(limits.suspicion, &mut getting).await {
                return object;
            }
            breaker.suspect();
            getting.await
        };
        let acquired = tokio::select! {
            biased;
            acquired = acquiring => acquired,
            refused = breaker.opened() => return Err(refused),
        };
        match acquired {
            Ok(object) => Ok(Conn::new(object, limits)),
            Err(error) => {
                // Others have the connections, but the server may be well.
                if !matches!(
                    error,
                    PoolError::Timeout(TimeoutType::Wait) | PoolError::Closed
                ) {
                    breaker.suspect();
                }
                Err(sort_pool_error(error))
            }
        }
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

    /// How many connections the pool may open.
    #[must_use]
    pub fn pool_max(&self) -> usize {
        self.shared.pool.status().max_size
    }

    /// How many connections of the pool are open.
    #[must_use]
    pub fn pool_size(&self) -> usize {
        self.shared.pool.status().size
    }

    /// Closes the pool: connections that are in use end when they are dropped, and nobody gets
    /// a new one.
    pub fn close(&self) {
        self.shared.pool.close();
    }
}

fn make_pool(
    config: &crate::config::Database,
    session: &SessionOptions,
    url: &str,
    size: usize,
) -> Result<Pool, StoreError> {
    let connect = OnRuntime {
        runtime: tokio::runtime::Handle::current(),
    };
    let manager = Manager::from_connect(
        session.apply(url)?,
        connect,
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_millis(config.acquire_timeout_ms)))
        .create_timeout(Some(session.connect_timeout))
        .build()
        .map_err(StoreError::unavailable)
}

/// Opens connections on the store's runtime. Any worker thread may find the pool empty; a
/// connection that it opened on its own single-threaded runtime would stall whenever it is busy.
struct OnRuntime {
    runtime: tokio::runtime::Handle,
}

type Connected = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for OnRuntime {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let there = self.runtime.spawn(open(config.clone())).await;
            match there {
                Ok(connected) => connected,
                // The store's runtime is shutting down.
                Err(_) => open(config).await,
            }
        })
    }
}

async fn open(config: tokio_postgres::Config) -> Connected {
    let (client, connection) = config.connect(NoTls).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of the pool was lost");
        }
    });
    Ok((client, driver))
}

fn sort_pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => StoreError::Timeout {
            what: "waiting for a connection of the pool",
        },
        PoolError::Timeout(_) => StoreError::Timeout { what: "connecting" },
        other => StoreError::unavailable(other),
    }
}

/// Closes connections that nobody has used for `idle`, except for `keep` of them.
async fn reap(pool: Pool, idle: Duration, keep: usize) {
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(250)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut open = pool.status().size;
        pool.retain(|client, metrics| {
            if client.is_closed() {
                open = open.saturating_sub(1);
                return false;
            }
            let stays = metrics.last_used() < idle || open <= keep;
            if !stays {
                open -= 1;
            }
            stays
        });
        metrics::show_pool(&pool.status());
    }
}
