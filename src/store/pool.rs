//! The pool of connections: its size, its time-outs, and the closing of idle ones.

mod places;
mod share;
mod shortage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

pub(super) use self::places::Place;
use self::places::Places;
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
    pool: Pool,
    /// Who uses a connection of the pool has one of these.
    places: Arc<Places>,
    division: Mutex<Division>,
    shortage: ShortageLog,
    /// The longest wait for a place.
    acquire_timeout: Duration,
    limits: Arc<Limits>,
    breaker: Breaker,
    server: Server,
    reaper: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reaper.abort();
        self.places.close();
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
        let places = Places::new(size);
        let pool = make_pool(config, &session, url)?;
        let suspicion = Duration::from_millis(config.suspect_after_ms);
        let breaker = Breaker::new(url, &session, suspicion);
        let reaper = tokio::spawn(reap(
            pool.clone(),
            Arc::clone(&places),
            Duration::from_secs(config.idle_timeout_s),
            config.pool_min,
        ));
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                places,
                division: Mutex::new(division),
                shortage: ShortageLog::default(),
                acquire_timeout: Duration::from_millis(config.acquire_timeout_ms),
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

    /// So many nodes live that use the server, this one included: the pool takes no more than its
    /// part. How long from now this should be said again, if at all.
    pub fn divide_among(&self, nodes: usize) -> Option<Duration> {
        let Shared { pool, places, .. } = &*self.shared;
        let mut division = self.shared.division.lock();
        let again_in = division.living(nodes, Instant::now());
        let (before, size) = (places.size(), division.size());
        if size != before {
            places.resize(size);
            close_idle(pool, size, |_| true);
            if size < division.share.asked {
                tell_of_less(&division);
            } else {
                tracing::info!(
                    pool = size,
                    nodes = division.nodes,
                    "the pool has all that database.pool_max says"
                );
            }
            self.show();
        }
        again_in
    }

    /// A connection, from the pool or new. Refused at once while Postgres counts as away.
    pub async fn get(&self) -> Result<Conn, StoreError> {
        let started = Instant::now();
        let acquired = self.acquire().await;
        metrics::observe_acquire(started.elapsed());
        self.show();
        match &acquired {
            Ok(_) => self.shared.shortage.served(),
            Err(error) => metrics::count_error(error.kind()),
        }
        acquired
    }

    fn show(&self) {
        let Shared { pool, places, .. } = &*self.shared;
        show_pool(pool, places);
    }

    async fn acquire(&self) -> Result<Conn, StoreError> {
        let Shared {
            limits, breaker, ..
        } = &*self.shared;
        breaker.check()?;
        let acquiring = async {
            let getting = self.take();
            tokio::pin!(getting);
            // Often there is one, and then nothing else is looked at.
            if let Ok(taken) = tokio::time::timeout(limits.suspicion, &mut getting).await {
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

    async fn take(&self) -> Result<Conn, PoolError> {
        let Shared {
            pool,
            places,
            limits,
            acquire_timeout,
            ..
        } = &*self.shared;
        let place = tokio::time::timeout(*acquire_timeout, places.take())
            .await
            .map_err(|_| PoolError::Timeout(TimeoutType::Wait))?
            .map_err(|_| PoolError::Closed)?;
        Ok(Conn::new(pool.get().await?, place, limits))
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
        self.shared.places.size()
    }

    /// How many connections of the pool are open.
    #[must_use]
    pub fn pool_size(&self) -> usize {
        self.shared.pool.status().size
    }

    /// Closes the pool: connections that are in use end when they are dropped, and nobody gets
    /// a new one.
    pub fn close(&self) {
        self.shared.places.close();
        self.shared.pool.close();
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

fn make_pool(
    config: &crate::config::Database,
    session: &SessionOptions,
    url: &str,
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
        // Who has a place need not wait.
        .max_size(config.pool_max)
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

/// Closes connections that nobody has used for `idle`, except for `keep` of them, and those that
/// are more than there are places.
async fn reap(pool: Pool, places: Arc<Places>, idle: Duration, keep: usize) {
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(250)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let size = places.size();
        close_idle(&pool, keep.min(size), |unused| unused >= idle);
        close_idle(&pool, size, |_| true);
        show_pool(&pool, &places);
    }
}

/// Closes connections that are lost, and of those that nobody uses as many as there are beyond
/// `keep`, if they have been unused for long enough.
fn close_idle(pool: &Pool, keep: usize, is_enough: impl Fn(Duration) -> bool) {
    let mut open = pool.status().size;
    pool.retain(|client, metrics| {
        let stays = !client.is_closed() && (open <= keep || !is_enough(metrics.last_used()));
        if !stays {
            open = open.saturating_sub(1);
        }
        stays
    });
}

fn show_pool(pool: &Pool, places: &Places) {
    metrics::show_pool(&pool.status(), places.size(), places.waiting());
}
