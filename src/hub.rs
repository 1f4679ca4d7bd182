//! The hub: the actors that rooms are made of. It never sees HTTP.
//!
//! On the way of a message: [`connection`] → [`journal`] → [`room`] → [`fanout`] → the sockets;
//! [`bridge`] to other nodes. Beside it: [`presence`], and the hub actor ([`supervisor`]) that
//! starts and recreates the others. [`HubHandle`] is all that other layers get to see: no address
//! of an actor leaves this module.

mod anti_entropy;
mod arbiters;
mod ask;
#[doc(hidden)]
pub mod bench;
mod bridge;
pub mod changes;
pub mod cluster;
mod compression;
pub mod connection;
mod connections;
mod control;
mod delivery;
mod encoded;
pub mod engineio;
mod fanout;
mod journal;
mod members;
mod messages;
mod metrics;
mod online;
pub mod peers;
mod presence;
mod read_markers;
mod recent;
mod registry;
mod replay_pages;
mod room;
mod room_lookup;
mod supervision;
mod supervisor;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::anti_entropy::AntiEntropy;
use self::arbiters::Arbiters;
use self::bridge::BridgeHandle;
use self::changes::{ChangeWatch, Changes};
use self::cluster::{Cluster, Seat};
use self::connection::identity::Gate;
pub use self::connections::LISTED_MAX;
use self::control::{Control, ControlSettings, supervised};
use self::encoded::{Ephemeral, SharedPush};
use self::engineio::EngineIo;
use self::fanout::{ConnectionKey, FanoutHandle, FanoutMessage};
use self::journal::entry::{Committed, Content, Entry, ReplyTo, unknown};
pub use self::journal::entry::{MemberChange, RoomChange};
use self::journal::{ChangeLimits, Journal};
pub use self::messages::NewMessage;
use self::online::Online;
use self::presence::elsewhere::Asker;
pub use self::presence::elsewhere::{Asking, NodeSilent, PresenceElsewhere};
use self::presence::{Presence, PresenceSettings};
use self::read_markers::{ReadMarkers, ReadSettings};
use self::registry::Registry;
use self::replay_pages::{ReplayPages, ReplaySettings};
use self::room::{RoomHandle, RoomSettings};
use self::room_lookup::room_not_found;
use self::supervision::RestartLimits;
use self::supervisor::{Parts, SupervisorHandle};
use self::workers::Workers;
use crate::bus::Bus;
use crate::bus::envelope::Origin;
use crate::config::{self, Config};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{EventId, RoomId, SessionId, UserId};
use crate::protocol::presence::{PresenceDigests, PresencePage, PresencePull, PresenceStands};
use crate::protocol::reply::RoomPresence;
use crate::protocol::text::Slug;
use crate::store::{self, Store, StoreError};

/// The settings that the hub works by.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Rooms, presence and fan-out.
    pub hub: config::Hub,
    /// Connections.
    pub websocket: config::WebSocket,
    /// Sizes.
    pub limits: config::Limits,
}

/// What a hub is made of.
pub struct HubParts<'a> {
    /// All settings.
    pub config: &'a Config,
    /// Where the journal's own connections go.
    pub database_url: String,
    /// For everything but the journal.
    pub store: Store,
    /// The way to other nodes.
    pub bus: Arc<dyn Bus>,
    /// This node, in this life.
    pub origin: Origin,
    /// Its place among the nodes.
    pub seat: Seat,
    /// Where the other nodes reach it.
    pub address: String,
    /// Who may come in.
    pub gate: Arc<dyn Gate>,
    /// Who is present by other nodes.
    pub presence: Arc<dyn PresenceElsewhere>,
    /// Who keeps copies of what is in the database.
    pub watch: Arc<dyn ChangeWatch>,
}

/// The node's hub. Cheap to clone.
#[derive(Clone)]
pub struct HubHandle {
    shared: Arc<Shared>,
}

struct Shared {
    settings: HubSettings,
    origin: Origin,
    store: Store,
    gate: Arc<dyn Gate>,
    registry: Registry,
    supervisor: SupervisorHandle,
    journal: Journal,
    presence: Presence,
    bridge: BridgeHandle,
    workers: Workers,
    arbiters: Arc<Arbiters>,
    control: Control,
    cluster: Cluster,
    changes: Changes,
    replays: ReplayPages,
    read_markers: ReadMarkers,
    online: Online,
    slugs: moka::sync::Cache<Slug, RoomId>,
    /// Sessions that were ended a moment ago.
    ended: moka::sync::Cache<SessionId, ()>,
    /// Users who became members of a room a moment ago, and when that was told to the threads.
    began: moka::sync::Cache<UserId, Instant>,
    is_draining: AtomicBool,
    /// The time over which clients are told to move, when they are.
    drain: watch::Sender<Option<Duration>>,
    engineio: EngineIo,
}

