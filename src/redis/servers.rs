//! Which server a key lies on, and sending there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redis::{Cmd, RedisResult, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::endpoint::{Endpoint, Patience};
use super::error::{CallError, LinkError};
use super::masters;
use super::metrics::REDIRECTS;
use super::server::{Connected, Server};
use super::slot::slot;
use super::topology::{Place, Topology};
use crate::config;

/// The same failure is logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Servers that keys were moved to without having any slot yet; more are not connected to.
const STRANGERS_MAX: usize = 16;

/// The servers.
#[derive(Debug)]
pub(super) struct Servers {
    patience: Patience,
    call_timeout: Duration,
    timeouts_max: u32,
    is_cluster: bool,
    routes: RwLock<Arc<Routes>>,
    /// The cluster may have other masters than it had.
    doubt: Notify,
    /// Where redirections led, and no link does.
    strangers: Mutex<Vec<Place>>,
    logged: Mutex<Option<(String, Instant)>>,
}

#[derive(Debug, Default)]
struct Routes {
    by_place: HashMap<Place, Arc<Server>>,
    /// None: one server has all.
    cluster: Option<Topology>,
}

impl Routes {
    fn server(&self, key: &[u8]) -> Option<&Arc<Server>> {
        match &self.cluster {
            None => self.by_place.values().next(),
            Some(topology) => self.by_place.get(topology.owner(slot(key))?),
        }
    }
}

/// Where a server of the cluster says that a key is.
struct Redirect {
    place: Place,
    /// For this call alone: it is being moved.
    asking: bool,
}

impl Servers {
    pub(super) fn new(config: &config::Redis) -> Self {
        Self {
            patience: Patience::from(config),
            call_timeout: Duration::from_millis(config.call_timeout_ms),
            timeouts_max: config.breaker_timeouts,
            is_cluster: config.is_cluster(),
            routes: RwLock::default(),
            doubt: Notify::new(),
            strangers: Mutex::default(),
            logged: Mutex::default(),
        }
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read())
    }

    pub(super) fn is_up(&self, key: &[u8]) -> bool {
        let routes = self.routes();
        routes
            .server(key)
            .is_some_and(|server| server.connected().is_some())
    }

    /// Sends a command to whoever has the key, and follows one redirection.
    pub(super) async fn send(&self, key: &[u8], cmd: &Cmd) -> Result<Value, CallError> {
        let routes = self.routes();
        let server = routes.server(key).ok_or(CallError::Away)?;
        let error = match one(server, cmd, false).await? {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(redirect) = redirect(&error, server.endpoint.place()) else {
            return Err(CallError::Refused(error));
        };
        REDIRECTS.inc();
        if !redirect.asking {
            self.doubt.notify_one();
        }
        let Some(server) = routes.by_place.get(&redirect.place) else {
            self.note_stranger(redirect.place);
            return Err(CallError::Refused(error));
        };
        one(server, cmd, redirect.asking)
            .await?
            .map_err(CallError::Refused)
    }

    /// Redis's answer, if it comes in time.
    pub(super) async fn within(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<Value, CallError>>,
    ) -> Result<Value, CallError> {
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or(Err(CallError::Silent(limit)))
    }

    fn note_stranger(&self, place: Place) {
        let mut strangers = self.strangers.lock();
        if strangers.len() < STRANGERS_MAX && !strangers.contains(&place) {
            strangers.push(place);
            self.doubt.notify_one();
        }
    }

    fn failed(&self, place: &Place, error: &LinkError) {
        // What Redis says does not hold what it was sent.
        let text = format!("{place}: {error}");
        let now = Instant::now();
        let mut logged = self.logged.lock();
        let is_new = logged
            .as_ref()
            .is_none_or(|(before, at)| *before != text || now.duration_since(*at) >= LOG_AGAIN);
        if is_new {
            tracing::warn!(
                server = %place,
                %error,
                "Redis is not asked: sessions come from Postgres, limits are this node's own"
            );
            *logged = Some((text, now));
        }
        drop(logged);
        if self.is_cluster {
            self.doubt.notify_one();
        }
    }

    fn is_up_again(&self, place: &Place) {
        if self.logged.lock().take().is_some() {
            tracing::info!(server = %place, "Redis is asked again");
        }
    }
}

/// Counts a call that was given up after a good part of its time as one without an answer. One that
/// its caller has given up before, because a client went away, says nothing about the server.
struct Unanswered<'a> {
    server: &'a Server,
    by: &'a Arc<Connected>,
    began: Instant,
    is_answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            self.by.answered();
        } else if self.began.elapsed() >= self.server.call_timeout / 2 {
            self.server.unanswered(self.by);
        }
    }
}

