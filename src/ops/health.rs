//! Health: what a load balancer, an orchestrator and a person ask.
//!
//! *Live*: the process answers; restart it if not. *Ready*: it can do its work now; send it
//! nobody if not. The rest is for people.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::bus::{Bus, BusState};
use crate::hub::HubHandle;
use crate::store::Store;
use crate::store::replicas::{ReplicaState, Replicas};

/// The database has this long to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What health is judged by.
pub struct HealthState {
    /// The node's id.
    pub node: String,
    /// When it started.
    pub started: Instant,
    /// Postgres.
    pub store: Store,
    /// Its read replicas.
    pub replicas: Replicas,
    /// The hub.
    pub hub: HubHandle,
    /// The way to other nodes.
    pub bus: Arc<dyn Bus>,
}

/// How the node is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `draining` (about to stop) or `unavailable` (messages cannot be stored now).
    status: &'static str,
    /// The node's id.
    node: String,
    /// The program's version.
    version: &'static str,
    /// Seconds since the start.
    uptime_s: u64,
    /// Open WebSocket connections.
    connections: usize,
    /// The database.
    database: DatabaseHealth,
    /// How nodes hear of each other: `local` for a node without Redis, `redis`, or `fallback`
    /// (Redis is away).
    bus: &'static str,
}

/// How the database is.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatabaseHealth {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// How long it took to answer, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_in_ms: Option<f64>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// `open` while the database counts as away and what needs it is refused at once; else `closed`.
    breaker: &'static str,
    /// Whether messages can be committed.
    journal: bool,
    /// Connections in the pool.
    pool_size: usize,
    /// The most that the pool may have.
    pool_max: usize,
    /// Read replicas. None of them has to be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replicas: Vec<ReplicaHealth>,
}

/// How a read replica is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplicaHealth {
    /// Its place in `database.replica_urls`, from 1 on.
    number: usize,
    /// `ok`, or `unavailable`: the primary is asked in its place.
    status: &'static str,
    /// Why it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<ReplicaState> for ReplicaHealth {
    fn from(state: ReplicaState) -> Self {
        Self {
            number: state.number,
            status: word(state.doubt.is_none()),
            error: state.doubt,
        }
    }
}

impl DatabaseHealth {
    async fn of(state: &HealthState) -> Self {
        let asked = Instant::now();
        let answer = state.store.ping(PATIENCE).await;
        let journal = state.hub.can_commit();
        Self {
            status: word(answer.is_ok() && journal),
            answered_in_ms: answer
                .is_ok()
                .then(|| asked.elapsed().as_secs_f64() * 1000.0),
            error: answer.err().map(|error| error.to_string()),
            breaker: if *state.store.outages().borrow() {
                "open"
            } else {
                "closed"
            },
            journal,
            pool_size: state.store.pool_size(),
            pool_max: state.store.pool_max(),
            replicas: state
                .replicas
                .states()
                .into_iter()
                .map(Into::into)
                .collect(),
        }
    }

    fn is_ok(&self) -> bool {
        self.status == "ok"
    }
}

/// How the way to other nodes is.
#[derive(Debug, Serialize, ToSchema)]
pub struct BusReport {
    /// `ok`, or `degraded`: Redis is away, and what happens on other nodes is read from Postgres.
    status: &'static str,
    /// The way that is in use: `local` (there is no Redis), `redis` or `fallback`.
    path: &'static str,
    /// For how long it has been, seconds.
    since_s: f64,
    /// Servers that there should be a connection to: one, or the masters of a cluster.
    servers: usize,
    /// Those that there is one to, by which everything comes.
    servers_up: usize,
    /// Rooms that this node wants to hear of.
    rooms: usize,
    /// Messages that wait to be written to Redis.
    waiting: usize,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// How long ago that was, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_ago_s: Option<f64>,
}

impl BusReport {
    fn of(bus: &dyn Bus) -> Self {
        let now = bus.health();
        let (last_error, at) = now.last_error.unzip();
        Self {
            status: match now.state {
                BusState::Local | BusState::Redis => "ok",
                BusState::Fallback => "degraded",
            },
            path: now.state.name(),
            since_s: now.since.elapsed().as_secs_f64(),
            servers: now.servers,
            servers_up: now.servers_up,
            rooms: now.rooms,
            waiting: bus.waiting(),
            last_error,
            last_error_ago_s: at.map(|at| at.elapsed().as_secs_f64()),
        }
    }
}

fn word(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "unavailable" }
}

fn answer(is_ok: bool, body: &impl Serialize) -> HttpResponse {
    let status = if is_ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status)
        .insert_header(("cache-control", "no-store"))
        .json(body)
}

/// How the node is, all in all
#[utoipa::path(
    tag = "operations",
    responses(
        (status = 200, description = "It works", body = Health),
        (status = 503, description = "It does not, or is about to stop", body = Health),
    )
)]
#[get("/health")]
pub(crate) async fn health(state: Data<HealthState>) -> HttpResponse {
    let database = DatabaseHealth::of(&state).await;
    let status = if state.hub.is_draining() {
        "draining"
    } else {
        word(database.is_ok())
    };
    let health = Health {
        status,
        node: state.node.clone(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: state.started.elapsed().as_secs(),
        connections: state.hub.connections(),
        database,
        bus: state.bus.health().state.name(),
    };
    answer(status == "ok", &health)
}

/// How the database is
#[utoipa::path(
    tag = "operations",
    responses(
        (status = 200, description = "It answers", body = DatabaseHealth),
        (status = 503, description = "It does not", body = DatabaseHealth),
    )
)]
#[get("/health/db")]
pub(crate) async fn db(state: Data<HealthState>) -> HttpResponse {
    let database = DatabaseHealth::of(&state).await;
    answer(database.is_ok(), &database)
}

/// How the way to other nodes is
///
/// Without Redis nothing is lost and everything goes on, so it is no reason to send nobody.
#[utoipa::path(
    tag = "operations",
    responses((status = 200, description = "Which way is in use", body = BusReport))
)]
#[get("/health/redis")]
pub(crate) async fn redis(state: Data<HealthState>) -> HttpResponse {
    answer(true, &BusReport::of(&*state.bus))
}

/// Whether the node can do its work now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether it can.
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Whether the node should be sent clients
#[utoipa::path(
    tag = "operations",
    responses(
        (status = 200, description = "Yes", body = Readiness),
        (status = 503, description = "No", body = Readiness),
    )
)]
#[get("/health/ready")]
pub(crate) async fn ready(state: Data<HealthState>) -> HttpResponse {
    let reason = if state.hub.is_draining() {
        Some("the node is about to stop")
    } else if !state.hub.can_commit() {
        Some("messages cannot be committed")
    } else if state.store.ping(PATIENCE).await.is_err() {
        Some("the database does not answer")
    } else {
        None
    };
    let ready = reason.is_none();
    answer(ready, &Readiness { ready, reason })
}

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Liveness {
    /// Always true.
    live: bool,
}

/// Whether the process answers
#[utoipa::path(
    tag = "operations",
    responses((status = 200, description = "It does", body = Liveness))
)]
#[get("/health/live")]
pub(crate) async fn live() -> HttpResponse {
    answer(true, &Liveness { live: true })
}
