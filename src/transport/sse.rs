//! Event streams: `GET /api/rooms/{id}/events` and `GET /api/events`.
//!
//! The requests come through the HTTP side, but are let in like upgrades: by the same credentials,
//! limits and bounds. What is sent comes from the hub's [`Stream`](crate::hub::connection::stream)
//! by [`body`].

mod body;

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use actix_web::http::Version;
use actix_web::http::header::{self, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use utoipa::IntoParams;

use super::Transport;
use super::admission::{Caller, address, in_time, peer, texts};
use super::gate::known;
use super::held::SocketHold;
use super::places::Seat;
use super::refusal::TransportError;
use crate::auth::{AuthError, Bucket, Subject};
use crate::hub::connection::identity::Identity;
use crate::hub::connection::stream::{self, Feed};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::RoomRef;
use crate::protocol::sse::{CONTENT_TYPE, LastEventId};

/// Only for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct Resuming {
    /// The `id` of the last event that the client has, for clients that cannot set the header
    /// `Last-Event-ID`. The header goes before it.
    last_event_id: Option<String>,
    /// The same, for a cursor from elsewhere.
    cursor: Option<String>,
    /// From `POST /api/auth/ticket`, for pages that can send neither cookie nor header.
    ticket: Option<String>,
}

/// Only for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct Narrowed {
    /// Ids or slugs of rooms, separated by commas: only these. Without it all rooms that the user
    /// is a member of, also those of the future.
    rooms: Option<String>,
}

/// The events of a room, as a stream that can be resumed.
#[utoipa::path(
    tag = "events",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("Last-Event-ID" = Option<String>, Header, description = "`<epoch>-<seq>`, or a cursor"),
        Resuming
    ),
    responses(
        (status = 200, description = "Events without end, see docs/PROTOCOL.md",
            content_type = "text/event-stream", body = String),
        (status = "default", description = "An error. Its `code` is stable, see docs/PROTOCOL.md",
            content_type = "application/problem+json",
            body = ref("#/components/schemas/Problem"))
    )
)]
#[get("/api/rooms/{id}/events")]
pub(crate) async fn room_events(
    req: HttpRequest,
    transport: Data<Transport>,
) -> Result<HttpResponse, TransportError> {
    let (identity, seat) = admit(&req, &transport).await?;
    let query = Query::parse(&req)?;
    let last = last_event_id(&req, &query)?;
    // A name that no room can have names none.
    let room: RoomRef = req
        .match_info()
        .query("id")
        .parse()
        .map_err(|_| Refusal::new(ErrorCode::RoomNotFound, "no such room"))?;
    let asking = transport
        .hub
        .room_feed(&room, identity.user_id, last.as_ref());
    let feed = in_time(&transport, asking).await??;
    answer(&req, &transport, (identity, seat), feed)
}

/// The events of all rooms of the user, as one stream that can be resumed.
#[utoipa::path(
    tag = "events",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "A cursor"),
        Resuming,
        Narrowed
    ),
    responses(
        (status = 200, description = "Events without end, see docs/PROTOCOL.md",
            content_type = "text/event-stream", body = String),
        (status = "default", description = "An error. Its `code` is stable, see docs/PROTOCOL.md",
            content_type = "application/problem+json",
            body = ref("#/components/schemas/Problem"))
    )
)]
#[get("/api/events")]
pub(crate) async fn user_events(
    req: HttpRequest,
    transport: Data<Transport>,
) -> Result<HttpResponse, TransportError> {
    let (identity, seat) = admit(&req, &transport).await?;
    let query = Query::parse(&req)?;
    let cursor = match last_event_id(&req, &query)? {
        None => None,
        Some(LastEventId::Cursor(positions)) => Some(positions),
        Some(LastEventId::Room(_)) => return Err(invalid_cursor().into()),
    };
    let only = query.rooms()?;
    let asking = transport
        .hub
        .user_feed(identity.user_id, only.as_ref(), cursor.as_deref());
    let feed = in_time(&transport, asking).await??;
    answer(&req, &transport, (identity, seat), feed)
}

