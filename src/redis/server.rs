//! One server and the connection to it, which is the breaker: while there is none, calls are refused.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::backoff::Backoff;
use super::endpoint::{Endpoint, Patience};
use super::error::LinkError;
use super::metrics::{BREAKER_OPEN, TRIPS};
use crate::metric::Counted;

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) endpoint: Endpoint,
    patience: Patience,
    /// How long a call may take.
    pub(super) call_timeout: Duration,
    /// So many calls in a row without an answer end a connection.
    timeouts_max: u32,
    current: RwLock<Option<Arc<Connected>>>,
}

/// A connection that has answered a probe.
#[derive(Debug)]
pub(super) struct Connected {
    connection: MultiplexedConnection,
    /// Calls in a row that were not answered in time.
    silent: AtomicU32,
    /// There were too many of them.
    tripped: Notify,
}

impl Connected {
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// A call was answered.
    pub(super) fn answered(&self) {
        self.silent.store(0, Ordering::Relaxed);
    }
}

impl Server {
    pub(super) fn new(
        endpoint: Endpoint,
        patience: Patience,
        call_timeout: Duration,
        timeouts_max: u32,
    ) -> Self {
        Self {
            endpoint,
            patience,
            call_timeout,
            timeouts_max,
            current: RwLock::new(None),
        }
    }

    /// How long its answers may take.
    pub(super) fn response_timeout(&self) -> Duration {
        self.patience.response
    }

    /// The connection, while there is one that works.
    pub(super) fn connected(&self) -> Option<Arc<Connected>> {
        self.current.read().clone()
    }

    /// One was not, in time. After so many nobody uses it any more.
    pub(super) fn unanswered(&self, by: &Arc<Connected>) {
        if by.silent.fetch_add(1, Ordering::Relaxed) + 1 != self.timeouts_max {
            return;
        }
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|it| Arc::ptr_eq(it, by)) {
            *current = None;
            TRIPS.inc();
            by.tripped.notify_one();
        }
    }

    /// Keeps a connection for as long as it is polled. Failures are told to `failed`.
    pub(super) async fn keep(self: Arc<Self>, failed: impl Fn(&LinkError), up: impl Fn()) {
        let Patience {
            reconnect_min,
            reconnect_max,
            ..
        } = self.patience;
        let mut backoff = Backoff::new(reconnect_min, reconnect_max);
        let mut open = Some(Counted::new(&BREAKER_OPEN));
        loop {
            let mut made = None;
            let outcome = self
                .live(|| {
                    made = Some(Instant::now());
                    open = None;
                    up();
                })
                .await;
            *self.current.write() = None;
            open.get_or_insert_with(|| Counted::new(&BREAKER_OPEN));
            let error = match outcome {
                Err(error) => error,
                Ok(never) => match never {},
            };
            failed(&error);
            let lasted = made.map(|made| made.elapsed()).unwrap_or_default();
            tokio::time::sleep(backoff.pause(lasted, rand::random())).await;
        }
    }

    /// One life of the connection.
    async fn live(&self, up: impl FnOnce()) -> Result<Infallible, LinkError> {
        let patience = &self.patience;
        let closed = Arc::new(Notify::new());
        let push = {
            let closed = Arc::clone(&closed);
            move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    closed.notify_one();
                }
                Ok::<_, Infallible>(())
            }
        };
        let connection = self.endpoint.connect(patience, push).await?;
        ping(patience, connection.clone()).await?;
        let connected = Arc::new(Connected {
            connection: connection.clone(),
            silent: AtomicU32::new(0),
            tripped: Notify::new(),
        });
        *self.current.write() = Some(Arc::clone(&connected));
        up();
        let mut pings = interval(patience.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            tokio::select! {
                biased;
                () = closed.notified() => return Err(LinkError::Closed),
                () = connected.tripped.notified() => return Err(LinkError::Unanswered),
                _ = pings.tick() => {
                    tokio::select! {
                        biased;
                        () = connected.tripped.notified() => return Err(LinkError::Unanswered),
                        answer = ping(patience, connection.clone()) => answer?,
                    }
                }
            }
        }
    }
}

async fn ping(patience: &Patience, mut connection: MultiplexedConnection) -> Result<(), LinkError> {
    let ping = redis::cmd("PING");
    let answer = connection.send_packed_command(&ping);
    patience.answer(answer).await?.extract_error()?;
    Ok(())
}
