//! One's own open connections, on whatever node, and ending one of them.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, delete, get};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::extract::ConnectionPath;
use super::problem::{ApiError, Failure};
use crate::auth::Identity;
use crate::hub::LISTED_MAX;
use crate::peers::PeerError;
use crate::protocol::connection::{ConnectionId, ConnectionList, ConnectionQuery, ConnectionState};
use crate::protocol::error::ErrorCode;
use crate::protocol::id::{RoomId, SessionId, UserId};
use crate::store::control_log::{self, Dismissal};

/// An open connection.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionView {
    /// Which; unique among all nodes.
    #[schema(value_type = String)]
    id: ConnectionId,
    /// The node that has it.
    node: String,
    /// The session that it was opened with.
    #[schema(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// `websocket`, `polling` or `sse`.
    transport: &'static str,
    /// The client's address.
    #[schema(value_type = String)]
    address: IpAddr,
    /// When it was opened, give or take a second.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// The rooms that it is in.
    #[schema(value_type = Vec<Uuid>)]
    rooms: Vec<RoomId>,
}

/// A node that could not be asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Unanswered {
    /// Which.
    node: String,
    /// Why: `timeout`, `unreachable`, `broken`, `refused`, `busy`, `bad_answer`, `no_address` or
    /// `gone`.
    reason: &'static str,
}

/// One's connections.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnConnections {
    /// The newest first, at most 500 of each node.
    connections: Vec<ConnectionView>,
    /// How many there are on the nodes that answered.
    total: u64,
    /// Nodes whose part is missing: what is connected there is not known.
    unanswered: Vec<Unanswered>,
}

/// One's own open connections, on all nodes.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The connections, and the nodes that did not answer",
            body = OwnConnections),
        Failure
    )
)]
#[get("/auth/connections")]
pub(super) async fn list_connections(
    state: Data<ApiState>,
    who: Identity,
) -> Result<Json<OwnConnections>, ApiError> {
    let query = of(who.user_id);
    let others = state.peers.ask_others(&query);
    let (own, others) = futures_util::join!(state.hub.list_connections(&query), others);
    let mut list = own?;
    let mut unanswered = Vec::new();
    for heard in others {
        match heard.answer {
            Ok(part) => {
                list.total += part.total;
                list.connections.extend(part.connections);
            }
            Err(error) => unanswered.push(Unanswered {
                node: heard.peer.origin.node.to_string(),
                reason: error.code(),
            }),
        }
    }
    list.connections.sort_by_key(|it| it.open_s);
    let now = state.peers.now();
    Ok(Json(OwnConnections {
        connections: list
            .connections
            .into_iter()
            .map(|it| view(it, now))
            .collect(),
        total: list.total,
        unanswered,
    }))
}

fn view(state: ConnectionState, now: Timestamp) -> ConnectionView {
    ConnectionView {
        node: state.id.origin.node.to_string(),
        id: state.id,
        session_id: state.session_id,
        transport: state.transport.as_str(),
        address: state.address,
        since: now
            .saturating_sub(Duration::from_secs(state.open_s))
            .unwrap_or(now),
        rooms: state.rooms,
    }
}

/// Ends one of one's own connections, on whatever node: it is closed with 4103, and its session
/// goes on.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The connection")),
    responses(
        (status = 202, description = "Its node does not answer; it ends the connection, if it has \
            it, when it comes to itself"),
        (status = 204, description = "Ended, or about to be"),
        Failure
    )
)]
#[delete("/auth/connections/{id}")]
pub(super) async fn end_connection(
    state: Data<ApiState>,
    who: Identity,
    connection: ConnectionPath,
) -> Result<HttpResponse, ApiError> {
    let id = connection.0;
    let query = of(who.user_id);
    let found = if id.origin == *state.peers.own() {
        Some(has(&state.hub.list_connections(&query).await?, &id))
    } else {
        match state.peers.ask_life(&id.origin, &query).await {
            Ok(list) => Some(has(&list, &id)),
            Err(PeerError::Gone) => Some(false),
            Err(_) => None,
        }
    };
    if found == Some(false) {
        return Err(ErrorCode::ConnectionNotFound.into());
    }
    let dismissal = Dismissal {
        user_id: Some(who.user_id),
        connection: Some(id),
        is_move: false,
    };
    // By the log, which no node passes over: an order that is only told may be lost.
    let conn = state.store.get().await?;
    control_log::order_disconnect(&conn, &dismissal).await?;
    state.hub.dismiss(&dismissal);
    state.hub.poke_control();
    Ok(match found {
        Some(_) => HttpResponse::NoContent(),
        None => HttpResponse::Accepted(),
    }
    .finish())
}

fn of(user: UserId) -> ConnectionQuery {
    ConnectionQuery {
        user_id: Some(user),
        limit: LISTED_MAX,
    }
}

fn has(list: &ConnectionList, id: &ConnectionId) -> bool {
    // More than are listed: the order finds it if it is there.
    let is_cut = list.total > list.connections.len() as u64;
    is_cut || list.connections.iter().any(|it| it.id == *id)
}
