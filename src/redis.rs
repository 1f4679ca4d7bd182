//! Redis as something that is asked: what sessions, limits and caches have in common.
//!
//! Nothing here is worth waiting for: whoever asks has another way (Postgres, or what this node knows
//! by itself), and takes it when an answer does not come within `redis.call_timeout_ms`. At most
//! `redis.calls_max` calls are on their way; more are refused at once. When `redis.breaker_timeouts`
//! calls in a row were not answered in time, or the connection ends, all calls to that server are
//! refused at once, until a new connection to it has answered a probe ([`server`]).
//!
//! One multiplexed connection goes to each server: one, or each master of a cluster, which is found
//! by a key's slot ([`servers`]); redirections are followed once. The client library's own cluster
//! connection queues without a bound, so it is not used. The connections are on a thread of their
//! own; calls come from any.
//!
//! What others need, too, who talk with Redis in their own way (the bus): [`endpoint`], how a server
//! is connected to; [`slot`] and [`topology`], who has what in a cluster; [`masters`], asking for it;
//! [`backoff`]. Pure: [`backoff`], [`slot`], [`topology`].

pub(crate) mod backoff;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod masters;
mod metrics;
mod script;
mod server;
mod servers;
pub(crate) mod slot;
pub(crate) mod topology;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, ToRedisArgs, Value};
use tokio::sync::{Semaphore, oneshot};

use self::endpoint::Endpoint;
pub use self::error::{CallError, SettingsError};
use self::metrics::{CALL_SECONDS, CALLS, IN_FLIGHT};
pub use self::script::Script;
use self::servers::Servers;
use crate::config;
use crate::metric::Counted;
use crate::stall::{self, ThreadKind};

/// What a call is for, in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Sessions that were found.
    Sessions,
    /// Rate limits.
    Limits,
    /// Copies of what is in the database.
    Cache,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Limits => "limits",
            Self::Cache => "cache",
        }
    }
}

/// Asks Redis. Cheap to clone; the connections end with the last one.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    servers: Arc<Servers>,
    turns: Semaphore,
    timeout: Duration,
    prefix: Box<str>,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Client {
    /// Begins to connect, and goes on until the last clone is dropped. None if the settings name no
    /// Redis. That it is away is no error.
    pub fn start(config: &config::Redis) -> Result<Option<Self>, SettingsError> {
        if config.url.is_none() {
            return Ok(None);
        }
        let endpoints = Endpoint::from_config(config)?;
        let servers = Arc::new(Servers::new(config));
        let (stop, stopped) = oneshot::channel::<()>();
        let keeper = servers::keep(Arc::clone(&servers), endpoints);
        let thread = std::thread::Builder::new().name("redis".into());
        let spawned = thread.spawn(move || match stall::runtime(ThreadKind::Redis) {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    () = keeper => {}
                    _ = stopped => {}
                }
            }),
            Err(error) => tracing::error!(%error, "what is asked of Redis has no runtime"),
        });
        spawned.map_err(SettingsError::Thread)?;
        Ok(Some(Self {
            inner: Arc::new(Inner {
                servers,
                turns: Semaphore::new(config.calls_max),
                timeout: Duration::from_millis(config.call_timeout_ms),
                prefix: config.channel_prefix.as_str().into(),
                _stop: stop,
            }),
        }))
    }

    /// What the names of all keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// Whether a call for this key would be sent now.
    #[must_use]
    pub fn is_up(&self, key: &[u8]) -> bool {
        self.inner.servers.is_up(key)
    }

    /// Sends a command about one key and waits for the answer, which is no error.
    ///
    /// # Errors
    /// See [`CallError`]. It takes `redis.call_timeout_ms` at most.
    pub async fn call(&self, purpose: Purpose, key: &[u8], cmd: &Cmd) -> Result<Value, CallError> {
        self.bounded(purpose, self.inner.servers.send(key, cmd))
            .await
    }

    /// Runs a script about one key, as [`Client::call`] does a command.
    ///
    /// # Errors
    /// The same.
    pub async fn run(
        &self,
        purpose: Purpose,
        key: &[u8],
        script: &Script,
        arguments: &[impl ToRedisArgs + Sync],
    ) -> Result<Value, CallError> {
        let running = script.run(&self.inner.servers, key, arguments);
        self.bounded(purpose, running).await
    }

    async fn bounded(
        &self,
        purpose: Purpose,
        answer: impl Future<Output = Result<Value, CallError>>,
    ) -> Result<Value, CallError> {
        let began = Instant::now();
        let outcome = match self.inner.turns.try_acquire() {
            Err(_) => Err(CallError::Busy),
            Ok(_turn) => {
                let _counted = Counted::new(&IN_FLIGHT);
                self.inner.servers.within(self.inner.timeout, answer).await
            }
        };
        let label = match &outcome {
            Ok(_) => "ok",
            Err(error) => error.label(),
        };
        CALLS.with_label_values(&[purpose.label(), label]).inc();
        if !matches!(outcome, Err(CallError::Busy | CallError::Away)) {
            CALL_SECONDS
                .with_label_values(&[purpose.label()])
                .observe(began.elapsed().as_secs_f64());
        }
        outcome
    }
}
