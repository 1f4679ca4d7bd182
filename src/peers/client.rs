//! Asking other nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::metrics::{CALL_SECONDS, CALLS};
use super::query::Query;
use super::refused::Refused;
use super::seal::{self, ANSWER_HEADER, Claims, REQUEST_HEADER};
use super::view::View;
use crate::config;
use crate::protocol::error::ErrorCode;
use crate::protocol::origin::Origin;
use crate::store::cluster::{ClusterReading, Peer, Secret};
use crate::store::{Store, StoreError};

/// Connections that are kept open to each peer.
const IDLE_PER_PEER: usize = 4;

/// For as long: less than a listener keeps them, so that none is used that is just being closed.
const IDLE: Duration = Duration::from_secs(15);

/// Who asks when no node does: an operator's command. No node is called so in a life 0.
const OPERATOR: &str = "operator";

/// Why a peer has not answered.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody of this name runs, or not in that life any more.
    #[error("no such node is running")]
    Gone,
    /// It has no listener for other nodes.
    #[error("it does not listen for other nodes")]
    NoAddress,
    /// No connection.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The connection broke.
    #[error("the connection to it broke")]
    Broken(#[source] reqwest::Error),
    /// No connection for a socket that is passed on.
    #[error("it cannot be reached")]
    NoConnection(#[source] std::io::Error),
    /// That connection broke.
    #[error("the connection to it broke")]
    Lost(#[source] std::io::Error),
    /// No answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// It will not answer. What it said is not authenticated.
    #[error("it refused to answer ({0})")]
    Refused(&'static str),
    /// The answer is not its own, or cannot be read.
    #[error("its answer is not authentic or cannot be read")]
    BadAnswer,
    /// Too many questions are under way.
    #[error("this node asks too much at once")]
    Busy,
}

impl PeerError {
    /// A stable name of the reason.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::NoAddress => "no_address",
            Self::Unreachable(_) | Self::NoConnection(_) => "unreachable",
            Self::Broken(_) | Self::Lost(_) => "broken",
            Self::TimedOut => "timeout",
            Self::Refused(_) => "refused",
            Self::BadAnswer => "bad_answer",
            Self::Busy => "busy",
        }
    }
}

/// What became of a question to one of several peers.
#[derive(Debug)]
pub struct Heard<T> {
    /// Who was asked.
    pub peer: Peer,
    /// What it answered.
    pub answer: Result<T, PeerError>,
}

/// The other nodes, to be asked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) own: Origin,
    pub(super) view: View,
    pub(super) config: config::Peers,
    http: reqwest::Client,
    /// The connections live on the thread that has started this: driven by a worker they would
    /// stall with it.
    pub(super) runtime: Handle,
    turns: Semaphore,
    /// Requests of clients that are passed on.
    pub(super) passing: Semaphore,
}

