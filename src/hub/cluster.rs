//! This node among the others: its name and lease, who else lives, and the way by Postgres on
//! which nodes hear of events while not all of them have Redis.
//!
//! A node has one connection on which it listens ([`link`] keeps it). It holds the node's name as
//! an advisory lock, the control log is read by it, and the lease renewed ([`leases`]). What is
//! known of the others is pure ([`peers`](super::peers)). [`notices`] tells the others of rooms'
//! heads by NOTIFY, on another connection, and hears what they tell.

mod clock;
mod heads;
mod leases;
mod link;
mod notices;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) use self::notices::HeadNotices;
use super::HubHandle;
use super::anti_entropy::AntiEntropy;
use super::control::supervised;
use super::peers::{Peer, PeerEvent, Peers};
use super::registry::Registry;
use crate::bus::BusState;
use crate::bus::envelope::Origin;
use crate::config::Config;
use crate::store::feed::{Ears, Feed};
use crate::store::node_name::{self, NameError};
use crate::store::nodes::{self, NodeState, Renewal};
use crate::store::{SessionOptions, Store, StoreError};

/// Events among the nodes that a subscriber may not have taken yet.
const EVENTS: usize = 1024;

/// A statement on the LISTEN connection may take this part of a lease, and half as much again to be
/// connected anew: a connection that falls silent is given up, and another renews the lease that it
/// could not, before others take the node for dead.
const LEASE_PARTS: u32 = 5;

/// But not less than this, however short the lease: what a loaded server needs.
const LEAST: Duration = Duration::from_millis(500);

/// A node's place among the nodes: its name is taken, and nobody else can start under it.
#[derive(Debug)]
pub struct Seat {
    feed: Feed,
    ears: Arc<Ears>,
    heard: mpsc::Receiver<Box<str>>,
    connect: SessionOptions,
}

impl Seat {
    /// Takes the name. If another node has it, waits until that is known to be dead or alive: no
    /// longer than a lease and some seconds.
    pub async fn take(url: &str, config: &Config, id: &str) -> Result<Self, NameError> {
        let connect = SessionOptions::from_config(&config.database);
        let lease = Duration::from_millis(config.node.lease_ms);
        let (ears, heard) = Ears::new();
        // There is no lease to be lost yet: it may take as long as any connection.
        let patient = SessionOptions {
            connect_timeout: connect.connect_timeout,
            ..listening(&connect, lease)
        };
        let feed = Feed::open(url, &patient, Arc::clone(&ears)).await?;
        // A database or a data folder of its own is locked by itself.
        let is_sole = config.database.url.is_none() || config.node.id.is_empty();
        node_name::claim(&feed, id, lease, is_sole).await?;
        Ok(Self {
            feed,
            ears,
            heard,
            connect,
        })
    }
}

/// How the LISTEN connection of a node with such a lease is made and used.
fn listening(connect: &SessionOptions, lease: Duration) -> SessionOptions {
    let part = (lease / LEASE_PARTS).max(LEAST);
    // None is no limit.
    let limited = |limit: Duration, max| if limit.is_zero() { max } else { limit.min(max) };
    SessionOptions {
        connect_timeout: limited(connect.connect_timeout, part * 3 / 2),
        statement_timeout: limited(connect.statement_timeout, part),
        ..connect.clone()
    }
}

/// Another life that has taken this node's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Its number.
    pub incarnation: u64,
    /// Its address.
    pub address: String,
}

/// What the cluster's tasks work with.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSettings {
    database_url: String,
    connect: SessionOptions,
    origin: Origin,
    /// Where the other nodes reach this one.
    address: String,
    lease: Duration,
    report_every: Duration,
}

