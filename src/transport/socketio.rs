//! Engine.IO over HTTP: `GET` waits for packets or begins a session, `POST` brings some, `OPTIONS`
//! asks whether another origin's page may.
//!
//! The requests come through the HTTP side; sockets at the same address are [`socket`]'s, as no
//! upgrade gets that far. Sessions are the hub's ([`EngineIo`](crate::hub::engineio::EngineIo)): here
//! is only what a request must say, who may begin a session, and how answers are written. A request
//! for a session of another node is passed on to it ([`elsewhere`]).

mod answer;
mod body;
mod client;
mod cors;
mod elsewhere;
mod entry;
mod passed_on;
mod request;
pub(super) mod socket;
mod tunnel;
mod turn;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use actix_web::http::Method as HttpMethod;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};

use self::answer::Answers;
pub(in crate::transport) use self::body::BodyError;
use self::cors::Cors;
use self::request::Asked;
use super::Transport;
use super::admission::{Caller, address, peer, texts};
use super::held::SocketHold;
use super::metrics::SOCKETIO_REQUESTS;
use super::refusal::TransportError;
use crate::config::{self, ECHO_PATH};
use crate::hub::engineio::Contract;
use crate::protocol::engineio::request::{HandshakeError, Purpose};

pub(crate) use self::passed_on::PassedOnHost;

/// The poll of a client that goes may come by another connection, and so by another thread, than its
/// last POST, at the same time: it is let past, so that it ends as the client expects.
const LAST_POLL: Duration = Duration::from_millis(10);

/// Adds what is served at the configured path.
pub(crate) fn configure(services: &mut ServiceConfig, config: &config::SocketIo) {
    if !config.enabled {
        return;
    }
    services.route(&config.path, web::to(serve));
    if config.serve_client {
        services.route(
            &format!("{}{{file}}", config.path),
            web::get().to(client::serve),
        );
    }
    if config.echo_contract {
        services.route(ECHO_PATH, web::to(serve));
    }
}

/// What is spoken at a path; none if nothing is.
pub(super) fn contract(config: &config::SocketIo, path: &str) -> Option<Contract> {
    if !config.enabled {
        return None;
    }
    match path {
        _ if path == config.path && config.echo_contract => Some(Contract::SocketIoSuite),
        _ if path == config.path => Some(Contract::Hub),
        ECHO_PATH if config.echo_contract => Some(Contract::Echo),
        _ => None,
    }
}

async fn serve(req: HttpRequest, payload: Payload, transport: Data<Transport>) -> HttpResponse {
    let cors = Cors::of(req.headers(), &transport);
    if req.method() == HttpMethod::OPTIONS
        && let Some(cors) = &cors
        && let Some(answer) = cors.preflight(req.headers())
    {
        return answer;
    }
    let mut answer = answer(&req, payload, &transport)
        .await
        .unwrap_or_else(|error| {
            tracing::debug!(%error, "a polling request was refused");
            error.error_response()
        });
    if let Some(cors) = &cors {
        cors.allow(answer.headers_mut());
    }
    answer
}

async fn answer(
    req: &HttpRequest,
    payload: Payload,
    transport: &Transport,
) -> Result<HttpResponse, TransportError> {
    let contract = contract(&transport.socketio, req.path());
    let contract = contract.ok_or(HandshakeError::BadRequest)?;
    let asked = Asked::read(transport, req.method().as_str(), req.query_string())?;
    let answers = Answers::new(transport, req.headers());
    if let Some(home) = asked.elsewhere(transport) {
        let kind = if *req.method() == HttpMethod::POST {
            "post"
        } else {
            "poll"
        };
        let passing = elsewhere::pass_on(req, payload, transport, (&asked, home));
        let answer = unless_gone(req, passing).await;
        return counted(kind, true, answer.map(|it| it.write(&answers)));
    }
    let engineio = transport.hub.engineio();
    let known = |sid: &str| engineio.known(sid);
    match asked.query.purpose(asked.method, known)? {
        Purpose::Open => {
            let opened = open(req, transport, &asked, contract).await;
            counted("open", false, opened.map(|payload| answers.opened(payload)))
        }
        Purpose::Poll => {
            let poll = engineio.poll(asked.sid(), &asked.query);
            let answer = unless_gone(req, async { Ok(poll.await?) }).await;
            counted(
                "poll",
                false,
                answer.map(|payload| answers.payload(payload)),
            )
        }
        Purpose::Post => {
            let posting = post(req, payload, transport, asked.sid());
            let answer = unless_gone(req, posting).await;
            counted("post", false, answer.map(|()| answers.ok()))
        }
        Purpose::Upgrade => Err(HandshakeError::BadRequest.into()),
    }
}