impl Peers {
    /// For a node, in this life; within a tokio runtime, which drives the connections.
    pub async fn open(
        store: Store,
        config: &config::Peers,
        own: Origin,
    ) -> Result<Self, StoreError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .pool_max_idle_per_host(IDLE_PER_PEER)
            .pool_idle_timeout(IDLE)
            .connect_timeout(Duration::from_millis(config.call_timeout_ms))
            .timeout(Duration::from_millis(config.call_timeout_ms))
            .build()
            .map_err(StoreError::unavailable)?;
        Ok(Self {
            shared: Arc::new(Shared {
                own,
                view: View::open(store).await?,
                config: config.clone(),
                http,
                runtime: Handle::current(),
                turns: Semaphore::new(config.calls_max),
                passing: Semaphore::new(config.passed_on_max),
            }),
        })
    }

    /// What was last read of the cluster: its secret, and the time by its clock.
    #[must_use]
    pub fn last_reading(&self) -> Arc<ClusterReading> {
        self.shared.view.known()
    }

    /// For an operator's command.
    pub async fn for_operator(store: Store, config: &config::Peers) -> Result<Self, StoreError> {
        let own = Origin {
            node: OPERATOR.into(),
            incarnation: 0,
        };
        Self::open(store, config, own).await
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// This node.
    #[must_use]
    pub fn own(&self) -> &Origin {
        &self.shared.own
    }

    /// Now by Postgres's clock, as far as the last look at it tells.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let clock = self.shared.view.known().clock;
        let micros = clock.micros_at(Instant::now());
        Timestamp::from_microsecond(micros).unwrap_or(clock.showed)
    }

    /// The nodes that may be running, without this one, by name.
    pub async fn others(&self) -> Vec<Peer> {
        let reading = self.shared.view.current().await;
        let others = reading.peers.iter();
        let others = others.filter(|it| it.origin.node != self.shared.own.node);
        others.cloned().collect()
    }

    /// Asks all other nodes, each within the time-out. Who did not answer is among them, with the
    /// reason.
    pub async fn ask_others<Q: Query>(&self, query: &Q) -> Vec<Heard<Q::Answer>> {
        let others = self.others().await;
        let asking: FuturesUnordered<_> = others
            .into_iter()
            .map(|peer| async {
                let answer = self.ask(&peer, query).await;
                Heard { peer, answer }
            })
            .collect();
        let mut heard: Vec<_> = asking.collect().await;
        heard.sort_by(|a, b| a.peer.origin.node.cmp(&b.peer.origin.node));
        heard
    }

    /// Asks the node that has this life.
    pub async fn ask_life<Q: Query>(
        &self,
        origin: &Origin,
        query: &Q,
    ) -> Result<Q::Answer, PeerError> {
        self.ask(&self.find(origin).await?, query).await
    }

    /// The node that has this life.
    pub(super) async fn find(&self, origin: &Origin) -> Result<Peer, PeerError> {
        let find = |reading: &ClusterReading| {
            let peer = reading.peers.iter().find(|it| it.origin == *origin);
            peer.cloned()
        };
        let known = find(&self.shared.view.known());
        let peer = match known {
            Some(peer) => Some(peer),
            None => find(&*self.shared.view.current().await),
        };
        peer.ok_or(PeerError::Gone)
    }

    /// Asks a node.
    pub async fn ask<Q: Query>(&self, peer: &Peer, query: &Q) -> Result<Q::Answer, PeerError> {
        let begun = Instant::now();
        let answer = self.call(peer, Q::NAME, query).await;
        CALL_SECONDS
            .with_label_values(&[Q::NAME])
            .observe(begun.elapsed().as_secs_f64());
        let outcome = answer.as_ref().err().map_or("ok", PeerError::code);
        CALLS.with_label_values(&[Q::NAME, outcome]).inc();
        if let Err(error) = &answer {
            let error = error as &dyn std::error::Error;
            tracing::debug!(error, peer = %peer.origin, query = Q::NAME, "a peer did not answer");
        }
        answer
    }

    async fn call<Q: Query>(
        &self,
        peer: &Peer,
        name: &str,
        query: &Q,
    ) -> Result<Q::Answer, PeerError> {
        if peer.address.is_empty() {
            return Err(PeerError::NoAddress);
        }
        let turn = self.shared.turns.try_acquire();
        let _turn = turn.map_err(|_| PeerError::Busy)?;
        let body = serde_json::to_vec(query).map_err(|_| PeerError::BadAnswer)?;
        let path = format!("/peer/{name}");
        let shared = Arc::clone(&self.shared);
        let (to, address) = (peer.origin.clone(), peer.address.clone());
        let limit = Duration::from_millis(self.shared.config.call_timeout_ms) + query.wait();
        let exchange = self.shared.runtime.spawn(async move {
            shared
                .exchange(to, &address, &path, body.into(), Some(limit))
                .await
        });
        let mut exchange = Exchange(exchange);
        // The client's own time-out is for what it knows of; this one is for all.
        let answer = tokio::time::timeout(limit, &mut exchange.0).await;
        let answer = answer.map_err(|_| PeerError::TimedOut)?;
        let answer = answer.map_err(|_| PeerError::BadAnswer)??;
        serde_json::from_slice(&answer).map_err(|_| PeerError::BadAnswer)
    }
}

/// A question that is under way. It ends with who has asked: nothing else bounds how many there are.
pub(super) struct Exchange(pub(super) JoinHandle<Result<Bytes, PeerError>>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    /// Sends a sealed body and reads the answer; `limit` instead of the time for a question.
    pub(super) async fn exchange(
        &self,
        to: Origin,
        address: &str,
        path: &str,
        body: Bytes,
        limit: Option<Duration>,
    ) -> Result<Bytes, PeerError> {
        let reading = self.view.known();
        let claims = Claims {
            from: self.own.clone(),
            to,
            time_us: reading.clock.micros_at(Instant::now()),
            nonce: rand::random(),
            digest: seal::digest(&body),
        };
        let (header, mac) = claims.seal(&reading.secret, "POST", path);
        let mut request = self
            .http
            .post(format!("http://{address}{path}"))
            .header(REQUEST_HEADER, header)
            .header("content-type", "application/json")
            .body(body);
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        let answer = request.send().await.map_err(sort)?;
        self.read(answer, &reading.secret, &mac).await
    }

    async fn read(
        &self,
        mut answer: reqwest::Response,
        secret: &Secret,
        request: &seal::Hash,
    ) -> Result<Bytes, PeerError> {
        let status = answer.status();
        let header = answer.headers().get(ANSWER_HEADER);
        let header = header.and_then(|it| it.to_str().ok()).map(str::to_owned);
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(sort)? {
            if body.len() + chunk.len() > self.config.max_answer_bytes {
                return Err(PeerError::BadAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(PeerError::Refused(known_code(&body)));
        }
        let is_authentic =
            header.is_some_and(|it| seal::is_answer(secret, request, status.as_u16(), &body, &it));
        if !is_authentic {
            return Err(PeerError::BadAnswer);
        }
        Ok(body.freeze())
    }
}

fn sort(error: reqwest::Error) -> PeerError {
    let error = error.without_url();
    if error.is_timeout() {
        PeerError::TimedOut
    } else if error.is_connect() {
        PeerError::Unreachable(error)
    } else {
        PeerError::Broken(error)
    }
}

/// The code of a refusal. Anybody may have written it, so only what we know is repeated.
fn known_code(body: &[u8]) -> &'static str {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = body.as_ref().and_then(|it| it.get("code")?.as_str());
    let ours = Refused::ALL.iter().map(|it| it.code());
    let codes = ours.chain(ErrorCode::ALL.iter().map(|it| it.as_str()));
    code.and_then(|code| codes.into_iter().find(|it| *it == code))
        .unwrap_or("for a reason that is not known here")
}
