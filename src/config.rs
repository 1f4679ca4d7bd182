//! Typed settings: what a node may be told, where it was told, and what it refuses.
//!
//! Three layers, the later winning: `config/default.toml` (embedded, the only place where
//! defaults are written), a file, the environment. The default file is also the schema: a
//! key that is not in it does not exist, a value must have its type, and the comment
//! `Allowed:` above a key is what an error quotes. Ranges and relations between keys are
//! checked by each section's `check`.

mod auth;
mod cache;
mod check;
mod database;
mod defaults;
mod error;
mod http;
mod hub;
mod journal;
mod limits;
mod node;
mod optional;
mod peers;
mod redact;
mod redis;
mod refusal;
mod render;
mod retention;
mod socketio;
mod sources;
mod telemetry;
mod websocket;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use auth::{Auth, CookieSameSite, CookieSecure, TICKET_TTL_MAX_S};
pub use cache::Cache;
pub use database::{Database, Embedded};
pub use defaults::DEFAULTS;
pub use error::{ConfigError, Origin, Problem};
pub use http::{DRAIN_ANSWERS_MS, Http};
pub use hub::Hub;
pub use journal::Journal;
pub use limits::Limits;
pub use node::Node;
pub use peers::Peers;
pub use redis::Redis;
pub use retention::Retention;
pub use socketio::{ANY_ORIGIN, ECHO_PATH, SocketIo, SocketIoSameSite, SocketIoTransport};
pub use telemetry::{LogFormat, Telemetry};
pub use websocket::WebSocket;

use check::Checks;
use sources::Merged;

/// All settings of a node, complete and checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Listening, HTTP and stopping.
    pub http: Http,
    /// The node's name and folder.
    pub node: Node,
    /// Asking other nodes, and being asked.
    pub peers: Peers,
    /// Postgres and its pool.
    pub database: Database,
    /// The bus between nodes.
    pub redis: Redis,
    /// The writers of durable events.
    pub journal: Journal,
    /// Rooms, presence and fan-out.
    pub hub: Hub,
    /// Copies of what is in the database.
    pub cache: Cache,
    /// Connections.
    pub websocket: WebSocket,
    /// Socket.IO.
    pub socketio: SocketIo,
    /// How long the log is kept.
    pub retention: Retention,
    /// Sessions, cookies, tickets and passwords.
    pub auth: Auth,
    /// Rate and size limits.
    pub limits: Limits,
    /// Logging.
    pub telemetry: Telemetry,
    #[serde(skip)]
    origins: sources::Origins,
    #[serde(skip)]
    notices: Vec<String>,
}

impl Config {
    /// Reads the settings from the defaults, `file` (or the one that `HUBBUB__CONFIG` names)
    /// and the process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_sources(file, sources::process_environment()?)
    }

    /// As [`Config::load`], with an environment of the caller's choice.
    pub fn from_sources(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let Merged {
            table,
            origins,
            notices,
        } = sources::merge(file, env)?;
        let mut config: Self = match serde_path_to_error::deserialize(table.clone()) {
            Ok(config) => config,
            Err(error) => {
                let what = refusal::reason(&table, error.path(), error.inner().message());
                return Err(origins.refuse(&error.path().to_string(), what));
            }
        };
        config.origins = origins;
        config.notices = notices;
        config.check()?;
        Ok(config)
    }

    /// What the operator should know although it is no error, to be logged at the start.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The settings as TOML, without secrets; each that is not the default says in a comment
    /// where it comes from.
    #[must_use]
    pub fn redacted_toml(&self) -> String {
        render::redacted(self, &self.origins)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut checks = Checks::default();
        self.http.check(&mut checks);
        self.node.check(&mut checks);
        self.peers.check(&mut checks);
        self.database.check(&mut checks);
        self.redis.check(&mut checks);
        self.journal.check(&mut checks);
        self.hub.check(&mut checks);
        self.cache.check(&mut checks);
        self.websocket.check(&mut checks);
        self.socketio.check(&mut checks);
        self.retention.check(&mut checks);
        self.auth.check(&mut checks);
        self.limits.check(&mut checks);
        self.telemetry.check(&mut checks);
        self.check_relations(&mut checks);
        checks.into_result(&self.origins)
    }

    /// What must hold between sections.
    fn check_relations(&self, checks: &mut Checks) {
        checks.at_most(
            ("limits.message_bytes", self.limits.message_bytes),
            (
                "websocket.max_message_bytes",
                self.websocket.max_message_bytes,
            ),
        );
        checks.at_most(
            ("limits.message_bytes", self.limits.message_bytes),
            ("http.max_body_bytes", self.http.max_body_bytes),
        );
        checks.at_most(
            ("limits.message_bytes", self.limits.message_bytes),
            ("journal.batch_max_bytes", self.journal.batch_max_bytes),
        );
        if self.redis.url.is_some() {
            let twice = self.journal.batch_max_bytes.saturating_mul(2);
            checks.at_least(
                ("redis.envelope_max_bytes", self.redis.envelope_max_bytes),
                ("twice journal.batch_max_bytes", twice),
            );
        }
        if !self.database.replica_urls.is_empty() {
            // The primary has as long, after a replica that has not answered.
            checks.at_most(
                (
                    "database.replica_timeout_ms",
                    self.database.replica_timeout_ms,
                ),
                (
                    "half of cache.load_timeout_ms",
                    self.cache.load_timeout_ms / 2,
                ),
            );
        }
        self.check_socketio_relations(checks);
        let bind = self.http.bind;
        for (key, is_on) in [
            ("websocket.echo_contract", self.websocket.echo_contract),
            ("socketio.echo_contract", self.socketio.echo_contract),
        ] {
            checks.require(!is_on || bind.ip().is_loopback(), key, || {
                format!("it is for development: not where others get to, and http.bind is {bind}")
            });
        }
        let stopping = self.http.drain_ms + DRAIN_ANSWERS_MS + self.websocket.close_timeout_ms;
        checks.require(self.http.shutdown_grace_ms >= stopping, "http.shutdown_grace_ms", || {
            format!(
                "{} is less than http.drain_ms + {DRAIN_ANSWERS_MS} + websocket.close_timeout_ms, \
                 which are {stopping}",
                self.http.shutdown_grace_ms
            )
        });
    }

    /// What Socket.IO must leave to the others.
    fn check_socketio_relations(&self, checks: &mut Checks) {
        checks.at_least(
            (
                "socketio.max_http_buffer_size",
                self.socketio.max_http_buffer_size,
            ),
            ("limits.message_bytes", self.limits.message_bytes),
        );
        checks.at_least(
            ("socketio.queue_max_bytes", self.socketio.queue_max_bytes),
            ("limits.message_bytes", self.limits.message_bytes),
        );
        checks.require(
            self.socketio.cookie != self.auth.cookie_name,
            "socketio.cookie",
            || "is auth.cookie_name, which is the name of another one".to_owned(),
        );
    }
}