/// A session begins.
async fn open(
    req: &HttpRequest,
    transport: &Transport,
    asked: &Asked,
    contract: Contract,
) -> Result<crate::hub::engineio::Payload, TransportError> {
    let headers = req.headers();
    let authority = req.uri().authority();
    let caller = Caller {
        headers,
        query: req.query_string(),
        host: texts(headers, &header::HOST)
            .next()
            .or(authority.map(actix_web::http::uri::Authority::as_str)),
        address: address(transport, req.peer_addr(), headers),
        peer: peer(req.peer_addr()),
        // A session by polling has no connection of its own.
        is_shared: true,
    };
    let opening = entry::admit(&caller, transport, asked, contract).await?;
    let opened = transport
        .hub
        .open_polling(opening, asked.query.takes_bytes)
        .await;
    Ok(opened?)
}

/// Packets come.
async fn post(
    req: &HttpRequest,
    payload: Payload,
    transport: &Transport,
    sid: &str,
) -> Result<(), TransportError> {
    let is_bytes = body::is_bytes(req.headers());
    let post = transport.hub.engineio().post(sid, is_bytes)?;
    match read(req.headers(), payload, transport).await {
        Ok(body) => {
            if is_leave(&body) {
                tokio::time::sleep(LAST_POLL).await;
            }
            Ok(post.finish(body).await?)
        }
        Err(BodyError::TooLarge) => Err(post.too_large().await.into()),
        // Dropping it tells the session.
        Err(error) => Err(error.into()),
    }
}

/// Whether a client says that it goes, and nothing else, in either revision.
fn is_leave(body: &[u8]) -> bool {
    matches!(body, b"1" | b"1:1")
}

/// Reads the body of a POST.
async fn read(
    headers: &HeaderMap,
    payload: Payload,
    transport: &Transport,
) -> Result<bytes::Bytes, BodyError> {
    let most = transport.socketio.max_http_buffer_size;
    let limit = Duration::from_millis(transport.http.request_body_timeout_ms);
    body::read(headers, payload, most, limit).await
}

/// Waits for something, unless the request's client goes: the dispatcher lets a client go on that says
/// that it sends no more, but one that waits for a poll says so by going.
async fn unless_gone<T>(
    req: &HttpRequest,
    waiting: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let hold = req.conn_data::<SocketHold>().cloned();
    let mut waiting = pin!(waiting);
    poll_fn(|cx| {
        if let Poll::Ready(done) = waiting.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // The dispatcher polls this whenever it has read.
        if hold.as_ref().is_some_and(SocketHold::has_ended) {
            return Poll::Ready(Err(TransportError::Gone));
        }
        Poll::Pending
    })
    .await
}

/// Counts a request by its outcome.
fn counted(
    kind: &str,
    is_passed_on: bool,
    answer: Result<HttpResponse, TransportError>,
) -> Result<HttpResponse, TransportError> {
    let outcome = match &answer {
        Ok(answer) if answer.status().is_success() => "ok",
        Ok(_) => "refused",
        Err(error) => error.label(),
    };
    let way = if is_passed_on { "passed_on" } else { "here" };
    SOCKETIO_REQUESTS
        .with_label_values(&[kind, way, outcome])
        .inc();
    answer
}