impl HubHandle {
    /// Starts the actors. Must be called within a running actix system.
    #[must_use]
    pub fn start(parts: HubParts<'_>) -> Self {
        let config = parts.config;
        let arbiters = Arc::new(Arbiters::start(config.hub.arbiters()));
        let registry = Registry::default();
        let workers = Workers::default();
        let journal = Journal::new(config.journal.writers, config.journal.queue_max_events);
        let presence = Presence::new(
            Asker::new(parts.presence, config.hub.presence_peer_max),
            *parts.bus.states().borrow(),
        );
        let cluster = Cluster::new(
            config,
            &parts.database_url,
            parts.seat,
            parts.origin.clone(),
            parts.address,
            parts.bus.states(),
        );
        let anti_entropy = AntiEntropy::new(Duration::from_millis(config.hub.anti_entropy_ms));
        let bridge = BridgeHandle::new(parts.bus, parts.origin.clone());
        let changes = Changes::new(parts.watch, bridge.clone());
        let control_settings = ControlSettings::new(config, parts.origin.clone());
        let control = Control::new(control_settings, cluster.clone());
        let supervisor = SupervisorHandle::start(
            &arbiters.hub(),
            Parts {
                store: parts.store.clone(),
                registry: registry.clone(),
                journal: journal.clone(),
                presence: presence.clone(),
                bridge: bridge.clone(),
                workers: workers.clone(),
                arbiters: Arc::clone(&arbiters),
                anti_entropy: anti_entropy.clone(),
                notices: cluster.notices().clone(),
                changes: changes.clone(),
                origin: parts.origin.clone(),
                room: RoomSettings::from(&config.hub),
                presence_settings: PresenceSettings::from(&config.hub),
                writer: journal::WriterSettings {
                    database_url: parts.database_url,
                    connect: store::SessionOptions::from_config(&config.database),
                    journal: config.journal.clone(),
                    limits: ChangeLimits {
                        reactions_per_message: config.limits.reactions_per_message.into(),
                        pins_per_room: config.limits.pins_per_room.into(),
                    },
                },
                restarts: RestartLimits {
                    max: config.hub.restart_max,
                    window: Duration::from_secs(config.hub.restart_window_s),
                },
            },
        );
        let replays = ReplayPages::new(parts.store.clone(), ReplaySettings::from(config));
        let read_markers = ReadMarkers::new(
            ReadSettings::from(&config.hub),
            parts.store.clone(),
            registry.clone(),
            bridge.clone(),
        );
        let engineio = EngineIo::new(config, parts.origin.clone());
        let hub = Self {
            shared: Arc::new(Shared {
                origin: parts.origin,
                replays,
                read_markers,
                online: Online::new(config),
                settings: HubSettings {
                    hub: config.hub.clone(),
                    websocket: config.websocket.clone(),
                    limits: config.limits.clone(),
                },
                store: parts.store,
                gate: parts.gate,
                registry,
                supervisor,
                journal,
                presence,
                bridge,
                workers,
                arbiters,
                control,
                cluster,
                changes,
                slugs: recent::slugs(),
                ended: recent::endings(),
                began: recent::endings(),
                is_draining: AtomicBool::new(false),
                drain: watch::Sender::new(None),
                engineio,
            }),
        };
        hub.shared.control.start(&hub);
        let cluster = &hub.shared.cluster;
        cluster.start(&hub, &anti_entropy, &hub.shared.registry);
        let changes = hub.shared.changes.clone();
        cluster.keep(supervised("changes", move || changes.clone().tell()));
        hub.look_after_presence(Duration::from_millis(config.hub.presence_digest_ms));
        hub
    }

    /// Begins to follow other nodes' presence, and to write who is online.
    fn look_after_presence(&self, every: Duration) {
        let cluster = &self.shared.cluster;
        let looking = self.clone();
        cluster.keep(supervised("presence_others", move || {
            let presence = looking.shared.presence.clone();
            presence.look_around(looking.clone(), every)
        }));
        let writing = self.clone();
        cluster.keep(supervised("online", move || {
            let online = writing.shared.online.clone();
            online.run(writing.clone())
        }));
    }

    /// Refuses what not everybody may do while this node does not know what others have decided.
    pub fn check_control(&self) -> Result<(), Refusal> {
        self.shared.control.check()
    }

    /// Has the control log looked at now: something was written there.
    pub fn poke_control(&self) {
        self.shared.control.poke();
    }