/// The node among the others. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ClusterSettings,
    ears: Arc<Ears>,
    heard: Arc<tokio::sync::Mutex<mpsc::Receiver<Box<str>>>>,
    feed: watch::Sender<Option<Arc<Feed>>>,
    bus: watch::Receiver<BusState>,
    peers: Mutex<Peers>,
    living: watch::Sender<Arc<[Peer]>>,
    events: broadcast::Sender<PeerEvent>,
    successor: watch::Sender<Option<Successor>>,
    notices: HeadNotices,
    clock: clock::Clock,
    poke: Notify,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Cluster {
    /// Nothing is told or heard before [`Cluster::start`].
    pub(crate) fn new(
        config: &Config,
        database_url: &str,
        seat: Seat,
        origin: Origin,
        address: String,
        bus: watch::Receiver<BusState>,
    ) -> Self {
        let lease = Duration::from_millis(config.node.lease_ms);
        let notices = HeadNotices::new(origin.clone(), config.hub.notify_rooms_max);
        Self {
            shared: Arc::new(Shared {
                peers: Mutex::new(Peers::new(&origin.node, lease)),
                settings: ClusterSettings {
                    database_url: database_url.to_owned(),
                    connect: seat.connect,
                    origin,
                    address,
                    lease,
                    report_every: Duration::from_millis(config.node.report_ms),
                },
                ears: seat.ears,
                heard: Arc::new(tokio::sync::Mutex::new(seat.heard)),
                feed: watch::Sender::new(Some(Arc::new(seat.feed))),
                bus,
                living: watch::Sender::new(Arc::default()),
                events: broadcast::Sender::new(EVENTS),
                successor: watch::Sender::new(None),
                notices,
                clock: clock::Clock::default(),
                poke: Notify::new(),
                tasks: Mutex::default(),
            }),
        }
    }

    /// Begins; within a running actix system.
    pub(crate) fn start(&self, hub: &HubHandle, anti_entropy: &AntiEntropy, registry: &Registry) {
        let hints = anti_entropy.clone();
        let link = {
            let (cluster, hints) = (self.clone(), hints.clone());
            let changes = hub.changes().clone();
            supervised("link", move || {
                link::run(cluster.clone(), hints.clone(), changes.clone())
            })
        };
        let outages = {
            let (store, hints) = (hub.store().clone(), hints.clone());
            supervised("outages", move || {
                link::look_after_outages(store.clone(), hints.clone())
            })
        };
        let leases = {
            let (cluster, hub) = (self.clone(), hub.clone());
            supervised("leases", move || {
                leases::run(cluster.clone(), hub.clone(), hints.clone())
            })
        };
        let telling = {
            let (notices, settings) = (self.shared.notices.clone(), self.shared.settings.clone());
            supervised("notices", move || {
                notices::tell(notices.clone(), settings.clone())
            })
        };
        let hearing = {
            let (cluster, registry) = (self.clone(), registry.clone());
            let changes = hub.changes().clone();
            supervised("hearing", move || {
                notices::hear(cluster.clone(), registry.clone(), changes.clone())
            })
        };
        let tasks = [link, outages, leases, telling, hearing];
        self.shared.tasks.lock().extend(tasks);
    }

    /// A task that ends with these.
    pub(crate) fn keep(&self, task: JoinHandle<()>) {
        self.shared.tasks.lock().push(task);
    }

    /// Ends that.
    pub(crate) fn stop(&self) {
        for task in self.shared.tasks.lock().drain(..) {
            task.abort();
        }
    }

    /// Where the node hears of the control log's new entries.
    pub(crate) fn ears(&self) -> &Ears {
        &self.shared.ears
    }

    /// The connection, if there is one.
    pub(crate) fn feed(&self) -> Result<Arc<Feed>, StoreError> {
        let feed = self.shared.feed.borrow().clone();
        feed.ok_or_else(|| StoreError::unavailable("the LISTEN connection is being made again"))
    }

    /// A statement on this connection has failed: if that may help, it is made again.
    pub(crate) fn failed(&self, feed: &Arc<Feed>, error: &StoreError) {
        if feed.is_of_no_use(error) {
            self.give_up(feed);
        }
    }

    /// The connection is made again.
    fn give_up(&self, feed: &Arc<Feed>) {
        self.shared.feed.send_if_modified(|current| {
            let is_it = current.as_ref().is_some_and(|it| Arc::ptr_eq(it, feed));
            if is_it {
                *current = None;
            }
            is_it
        });
    }

    /// The way by which others are told of rooms' heads.
    pub(crate) fn notices(&self) -> &HeadNotices {
        &self.shared.notices
    }

    /// The node does something else from now on: the others are told at once.
    pub(crate) fn poke(&self) {
        self.shared.poke.notify_one();
    }

    /// The other nodes that live, and when that changes.
    pub(crate) fn living(&self) -> watch::Receiver<Arc<[Peer]>> {
        self.shared.living.subscribe()
    }

    /// What happens among the other nodes from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<PeerEvent> {
        self.shared.events.subscribe()
    }

    /// Waits until another life has taken this node's name.
    pub(crate) async fn succeeded(&self) -> Successor {
        let mut successor = self.shared.successor.subscribe();
        loop {
            if let Some(successor) = &*successor.borrow_and_update() {
                return successor.clone();
            }
            if successor.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What the node says of itself.
    fn renewal(&self, state: NodeState, connections: usize) -> Renewal {
        let settings = &self.shared.settings;
        Renewal {
            id: settings.origin.node.to_string(),
            incarnation: settings.origin.incarnation,
            state,
            connections,
            bus_state: self.shared.bus.borrow().name(),
            lease_ms: i64::try_from(settings.lease.as_millis()).unwrap_or(i64::MAX),
            address: settings.address.clone(),
        }
    }

    /// Says that the node has stopped, unless another has its name.
    pub(crate) async fn report_stopped(&self, store: &Store) -> Result<(), StoreError> {
        let conn = store.get().await?;
        nodes::report(&conn, &self.renewal(NodeState::Stopped, 0)).await?;
        Ok(())
    }
}

impl HubHandle {
    /// The other nodes that live, and when that changes.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<Arc<[Peer]>> {
        self.shared.cluster.living()
    }

    /// What happens among the other nodes from now on. Who does not take them in time misses some,
    /// and can look at [`HubHandle::peers`].
    #[must_use]
    pub fn peer_events(&self) -> broadcast::Receiver<PeerEvent> {
        self.shared.cluster.events()
    }

    /// Waits until another life has taken this node's name: this one must stop.
    pub async fn succeeded(&self) -> Successor {
        self.shared.cluster.succeeded().await
    }
}
