//! What the bus's callers and its tasks share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::channel::Channels;
use super::receiving::LogPace;
use super::routes::Routes;
use crate::bus::envelope::Origin;
use crate::bus::metrics::{STATE, WAITING};
use crate::bus::presence::rooms_among;
use crate::bus::queue::Sender;
use crate::bus::{Arrival, BusHealth, BusState, Express};
use crate::config;
use crate::protocol::id::RoomId;
use crate::redis::endpoint::Patience;
use crate::redis::error::LinkError;
use crate::redis::topology::Place;

/// The same failure is logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Failures that are told apart. Each server of a cluster has its own, and each of a link's two
/// connections.
const LOGGED: usize = 64;

/// The bus.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: config::Redis,
    pub(super) patience: Patience,
    pub(super) origin: Origin,
    pub(super) channels: Channels,
    pub(super) lanes: Vec<Sender<Arrival>>,
    /// Who is asked before they are used.
    pub(super) express: OnceLock<Arc<dyn Express>>,
    /// What the rooms of this node want. Held while rooms are given to links, so that none is
    /// forgotten.
    pub(super) wanted: Mutex<HashSet<RoomId>>,
    pub(super) routes: RwLock<Arc<Routes>>,
    /// The cluster may have other masters than it had.
    pub(super) doubt: Notify,
    pub(super) waiting: AtomicUsize,
    pub(super) refusals: Mutex<LogPace>,
    pub(super) state: watch::Sender<BusState>,
    status: Mutex<Status>,
}

/// The commands that differ in a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verbs {
    pub(super) publish: &'static str,
}

#[derive(Debug)]
struct Status {
    since: Instant,
    last_error: Option<(String, Instant)>,
    /// What was logged since all was well, and when; at most [`LOGGED`], the oldest first.
    logged: Vec<(String, Instant)>,
}

impl Status {
    /// Whether this is to be logged now.
    fn is_news(&mut self, text: &str, now: Instant) -> bool {
        self.logged
            .retain(|(_, at)| now.duration_since(*at) < LOG_AGAIN);
        if self.logged.iter().any(|(logged, _)| logged == text) {
            return false;
        }
        if self.logged.len() == LOGGED {
            self.logged.remove(0);
        }
        self.logged.push((text.to_owned(), now));
        true
    }
}

impl Shared {
    pub(super) fn new(config: config::Redis, origin: Origin, lanes: Vec<Sender<Arrival>>) -> Self {
        let state = BusState::Fallback;
        for other in [BusState::Local, BusState::Redis] {
            STATE.with_label_values(&[other.name()]).set(0);
        }
        STATE.with_label_values(&[state.name()]).set(1);
        Self {
            patience: Patience::from(&config),
            channels: Channels::new(&config.channel_prefix),
            config,
            origin,
            lanes,
            express: OnceLock::new(),
            wanted: Mutex::default(),
            routes: RwLock::default(),
            doubt: Notify::new(),
            waiting: AtomicUsize::new(0),
            refusals: Mutex::default(),
            state: watch::Sender::new(state),
            status: Mutex::new(Status {
                since: Instant::now(),
                last_error: None,
                logged: Vec::new(),
            }),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.config.is_cluster()
    }

    pub(super) fn verbs(&self) -> Verbs {
        Verbs {
            publish: if self.is_cluster() {
                "SPUBLISH"
            } else {
                "PUBLISH"
            },
        }
    }

    pub(super) fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read())
    }

    /// Something failed, of the server there.
    pub(super) fn failed(&self, place: &Place, error: &LinkError) {
        // What Redis says does not hold what it was sent.
        let text = format!("{place}: {error}");
        let now = Instant::now();
        let mut status = self.status.lock();
        if status.is_news(&text, now) {
            tracing::warn!(server = %place, %error, "a connection of the bus to Redis failed");
        }
        status.last_error = Some((text, now));
        if self.is_cluster() {
            self.doubt.notify_one();
        }
    }

    /// Something has changed that the state depends on. Called on the bus's thread alone.
    pub(super) fn refresh(&self) {
        let state = if self.routes().is_up() {
            BusState::Redis
        } else {
            BusState::Fallback
        };
        let before = *self.state.borrow();
        if state == before {
            return;
        }
        let mut status = self.status.lock();
        let lasted_ms = status.since.elapsed().as_millis();
        status.since = Instant::now();
        if state == BusState::Redis {
            status.logged.clear();
        }
        drop(status);
        STATE.with_label_values(&[before.name()]).set(0);
        STATE.with_label_values(&[state.name()]).set(1);
        if state == BusState::Redis {
            tracing::info!(after_ms = lasted_ms, "the bus is connected to Redis");
        } else {
            tracing::warn!("Redis is away; what happens on other nodes is read from Postgres");
        }
        self.state.send_replace(state);
    }

    pub(super) fn health(&self) -> BusHealth {
        let routes = self.routes();
        let status = self.status.lock();
        BusHealth {
            state: *self.state.borrow(),
            since: status.since,
            last_error: status.last_error.clone(),
            servers: routes.links().len(),
            servers_up: routes.links().iter().filter(|link| link.is_up()).count(),
            rooms: rooms_among(self.wanted.lock().len()),
        }
    }
}

/// Envelopes that have been taken out of the queue; they count as waiting until this is dropped.
pub(super) struct InFlight<'a> {
    shared: &'a Shared,
    count: usize,
}

impl<'a> InFlight<'a> {
    pub(super) fn new(shared: &'a Shared, count: usize) -> Self {
        Self { shared, count }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(self.count, Ordering::AcqRel);
        WAITING.sub(i64::try_from(self.count).unwrap_or(i64::MAX));
    }
}
