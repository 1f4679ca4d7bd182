//! A link: what the node has to one server. Two connections, as a server that holds one up by what
//! it sends must not hold up what it is sent; each by itself is connected again when it breaks.

use std::collections::HashSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::shared::Shared;
use super::subscriptions::Subscriptions;
use super::{publisher, subscriber};
use crate::bus::envelope::Envelope;
use crate::bus::metrics::{CONNECTS, DISCONNECTS};
use crate::bus::queue::{self, Sender};
use crate::protocol::id::RoomId;
use crate::redis::backoff::Backoff;
use crate::redis::endpoint::Endpoint;
use crate::redis::error::LinkError;

/// What everybody may know of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    pub(super) subscriptions: Mutex<Subscriptions>,
    /// They have changed.
    pub(super) changed: Notify,
    pub(super) queue: Sender<Envelope>,
    /// A channel by which publishing is tried out.
    pub(super) probe: Mutex<String>,
    /// What is published is taken.
    publishes: AtomicBool,
    /// All rooms have been subscribed to since the connection was made.
    hears: AtomicBool,
}

/// A link and its tasks, which end with it.
pub(super) struct Running {
    pub(super) link: Arc<Link>,
    _tasks: JoinSet<()>,
}

impl Link {
    /// Begins to connect.
    pub(super) fn start(shared: &Arc<Shared>, endpoint: Endpoint, probe: String) -> Running {
        let config = &shared.config;
        let (queue, waiting) = queue::bounded(config.publish_queue_max, config.publish_queue_bytes);
        let link = Arc::new(Self {
            endpoint,
            subscriptions: Mutex::default(),
            changed: Notify::new(),
            queue,
            probe: Mutex::new(probe),
            publishes: AtomicBool::new(false),
            hears: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(publisher::run(
            Arc::clone(shared),
            Arc::clone(&link),
            waiting,
        ));
        tasks.spawn(subscriber::run(Arc::clone(shared), Arc::clone(&link)));
        Running {
            link,
            _tasks: tasks,
        }
    }

    /// Everything works.
    pub(super) fn is_up(&self) -> bool {
        self.can_publish() && self.hears.load(Ordering::Acquire)
    }

    /// What is published now is probably taken.
    pub(super) fn can_publish(&self) -> bool {
        self.publishes.load(Ordering::Acquire)
    }

    pub(super) fn set_publishes(&self, publishes: bool) {
        self.publishes.store(publishes, Ordering::Release);
    }

    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Release);
    }

    /// This room is wanted from this server, or no longer.
    pub(super) fn set(&self, room: RoomId, is_wanted: bool) {
        self.subscriptions.lock().set(room, is_wanted);
        self.changed.notify_one();
    }

    /// These rooms are, and no others.
    pub(super) fn replace(&self, rooms: HashSet<RoomId>) {
        self.subscriptions.lock().replace(rooms);
        self.changed.notify_one();
    }
}

/// One of a link's two connections, as it is kept: which, and how long it is left alone.
pub(super) struct Kept<'a> {
    pub(super) shared: &'a Shared,
    pub(super) link: &'a Link,
    name: &'static str,
    backoff: Backoff,
}

/// When a connection was made, if it was.
#[derive(Debug, Default)]
pub(super) struct Made(Option<Instant>);

impl<'a> Kept<'a> {
    pub(super) fn new(shared: &'a Shared, link: &'a Link, name: &'static str) -> Self {
        let patience = &shared.patience;
        Self {
            shared,
            link,
            name,
            backoff: Backoff::new(patience.reconnect_min, patience.reconnect_max),
        }
    }

    /// The connection works.
    pub(super) fn made(&self, made: &mut Made) {
        made.0 = Some(Instant::now());
        CONNECTS.with_label_values(&[self.name, "ok"]).inc();
    }

    /// Lets one life of the connection go on until it fails. A panic is a failure.
    pub(super) async fn live<T>(life: impl Future<Output = Result<T, LinkError>>) -> LinkError {
        match AssertUnwindSafe(life).catch_unwind().await {
            Ok(Err(error)) => error,
            // It does not end otherwise.
            Ok(Ok(_)) => LinkError::Closed,
            Err(_) => LinkError::Panicked,
        }
    }

    /// It has failed. How long to wait before the next attempt.
    pub(super) fn failed(&mut self, made: &Made, error: &LinkError) -> Duration {
        let lasted = made.0.map(|made| made.elapsed());
        match lasted {
            Some(_) => DISCONNECTS.with_label_values(&[self.name]).inc(),
            None => CONNECTS.with_label_values(&[self.name, "failed"]).inc(),
        }
        self.shared.failed(self.link.endpoint.place(), error);
        self.backoff
            .pause(lasted.unwrap_or_default(), rand::random())
    }
}