    async fn commit(
        &self,
        room_id: RoomId,
        user_id: UserId,
        content: Content,
    ) -> Result<Option<Committed>, Refusal> {
        let (reply_to, outcome) = ReplyTo::caller();
        self.shared.journal.submit(Entry {
            room_id,
            user_id,
            id: EventId::generate(),
            content,
            received_at: Instant::now(),
            reply_to,
            permit: None,
        });
        outcome.await.unwrap_or_else(|_| Err(unknown()))
    }

    /// Who is in a room now, by all nodes.
    pub async fn presence(&self, room: RoomId) -> Result<RoomPresence, Refusal> {
        self.shared.presence.who(room).await
    }

    /// Answers another node: who is present by this one.
    pub async fn presence_page(&self, pull: PresencePull) -> Result<PresencePage, Refusal> {
        self.shared.presence.page(pull).await
    }

    /// Answers another node: where this one stands with presence.
    pub async fn presence_stands(
        &self,
        stands: PresenceStands,
    ) -> Result<PresenceDigests, Refusal> {
        self.shared.presence.stands(stands).await
    }

    /// Whether the node is telling its clients to move.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining.load(Ordering::Relaxed)
    }

    /// Whether the node can begin to serve: publishes can be committed and the control log is
    /// followed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.can_commit() && self.shared.control.is_ready()
    }

    /// Whether publishes can be committed now.
    #[must_use]
    pub fn can_commit(&self) -> bool {
        self.shared.journal.is_up()
    }

    /// Tells every client to move, and closes their connections over `spread`.
    pub fn drain(&self, spread: Duration) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
        self.shared.drain.send_replace(Some(spread));
        self.shared.cluster.poke();
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        self.shared
            .workers
            .send(|| FanoutMessage::Drain { spread_ms });
    }

    /// Waits until clients are told to move, and says over which time.
    pub async fn drains(&self) -> Duration {
        let mut drain = self.shared.drain.subscribe();
        match drain.wait_for(Option::is_some).await.map(|spread| *spread) {
            Ok(Some(spread)) => spread,
            // The sender is this handle's own.
            _ => std::future::pending().await,
        }
    }

    /// Waits until everything handed to the journal so far is committed or refused.
    pub async fn flush(&self) {
        self.shared.journal.flush().await;
    }

    /// Writes that the users of this node are offline, if no other node looks after them.
    pub async fn say_offline(&self) {
        self.shared.online.end(self).await;
    }

    /// Says that this node has stopped, as its last words.
    pub async fn report_stopped(&self) -> Result<(), StoreError> {
        self.shared.control.stop();
        self.shared.cluster.stop();
        self.shared.cluster.report_stopped(&self.shared.store).await
    }

    /// Ends the actors' threads.
    pub fn stop(&self) {
        self.shared.control.stop();
        self.shared.cluster.stop();
        self.shared.arbiters.stop();
    }

    /// Open connections of this node: sockets and event streams.
    #[must_use]
    pub fn connections(&self) -> usize {
        let open = metrics::CONNECTIONS.get() + metrics::STREAMS.get();
        usize::try_from(open).unwrap_or_default()
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &HubSettings {
        &self.shared.settings
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn gate(&self) -> &dyn Gate {
        &*self.shared.gate
    }

    fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    fn presence_shards(&self) -> &Presence {
        &self.shared.presence
    }

    /// Who is connected to this node.
    fn online(&self) -> &Online {
        &self.shared.online
    }

    fn register_worker(&self, make: impl FnOnce(usize) -> FanoutHandle) -> FanoutHandle {
        self.shared.workers.register(make)
    }

    /// Sends something ephemeral to a room, here and on other nodes, but to one connection.
    fn broadcast(
        &self,
        room: &RoomHandle,
        ephemeral: Ephemeral,
        except: Option<(usize, ConnectionKey)>,
    ) {
        self.shared.bridge.ephemeral(&ephemeral);
        room.broadcast(SharedPush::new(ephemeral), except);
    }

    /// Who is told what has changed.
    fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    /// The pages of the rooms' logs, for replays.
    fn replays(&self) -> &ReplayPages {
        &self.shared.replays
    }

    fn read_markers(&self) -> &ReadMarkers {
        &self.shared.read_markers
    }
}

/// A failure of the store as a client sees it.
fn refuse(error: &StoreError) -> Refusal {
    if error.is_retryable() {
        tracing::debug!(%error, "the store is not available");
        return Refusal::new(
            ErrorCode::Unavailable,
            "the database is not available, try again",
        );
    }
    tracing::error!(error = error as &dyn std::error::Error, "a read failed");
    Refusal::new(ErrorCode::Internal, "an internal error")
}
