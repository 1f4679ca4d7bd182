//! A running node.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_server::ServerHandle;
use actix_web::App;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use tokio::task::JoinHandle;

use super::copies_watch::Copies;
use super::peer_port::PeerPort;
use super::{
    StartError, host, identity, metrics_page, open_files, pool_share, report, retention, sweeper,
    until, warming,
};
use crate::api::{self, ApiState, Exports};
use crate::auth::Limits;
use crate::auth::accounts::Accounts;
use crate::auth::passwords::Passwords;
use crate::bus::Bus;
use crate::bus::local::LocalBus;
use crate::bus::redis::RedisBus;
use crate::cache::Cache;
use crate::config::Config;
use crate::hub::cluster::Successor;
use crate::hub::{HubHandle, HubParts};
use crate::ops;
use crate::ops::health::HealthState;
use crate::peers::{Channel, Peers};
use crate::protocol::origin::Origin;
use crate::redis::Client;
use crate::store::embedded::{Cluster, FolderLock};
use crate::store::replicas::Replicas;
use crate::store::{self, Store};
use crate::transport::server::{self, Ending};
use crate::transport::{self, AuthGate, Places, Tls, Transport};

/// Writing down that the node has stopped may take this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answers that are ready may take this long to be written, and idle connections to close.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// An embedded Postgres has at least this long to stop by itself. Its checkpoint spares the next
/// start the replay of its log.
const LAST_CHECKPOINT: Duration = Duration::from_secs(2);

/// What was published to other nodes may take this long to leave. It is in Postgres anyway.
const LAST_NEWS: Duration = Duration::from_millis(250);

/// A running node.
pub struct Node {
    address: SocketAddr,
    channel: Channel,
    tls: Option<Tls>,
    config: Arc<Config>,
    /// Held for as long as the node's name comes from its data folder. An embedded cluster has a
    /// lock of its own.
    _folder: Option<FolderLock>,
    cluster: Option<Cluster>,
    store: Store,
    bus: Arc<dyn Bus>,
    hub: HubHandle,
    server: ServerHandle,
    ending: Ending,
    sweeper: JoinHandle<()>,
    retention: JoinHandle<()>,
    pool_share: JoinHandle<()>,
    warming: JoinHandle<()>,
}

impl Node {
    /// Starts a node; within a running actix system. When this returns it accepts clients.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let started = Instant::now();
        let config = Arc::new(config);
        // First of all, because it is what fails most often, and quickly.
        let (listener, address) = listen(&config)?;
        let port = PeerPort::bind(&config.node)?;
        let tls = Tls::new(&config.http)?;
        let id = identity::node_id(&config.node)?;

        let Database {
            url,
            cluster,
            folder,
        } = Database::of(&config, &id).await?;
        report(&store::migrate(&url).await?);
        // Outside the pool: the journal has two connections for each writer, the node listens by one,
        // tells others of events by another, and probes a server that is silent by a third.
        let outside = 2 * config.journal.writers + 3;
        let most_connections = open_files::make_room(&config, outside);
        let store = Store::connect_beside(&config.database, &url, outside).await?;
        let own_address = port.address().to_owned();
        let (seat, origin) =
            identity::begin_life(&store, &url, &config, &id, address, &own_address).await?;
        let peers = Peers::open(store.clone(), &config.peers, origin.clone()).await?;

        let passwords = Passwords::new(&config.auth)?;
        let redis = Client::start(&config.redis).map_err(StartError::RedisSettings)?;
        let limits = Arc::new(Limits::shared(&config.limits, redis.clone()));
        let authenticator = host::authenticator(&store, &config, &peers, redis.as_ref());
        let bus = start_bus(&config, &origin)?;
        let replicas = Replicas::start(&config.database, &store, &origin.node)?;
        let cache = Cache::new(&config, &store, &replicas, redis.as_ref());
        let hub = HubHandle::start(HubParts {
            config: &config,
            database_url: url,
            store: store.clone(),
            bus: Arc::clone(&bus),
            origin: origin.clone(),
            seat,
            address: own_address,
            gate: Arc::new(AuthGate {
                authenticator: authenticator.clone(),
                limits: Arc::clone(&limits),
            }),
            presence: Arc::new(host::PresenceOfPeers(peers.clone())),
            watch: Arc::new(Copies(cache.clone())),
        });
        let connect_timeout = Duration::from_millis(config.database.connect_timeout_ms);
        if !until(connect_timeout, || hub.is_ready()).await {
            return Err(StartError::Journal);
        }

