//! The breaker: while Postgres is away or frozen, callers are refused at once instead of each
//! waiting for its own time-out.
//!
//! Whenever a connection is lost or cannot be made, and whenever a statement or the wait for a
//! connection takes suspiciously long, the server is *probed*, by a connection of its own. Only a
//! probe that is not answered opens the breaker: a slow statement, a busy pool or one lost
//! connection does not. While it is open only probes go to the server, at growing and jittered
//! pauses, and the first that is answered closes it. What was under way when it opened is left to
//! its own limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::StoreError;
use super::metrics::{BREAKER_OPEN, BREAKER_OPENED};
use super::session::{SessionOptions, connect_single};

/// The pause before the second probe; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is thought of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opinion {
    /// It answers.
    Fine,
    /// It is being probed.
    Suspected,
    /// It is away.
    Away,
}

/// What callers see of the server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    options: SessionOptions,
    /// Probes run there, whoever has asked for them.
    runtime: tokio::runtime::Handle,
    opinion: Mutex<Opinion>,
    /// Whether it is open.
    open: watch::Sender<bool>,
    probing: Mutex<Option<JoinHandle<()>>>,
}

/// Without the address, which holds a password.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("opinion", &self.opinion)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(probing) = self.probing.lock().take() {
            probing.abort();
        }
    }
}

impl Breaker {
    /// Closed. A probe has `limit` for its answer.
    pub(super) fn new(url: &str, session: &SessionOptions, limit: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                url: url.to_owned(),
                options: SessionOptions {
                    application_name: "hubbub-probe",
                    connect_timeout: limit.min(session.connect_timeout),
                    ..session.clone()
                },
                runtime: tokio::runtime::Handle::current(),
                opinion: Mutex::new(Opinion::Fine),
                open: watch::Sender::new(false),
                probing: Mutex::new(None),
            }),
        }
    }

    /// Whether it is open, and when that changes.
    pub(super) fn states(&self) -> watch::Receiver<bool> {
        self.shared.open.subscribe()
    }

    /// Refuses while it is open.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if *self.shared.open.borrow() {
            return Err(is_away());
        }
        Ok(())
    }

    /// Ends when it opens.
    pub(super) async fn opened(&self) -> StoreError {
        let mut states = self.shared.open.subscribe();
        // The sender lives as long as this does.
        states.wait_for(|open| *open).await.ok();
        is_away()
    }

    /// Something takes long or has failed: is the server there?
    pub(super) fn suspect(&self) {
        let mut opinion = self.shared.opinion.lock();
        if *opinion == Opinion::Fine {
            *opinion = Opinion::Suspected;
            let probing = probe_until_answered(Arc::downgrade(&self.shared));
            *self.shared.probing.lock() = Some(self.shared.runtime.spawn(probing));
        }
    }
}

impl Shared {
    fn open(&self) {
        let mut opinion = self.opinion.lock();
        if *opinion != Opinion::Away {
            *opinion = Opinion::Away;
            BREAKER_OPEN.set(1);
            BREAKER_OPENED.inc();
            tracing::warn!("the database does not answer; what needs it is refused until it does");
            self.open.send_replace(true);
        }
    }

    fn close(&self) {
        let mut opinion = self.opinion.lock();
        if *opinion == Opinion::Away {
            BREAKER_OPEN.set(0);
            tracing::info!("the database answers again");
            self.open.send_replace(false);
        }
        *opinion = Opinion::Fine;
    }
}

/// Probes until the server answers or nobody is left who wants to know.
async fn probe_until_answered(breaker: std::sync::Weak<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some((url, options)) = breaker
            .upgrade()
            .map(|shared| (shared.url.clone(), shared.options.clone()))
        else {
            return;
        };
        let is_there = answers(&url, &options).await;
        let Some(shared) = breaker.upgrade() else {
            return;
        };
        if is_there {
            return shared.close();
        }
        shared.open();
        drop(shared);
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the server is there: it lets us in, or has no place for another connection.
async fn answers(url: &str, options: &SessionOptions) -> bool {
    let asking = async {
        let (client, _driver) = connect_single(url, options).await?;
        let answer = client.simple_query("").await;
        answer.map_err(|error| StoreError::classify(error, "probe"))
    };
    match tokio::time::timeout(options.connect_timeout, asking).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => is_full(&error),
        Err(_) => false,
    }
}

/// Whether the server is out of connections.
fn is_full(error: &StoreError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            let full = &tokio_postgres::error::SqlState::TOO_MANY_CONNECTIONS;
            return error.code() == Some(full);
        }
        source = error.source();
    }
    false
}

fn is_away() -> StoreError {
    StoreError::unavailable("it has not answered; it is asked again in a moment")
}
