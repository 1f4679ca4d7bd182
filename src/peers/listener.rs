//! Answering other nodes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{HttpService, Request};
use actix_server::Server;
use actix_service::{fn_service, map_config};
use actix_web::dev::{AppConfig, ServerHandle};
use actix_web::http::header::HeaderValue;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes, BytesMut, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client::Shared;
use super::metrics::{REMEMBERED, REQUESTS};
use super::query::{Host, Query, RedeemTicket};
use super::refused::{RefusalLog, Refused};
use super::replay::Remembered;
use super::seal::{self, ANSWER_HEADER, REQUEST_HEADER, Sealed};
use super::{Peers, passing, tunnel};
use crate::protocol::ask::Ask;
use crate::protocol::connection::ConnectionQuery;
use crate::protocol::copies::CopiesQuery;
use crate::protocol::error::Refusal;
use crate::protocol::presence::{PresencePull, PresenceStands};
use crate::protocol::problem;

/// Threads that answer: what is asked costs next to nothing.
const THREADS: usize = 1;

/// For so long a connection without a request is kept: longer than those who ask keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 256;

/// A secret that was read longer ago than this is looked at again before somebody is let in by it:
/// it may have been replaced.
const SECRET_GOOD_FOR: Duration = Duration::from_secs(5);

/// A peer may take so long over the end of its connection.
const DISCONNECT: Duration = Duration::from_secs(1);

/// Takes the port for other nodes. They may come from now on, and are answered once there is a
/// [`Channel`].
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
}

/// The listener for other nodes.
#[derive(Debug)]
pub struct Channel {
    server: ServerHandle,
}

/// What a request meets.
pub(super) struct Desk {
    pub(super) peers: Arc<Shared>,
    pub(super) host: Arc<dyn Host>,
    requests: Arc<Semaphore>,
    /// For what waits as long as clients do.
    pub(super) passed: Arc<Semaphore>,
    remembered: Mutex<Remembered>,
    pub(super) refusals: RefusalLog,
}

impl Channel {
    /// Begins to answer; within a running actix system. `host` answers for this node.
    pub fn serve(listener: TcpListener, peers: &Peers, host: Arc<dyn Host>) -> io::Result<Self> {
        let config = &peers.shared().config;
        let desk = Data::new(Desk {
            peers: Arc::clone(peers.shared()),
            host,
            requests: Arc::new(Semaphore::new(config.max_requests)),
            passed: Arc::new(Semaphore::new(config.passed_on_max)),
            remembered: Mutex::new(Remembered::new(
                max_age_us(config.max_age_ms),
                config.remembered_max,
            )),
            refusals: RefusalLog::default(),
        });
        let address = listener.local_addr()?;
        let head_timeout = Duration::from_millis(config.request_timeout_ms);
        let server = Server::build()
            .workers(THREADS)
            .max_concurrent_connections(config.max_connections + config.passed_on_max)
            .backlog(BACKLOG)
            .shutdown_timeout(1)
            .disable_signals()
            .listen("peers", listener, move || {
                let (answering, taking) = (desk.clone(), desk.clone());
                let app = App::new()
                    .app_data(answering)
                    .default_service(web::to(answer));
                HttpService::build()
                    .keep_alive(KEEP_ALIVE)
                    .client_request_timeout(head_timeout)
                    .client_disconnect_timeout(DISCONNECT)
                    // Whoever asks and goes has passed on a request whose client has gone.
                    .h1_allow_half_closed(false)
                    .local_addr(address)
                    .upgrade(fn_service(move |(request, framed): (Request, _)| {
                        let desk = taking.clone();
                        async move {
                            tunnel::accept(&desk, request, framed).await;
                            Ok::<(), actix_web::Error>(())
                        }
                    }))
                    .finish(map_config(app, |()| AppConfig::default()))
                    .tcp()
            })?
            .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { server: handle })
    }

    /// Answers nobody any more.
    pub async fn stop(&self) {
        self.server.stop(false).await;
    }
}

