//! Connections to one server: at most so many are used at once, and those that nobody uses are closed
//! after a while.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Connect, Hook, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Status,
    TimeoutType,
};
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::places::{Place, Places};
use crate::store::conn::{Conn, Limits};
use crate::store::error::StoreError;
use crate::store::session::SessionOptions;

/// How many connections there may be, and for how long what is done with them may take.
pub(in crate::store) struct Plan<'a> {
    pub(in crate::store) url: &'a str,
    pub(in crate::store) session: &'a SessionOptions,
    /// Connections at most.
    pub(in crate::store) max: usize,
    /// Connections that stay open when nobody uses them.
    pub(in crate::store) min: usize,
    /// The longest wait for one that is in use.
    pub(in crate::store) wait: Duration,
    /// After this time without use one is closed.
    pub(in crate::store) idle: Duration,
    /// Of every statement.
    pub(in crate::store) limits: Limits,
    /// What a new connection is put to, before it is used.
    pub(in crate::store) examination: Option<Hook>,
    /// Told now and then what there is: open connections, places, and who waits for one.
    pub(in crate::store) show: fn(&Status, usize, usize),
}

/// The connections. They are closed when this is dropped.
#[derive(Debug)]
pub(in crate::store) struct Connections {
    pool: Pool,
    /// Who uses one has one of these.
    places: Arc<Places>,
    limits: Arc<Limits>,
    wait: Duration,
    show: fn(&Status, usize, usize),
    reaper: JoinHandle<()>,
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.reaper.abort();
        self.close();
    }
}

impl Connections {
    /// None is open yet. Their drivers will run on the runtime that calls this.
    pub(in crate::store) fn new(plan: Plan<'_>) -> Result<Self, StoreError> {
        let connect = OnRuntime {
            runtime: tokio::runtime::Handle::current(),
        };
        let manager = Manager::from_connect(
            plan.session.apply(plan.url)?,
            connect,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let mut builder = Pool::builder(manager)
            // Who has a place need not wait.
            .max_size(plan.max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(plan.wait))
            .create_timeout(Some(plan.session.connect_timeout));
        if let Some(examination) = plan.examination {
            builder = builder.post_create(examination);
        }
        let pool = builder.build().map_err(StoreError::unavailable)?;
        let places = Places::new(plan.max);
        let reaper = tokio::spawn(reap(
            pool.clone(),
            Arc::clone(&places),
            plan.idle,
            plan.min,
            plan.show,
        ));
        Ok(Self {
            pool,
            places,
            limits: Arc::new(plan.limits),
            wait: plan.wait,
            show: plan.show,
            reaper,
        })
    }

    /// One that is open, or a new one.
    pub(in crate::store) async fn take(&self) -> Result<Conn, PoolError> {
        let place = tokio::time::timeout(self.wait, self.places.take())
            .await
            .map_err(|_| PoolError::Timeout(TimeoutType::Wait))?
            .map_err(|_| PoolError::Closed)?;
        self.take_at(place).await
    }

    /// The same, for who has a place.
    pub(in crate::store) async fn take_at(&self, place: Place) -> Result<Conn, PoolError> {
        Ok(Conn::new(self.pool.get().await?, place, &self.limits))
    }

    /// A place, if one is free.
    pub(in crate::store) fn try_place(&self) -> Option<Place> {
        self.places.take().now_or_never()?.ok()
    }

    /// How many places are free.
    pub(in crate::store) fn free(&self) -> usize {
        self.places.free()
    }

    /// How many may be used at once.
    pub(in crate::store) fn size(&self) -> usize {
        self.places.size()
    }

    /// How many are open.
    pub(in crate::store) fn open(&self) -> usize {
        self.pool.status().size
    }

    /// From now on so many at most. Those beyond that are closed when nobody uses them.
    pub(super) fn resize(&self, size: usize) {
        self.places.resize(size);
        close_idle(&self.pool, size, |_| true);
    }

    /// Closes those that nobody uses.
    pub(in crate::store) fn close_unused(&self) {
        close_idle(&self.pool, 0, |_| true);
    }

    /// Shows what there is.
    pub(super) fn show(&self) {
        show(&self.pool, &self.places, self.show);
    }

    /// Those in use end when they are dropped, and nobody gets a new one.
    pub(in crate::store) fn close(&self) {
        self.places.close();
        self.pool.close();
    }
}

/// Why there is no connection, as the store says it.
pub(in crate::store) fn sort_pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => StoreError::Timeout {
            what: "waiting for a connection of the pool",
        },
        PoolError::Timeout(_) => StoreError::Timeout { what: "connecting" },
        other => StoreError::unavailable(other),
    }
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

/// Closes connections that nobody has used for `idle`, except for `keep` of them, and those that
/// are more than there are places.
async fn reap(
    pool: Pool,
    places: Arc<Places>,
    idle: Duration,
    keep: usize,
    told: fn(&Status, usize, usize),
) {
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(250)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let size = places.size();
        close_idle(&pool, keep.min(size), |unused| unused >= idle);
        close_idle(&pool, size, |_| true);
        show(&pool, &places, told);
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

fn show(pool: &Pool, places: &Places, told: fn(&Status, usize, usize)) {
    told(&pool.status(), places.size(), places.waiting());
}