        let channel = port.serve(&peers, &hub, &authenticator, &cache, &config.socketio)?;

        let transport = Transport {
            hub: hub.clone(),
            authenticator: authenticator.clone(),
            limits: Arc::clone(&limits),
            places: Places::new(&config.http, &config.limits, most_connections),
            tls: tls.clone(),
            http: Arc::new(config.http.clone()),
            websocket: Arc::new(config.websocket.clone()),
            socketio: Arc::new(config.socketio.clone()),
            peers: peers.clone(),
        };
        let health = health(&id, &store, &replicas, &hub, &bus);
        let sweeper = sweeper::start(store.clone(), authenticator.clone(), &config);
        let retention = retention::start(store.clone(), config.retention.clone());
        let pool_share = pool_share::start(store.clone(), &hub);
        let state = Data::new(ApiState {
            store: store.clone(),
            cache,
            hub: hub.clone(),
            peers,
            accounts: Accounts::new(store.clone(), passwords, authenticator.sessions().clone()),
            auth: authenticator,
            limits,
            exports: Exports::default(),
            config: Arc::clone(&config),
        });
        let warming = warming::start(&state);
        let (server, ending) = serve(listener, transport, state, health)?;
        tracing::info!(
            node = id,
            incarnation = origin.incarnation,
            ms = started.elapsed().as_millis(),
            "listening on {}://{address}",
            config.http.scheme()
        );
        Ok(Self {
            address,
            channel,
            tls,
            config,
            _folder: folder,
            cluster,
            store,
            bus,
            hub,
            server,
            ending,
            sweeper,
            retention,
            pool_share,
            warming,
        })
    }

    /// Where the node listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until another life has taken the node's name.
    pub async fn succeeded(&self) -> Successor {
        self.hub.succeeded().await
    }

    /// Reads again what can change while the node runs: certificate and key.
    pub fn reload(&self) {
        let Some(tls) = &self.tls else {
            tracing::info!("told to reload (SIGHUP): without TLS there is nothing to read again");
            return;
        };
        match tls.reload() {
            Ok(()) => tracing::info!(
                "told to reload (SIGHUP): new connections get the certificate that was read now"
            ),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "told to reload (SIGHUP): the certificate or its key cannot be used; \
                 those of before stay"
            ),
        }
    }

    /// Stops in order: nobody new, clients told to move, everything handed in committed, then
    /// the parts from the outside in.
    pub async fn stop(self) -> Result<(), StartError> {
        let spread = Duration::from_millis(self.config.http.drain_ms);
        let grace = Duration::from_millis(self.config.http.shutdown_grace_ms);
        let begun = Instant::now();
        tracing::info!(
            connections = self.hub.connections(),
            over_ms = spread.as_millis(),
            "stopping: telling clients to move"
        );
        self.hub.drain(spread);
        let connections = || self.hub.connections() + transport::tunnels();
        if !until(grace, || connections() == 0).await {
            tracing::warn!(
                connections = connections(),
                "the grace time is over; the rest is cut off"
            );
        }
        let left = || {
            grace
                .saturating_sub(begun.elapsed())
                .max(Duration::from_secs(1))
        };
        self.stop_server(left()).await;
        if tokio::time::timeout(left(), self.hub.flush())
            .await
            .is_err()
        {
            tracing::warn!(
                "the journal was not flushed in time; what it held was not acknowledged"
            );
        }
        self.channel.stop().await;
        until(LAST_NEWS, || self.bus.waiting() == 0).await;
        self.sweeper.abort();
        self.warming.abort();
        self.retention.abort();
        self.hub.say_offline().await;
        self.pool_share.abort();
        // Nobody needs it badly enough to wait for a database that is gone.
        let reported = tokio::time::timeout(LAST_WORDS, self.hub.report_stopped()).await;
        if !matches!(reported, Ok(Ok(()))) {
            tracing::debug!("the node's end was not written to the database");
        }
        self.hub.stop();
        self.store.close();
        if let Some(cluster) = self.cluster {
            cluster.stop_within(left().max(LAST_CHECKPOINT)).await?;
        }
        tracing::info!(ms = begun.elapsed().as_millis(), "stopped");
        Ok(())
    }

    /// Stops the HTTP side. Requests that have come are answered, within the limit: who is
    /// cut off does not know whether it was done.
    async fn stop_server(&self, limit: Duration) {
        let ending = &self.ending;
        ending.finish();
        let idle = || ending.requests() == 0 || ending.connections() == 0;
        if !until(limit, idle).await {
            tracing::warn!(
                requests = ending.requests(),
                "requests were not answered in time"
            );
        }
        // Those of HTTP/2 stay open whatever they are told.
        let closed = until(limit.min(LAST_ANSWERS), || ending.connections() == 0).await;
        self.server.stop(closed).await;
    }
}