/// Who asks. A stream is of somebody, other than a socket, which can say later who it is.
async fn admit(
    req: &HttpRequest,
    transport: &Transport,
) -> Result<(Identity, Seat), TransportError> {
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
        is_shared: req.version() >= Version::HTTP_2,
    };
    let (identity, seat) = caller.admit(transport).await?;
    let identity = identity.ok_or_else(|| AuthError::NoCredentials.refusal())?;
    let user = Subject::User(identity.user_id);
    transport
        .limits
        .take_now(Bucket::Reads, user, caller.address)?;
    Ok((known(&identity), seat))
}

/// Opens the stream.
fn answer(
    req: &HttpRequest,
    transport: &Transport,
    (identity, seat): (Identity, Seat),
    feed: Feed,
) -> Result<HttpResponse, TransportError> {
    let hold = req.conn_data::<SocketHold>().cloned();
    let hold = hold.ok_or_else(|| Refusal::new(ErrorCode::Internal, "an internal error"))?;
    let websocket = &transport.websocket;
    // Longer than the hub's own patience, so that the reason is told wherever it can be.
    let patience = Duration::from_secs(websocket.ping_interval_s + websocket.ping_timeout_s)
        + Duration::from_millis(websocket.close_timeout_ms);
    if let Err(error) = hold.prepare(websocket, patience) {
        // The dispatcher finds out, too.
        tracing::debug!(%error, "a socket was lost before its stream began");
    }
    tracing::debug!(user = %identity.user_id, "an event stream was opened");
    let who = (identity, address(transport, req.peer_addr(), req.headers()));
    let stream = stream::open(&transport.hub, who, Box::new(hold.clone()), feed);
    Ok(HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "private, no-cache, no-transform"))
        // nginx would gather the events otherwise.
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(body::body(stream, hold, seat)))
}

/// Where the client stands: the header goes before the query, because a browser that reconnects
/// by itself sends a newer header with the old address.
fn last_event_id(req: &HttpRequest, query: &Query) -> Result<Option<LastEventId>, Refusal> {
    let header = req.headers().get(HeaderName::from_static("last-event-id"));
    let header = header
        .map(|value| value.to_str().map_err(|_| invalid_cursor()))
        .transpose()?;
    let given = [header, query.get("last_event_id"), query.get("cursor")];
    match given.into_iter().flatten().find(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => LastEventId::parse(text)
            .map(Some)
            .map_err(|_| invalid_cursor()),
    }
}

fn invalid_cursor() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidCursor,
        "this is no id of an event of such a stream, nor a cursor",
    )
}

/// What a stream's query may say; what else it says is ignored.
const PARAMETERS: [&str; 4] = ["last_event_id", "cursor", "rooms", "ticket"];

/// The parameters of the query, each at most once.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(req: &HttpRequest) -> Result<Self, Refusal> {
        let pairs = form_urlencoded::parse(req.query_string().as_bytes());
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs.map(|(name, value)| (Cow::into_owned(name), value)) {
            // So that it costs no more, however many others there are.
            if !PARAMETERS.contains(&name.as_str()) {
                continue;
            }
            if known.iter().any(|(other, _)| *other == name) {
                let message = format!("`{name}` stands twice in the query");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            known.push((name, value.into_owned()));
        }
        Ok(Self(known))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The rooms that are named, if any are.
    fn rooms(&self) -> Result<Option<HashSet<RoomRef>>, Refusal> {
        let not_found = |_| Refusal::new(ErrorCode::RoomNotFound, "no such room");
        self.get("rooms")
            .map(|names| {
                let names = names.split(',').filter(|name| !name.is_empty());
                names.map(|name| name.parse().map_err(not_found)).collect()
            })
            .transpose()
    }
}