/// A request that was let in.
struct Taken {
    sealed: Sealed,
    body: Bytes,
    /// Until it is answered.
    _turn: OwnedSemaphorePermit,
}

async fn answer(request: HttpRequest, payload: Payload, desk: Data<Desk>) -> HttpResponse {
    let mut from = None;
    match desk.take(&request, payload, &mut from).await {
        Ok(Taken {
            sealed,
            body,
            _turn,
        }) => desk.respond(&request, &sealed, &body).await,
        Err(refused) => {
            let address = request.peer_addr().map(|it| it.ip().to_string());
            desk.refusals
                .note(refused, address.as_deref(), from.as_deref());
            refuse(refused)
        }
    }
}

/// Nobody who is refused keeps a connection: who has no secret gets no further than one request.
fn refuse(refused: Refused) -> HttpResponse {
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
    HttpResponse::build(status)
        .force_close()
        .json(serde_json::json!({ "code": refused.code(), "message": refused.to_string() }))
}

impl Desk {
    /// Lets a request in, and reads its body. `from` becomes who it says that it is from.
    async fn take(
        &self,
        request: &HttpRequest,
        payload: Payload,
        from: &mut Option<String>,
    ) -> Result<Taken, Refused> {
        let header = request.headers().get(REQUEST_HEADER);
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |it| it.as_str());
        let what = (request.method().as_str(), path);
        let sealed = self.let_in(header, what, from).await?;
        let turns = if query_name(request) == passing::NAME {
            &self.passed
        } else {
            &self.requests
        };
        let turn = Arc::clone(turns).try_acquire_owned();
        let turn = turn.map_err(|_| Refused::Overloaded)?;
        let reading = self.read(request, payload);
        let limit = Duration::from_millis(self.peers.config.request_timeout_ms);
        let body = tokio::time::timeout(limit, reading).await;
        let body = body.map_err(|_| Refused::TooSlow)??;
        if seal::digest(&body) != sealed.claims.digest {
            return Err(Refused::Forged);
        }
        Ok(Taken {
            sealed,
            body,
            _turn: turn,
        })
    }

    /// Lets in who shows a header that is good. `from` becomes who it says that it is from.
    pub(super) async fn let_in(
        &self,
        header: Option<&HeaderValue>,
        what: (&str, &str),
        from: &mut Option<String>,
    ) -> Result<Sealed, Refused> {
        let sealed = header.and_then(|it| Sealed::parse(it.to_str().ok()?));
        let sealed = sealed.ok_or(Refused::Unsigned)?;
        *from = Some(sealed.claims.from.to_string());
        self.judge(&sealed, what).await?;
        Ok(sealed)
    }

    async fn judge(&self, sealed: &Sealed, what: (&str, &str)) -> Result<(), Refused> {
        if self.peers.view.known().clock.at.elapsed() > SECRET_GOOD_FOR {
            self.peers.view.look_again().await;
        }
        let judged = self.judge_by_what_is_known(sealed, what);
        match judged {
            // The secret may be a new one, and the clock another server's.
            Err(Refused::Forged | Refused::Expired) if self.peers.view.look_again().await => {
                self.judge_by_what_is_known(sealed, what)
            }
            judged => judged,
        }
    }

    fn judge_by_what_is_known(&self, sealed: &Sealed, what: (&str, &str)) -> Result<(), Refused> {
        let reading = self.peers.view.known();
        let now_us = reading.clock.micros_at(Instant::now());
        let max_age_us = max_age_us(self.peers.config.max_age_ms);
        let own = &self.peers.own;
        sealed.judge(&reading.secret, what, own, (now_us, max_age_us))?;
        // Only what is authentic is remembered: nobody else can fill the memory.
        let mut remembered = self.remembered.lock();
        let noted = remembered.note(sealed.claims.nonce, now_us);
        REMEMBERED.set(i64::try_from(remembered.len()).unwrap_or(i64::MAX));
        noted
    }

    async fn read(&self, request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Refused> {
        let max = self.peers.config.max_body_bytes;
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > max) {
            return Err(Refused::TooLarge);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Refused::InvalidRequest)?;
            if body.len() + chunk.len() > max {
                return Err(Refused::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn respond(&self, request: &HttpRequest, sealed: &Sealed, body: &Bytes) -> HttpResponse {
        let (label, answered) = match query_name(request) {
            passing::NAME => (passing::NAME, self.engineio(body).await),
            ConnectionQuery::NAME => (ConnectionQuery::NAME, self.connections(body).await),
            Ask::NAME => (Ask::NAME, self.ask(body).await),
            PresencePull::NAME => (PresencePull::NAME, self.presence(body).await),
            PresenceStands::NAME => (PresenceStands::NAME, self.presence_stands(body).await),
            RedeemTicket::NAME => (RedeemTicket::NAME, self.redeem_ticket(body)),
            CopiesQuery::NAME => (CopiesQuery::NAME, self.copies(body)),
            _ => ("other", Err(Refused::UnknownQuery.into())),
        };
        let (status, body) = match answered {
            Ok(body) => (200, body),
            Err(declined) => declined.answer(),
        };
        REQUESTS
            .with_label_values(&[label, &status.to_string()])
            .inc();
        let secret = &self.peers.view.known().secret;
        let header = seal::seal_answer(secret, &sealed.mac, status, &body);
        HttpResponse::build(StatusCode::from_u16(status).unwrap_or_default())
            .insert_header((ANSWER_HEADER, header))
            .content_type("application/json")
            .body(body)
    }

    async fn connections(&self, body: &[u8]) -> Result<Vec<u8>, Declined> {
        let query: ConnectionQuery = read(body)?;
        write(&self.host.connections(query).await?)
    }

    async fn ask(&self, body: &[u8]) -> Result<Vec<u8>, Declined> {
        write(&self.host.ask(read(body)?).await)
    }

    async fn presence(&self, body: &[u8]) -> Result<Vec<u8>, Declined> {
        write(&self.host.presence(read(body)?).await?)
    }

    fn copies(&self, body: &[u8]) -> Result<Vec<u8>, Declined> {
        write(&self.host.copies(read(body)?))
    }

    async fn presence_stands(&self, body: &[u8]) -> Result<Vec<u8>, Declined> {
        write(&self.host.presence_stands(read(body)?).await?)
    }

    async fn engineio(&self, body: &Bytes) -> Result<Vec<u8>, Declined> {
        let (request, body) = passing::split(body).ok_or(Refused::InvalidRequest)?;
        let (back, body) = self.host.engineio(request, body).await;
        let joined = passing::join(&back, &body);
        Ok(joined.ok_or(Refused::InvalidRequest)?.into())
    }

    fn redeem_ticket(&self, body: &[u8]) -> Result<Vec<u8>, Declined> {
        let query: RedeemTicket = read(body)?;
        let hash = query.hash().ok_or(Refused::InvalidRequest)?;
        write(&self.host.redeem_ticket(hash))
    }
}

/// What a request asks.
fn query_name(request: &HttpRequest) -> &str {
    request.path().strip_prefix("/peer/").unwrap_or_default()
}

/// Why a question of somebody who may ask is not answered.
#[derive(Debug, thiserror::Error)]
enum Declined {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Host(#[from] Refusal),
}

impl Declined {
    fn answer(&self) -> (u16, Vec<u8>) {
        let (status, code) = match self {
            Self::Refused(refused) => (refused.status(), refused.code()),
            Self::Host(refusal) => (problem::status(refusal.code), refusal.code.as_str()),
        };
        let body = serde_json::json!({ "code": code, "message": self.to_string() });
        (status, body.to_string().into_bytes())
    }
}

fn read<Q: Query>(body: &[u8]) -> Result<Q, Declined> {
    serde_json::from_slice(body).map_err(|_| Refused::InvalidRequest.into())
}

fn write(answer: &impl Serialize) -> Result<Vec<u8>, Declined> {
    serde_json::to_vec(answer).map_err(|_| Refused::InvalidRequest.into())
}

fn max_age_us(max_age_ms: u64) -> i64 {
    i64::try_from(max_age_ms)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}