/// Where the node's data lies.
struct Database {
    url: String,
    cluster: Option<Cluster>,
    folder: Option<FolderLock>,
}

impl Database {
    /// The one of the settings, or an embedded one.
    async fn of(config: &Config, id: &str) -> Result<Self, StartError> {
        let bus = bus_name(config);
        let Some(url) = &config.database.url else {
            tracing::info!(node = id, "database: embedded; bus: {bus}");
            let cluster = Cluster::start(&config.database, &config.node.data_dir).await?;
            return Ok(Self {
                url: cluster.url().to_owned(),
                cluster: Some(cluster),
                folder: None,
            });
        };
        let mut folder = None;
        if config.node.id.is_empty() {
            // A second node on this folder would take this one's name.
            folder = Some(FolderLock::acquire(&config.node.data_dir)?);
        }
        tracing::info!(node = id, "database: the one of database.url; bus: {bus}");
        Ok(Self {
            url: url.clone(),
            cluster: None,
            folder,
        })
    }
}

/// The way to other nodes, as the start-up log calls it. Without secrets.
fn bus_name(config: &Config) -> String {
    match (config.redis.servers(), config.redis.is_cluster()) {
        (servers, _) if servers.is_empty() => "in-process".to_owned(),
        (servers, false) => format!("Redis at {}", servers.join(", ")),
        (servers, true) => format!("Redis Cluster with {}", servers.join(", ")),
    }
}

/// Where clients will be served, and at which address that is.
fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = |source| StartError::Bind {
        address: config.http.bind,
        source,
    };
    let listener = server::bind(&config.http).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    Ok((listener, address))
}

fn start_bus(config: &Config, origin: &Origin) -> Result<Arc<dyn Bus>, StartError> {
    if config.redis.url.is_none() {
        return Ok(Arc::new(LocalBus::default().attach()));
    }
    // As many lanes as threads that rooms live on.
    let lanes = config.hub.arbiters();
    let bus = RedisBus::start(&config.redis, origin.clone(), lanes)?;
    Ok(Arc::new(bus))
}

/// What is told of how the node is.
fn health(
    id: &str,
    store: &Store,
    replicas: &Replicas,
    hub: &HubHandle,
    bus: &Arc<dyn Bus>,
) -> Data<HealthState> {
    Data::new(HealthState {
        node: id.to_owned(),
        started: Instant::now(),
        store: store.clone(),
        replicas: replicas.clone(),
        hub: hub.clone(),
        bus: Arc::clone(bus),
    })
}

/// Starts the server's threads.
fn serve(
    listener: std::net::TcpListener,
    transport: Transport,
    state: Data<ApiState>,
    health: Data<HealthState>,
) -> Result<(ServerHandle, Ending), StartError> {
    let streams = Data::new(transport.clone());
    let app = move || {
        App::new()
            .app_data(health.clone())
            .app_data(streams.clone())
            .configure(|config| {
                #[cfg(feature = "failpoints")]
                config.service(ops::faults::set_fault);
                transport::socketio::configure(config, &streams.socketio);
                api::configure(config, &state, |routes| {
                    routes
                        .service(transport::sse::room_events)
                        .service(transport::sse::user_events)
                        .service(ops::health::health)
                        .service(ops::health::db)
                        .service(ops::health::redis)
                        .service(ops::health::ready)
                        .service(ops::health::live)
                        .service(metrics_page::metrics);
                });
            })
            .wrap(from_fn(api::edge))
    };
    let (server, ending) =
        transport::server::serve(listener, transport, app).map_err(StartError::Serve)?;
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((handle, ending))
}