/// One command to one server: its answer, or its refusal.
async fn one(server: &Server, cmd: &Cmd, asking: bool) -> Result<RedisResult<Value>, CallError> {
    let connected = server.connected().ok_or(CallError::Away)?;
    let mut connection = connected.connection();
    let mut waiting = Unanswered {
        server,
        by: &connected,
        began: Instant::now(),
        is_answered: false,
    };
    let answer = if asking {
        let mut pipeline = redis::Pipeline::with_capacity(2);
        pipeline.cmd("ASKING").add_command(cmd.clone());
        let answers = connection.send_packed_commands(&pipeline, 0, 2).await;
        answers.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
    } else {
        connection.send_packed_command(cmd).await
    };
    let answer = answer.and_then(Value::extract_error);
    match answer {
        Err(error) if error.is_timeout() => Err(CallError::Silent(server.response_timeout())),
        Err(error) if error.is_connection_dropped() || error.is_io_error() => {
            // The keeper hears of it by itself.
            waiting.is_answered = true;
            Err(CallError::Lost(error))
        }
        answer => {
            waiting.is_answered = true;
            Ok(answer)
        }
    }
}

/// Where this refusal sends us; an address without a host is the one that was asked.
fn redirect(error: &redis::RedisError, asked: &Place) -> Option<Redirect> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() || host == "?" {
        &asked.host
    } else {
        host
    };
    Some(Redirect {
        place: Place {
            host: host.to_owned(),
            port: port.parse().ok()?,
        },
        asking: error.code() == Some("ASK"),
    })
}

/// Keeps connections for as long as it is polled.
pub(super) async fn keep(servers: Arc<Servers>, endpoints: Vec<Endpoint>) {
    let mut keeper = Keeper {
        servers,
        seeds: endpoints,
        running: HashMap::new(),
    };
    if keeper.servers.is_cluster {
        return keeper.run_cluster().await;
    }
    if let Some(endpoint) = keeper.seeds.first().cloned() {
        keeper.start(endpoint);
        keeper.install(None);
    }
    std::future::pending::<()>().await;
}

/// Who has connections made.
struct Keeper {
    servers: Arc<Servers>,
    seeds: Vec<Endpoint>,
    running: HashMap<Place, Running>,
}

struct Running {
    server: Arc<Server>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    async fn run_cluster(mut self) {
        let mut known = Topology::default();
        loop {
            let mut is_well = false;
            let links = self.running.values();
            let (up, down): (Vec<_>, Vec<_>) =
                links.partition(|it| it.server.connected().is_some());
            let linked = up.into_iter().chain(down);
            let linked = linked.map(|it| it.server.endpoint.clone());
            let all: Vec<Endpoint> = linked.chain(self.seeds.iter().cloned()).collect();
            let servers = &self.servers;
            let failed = |place: &Place, error: &LinkError| servers.failed(place, error);
            if let Some(topology) = masters::ask(&servers.patience, all, failed).await {
                is_well = topology.is_complete();
                self.apply(&topology);
                known = topology;
            }
            is_well &= known.masters().iter().all(|place| self.is_up(place));
            let interval = self.servers.patience.topology;
            masters::pause(is_well, interval, &self.servers.doubt).await;
        }
    }

    fn is_up(&self, place: &Place) -> bool {
        let running = self.running.get(place);
        running.is_some_and(|it| it.server.connected().is_some())
    }

    /// Has a connection to each master, and to those that keys are being moved to.
    fn apply(&mut self, topology: &Topology) {
        let masters = topology.masters();
        let mut strangers = self.servers.strangers.lock();
        strangers.retain(|place| !masters.contains(&place));
        let wanted: Vec<Place> = masters.into_iter().chain(&*strangers).cloned().collect();
        drop(strangers);
        for place in &wanted {
            if self.running.contains_key(place) {
                continue;
            }
            match self.seeds[0].at(place) {
                Ok(endpoint) => self.start(endpoint),
                Err(error) => self.servers.failed(place, &error),
            }
        }
        self.running.retain(|place, _| wanted.contains(place));
        self.install(Some(topology.clone()));
    }

    fn start(&mut self, endpoint: Endpoint) {
        let Servers {
            patience,
            call_timeout,
            timeouts_max,
            ..
        } = *self.servers;
        let place = endpoint.place().clone();
        let server = Arc::new(Server::new(endpoint, patience, call_timeout, timeouts_max));
        let failed = {
            let (servers, place) = (Arc::clone(&self.servers), place.clone());
            move |error: &LinkError| servers.failed(&place, error)
        };
        let up = {
            let (servers, place) = (Arc::clone(&self.servers), place.clone());
            move || servers.is_up_again(&place)
        };
        let task = tokio::spawn(Arc::clone(&server).keep(failed, up)).abort_handle();
        self.running.insert(place, Running { server, task });
    }

    fn install(&self, cluster: Option<Topology>) {
        let servers = self.running.iter();
        let by_place = servers
            .map(|(place, it)| (place.clone(), Arc::clone(&it.server)))
            .collect();
        *self.servers.routes.write() = Arc::new(Routes { by_place, cluster });
    }
}
