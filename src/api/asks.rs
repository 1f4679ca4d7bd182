//! Asking the client of one of one's own connections something that it acknowledges.

use actix_web::post;
use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ApiState;
use super::extract::{Body, Checks, ConnectionPath};
use super::problem::{ApiError, Failure};
use crate::auth::Identity;
use crate::peers::PeerError;
use crate::protocol::ask::{Ask, NotAsked};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::text::EVENT_NAME_MAX_BYTES;

/// What a client is asked.
#[derive(Deserialize, ToSchema)]
pub(super) struct Question {
    /// The application's name for it, 1 to 64 bytes, no control characters.
    name: String,
    /// What it carries, at most `limits.message_bytes` bytes; null if left out.
    #[serde(default)]
    data: serde_json::Value,
    /// How long the acknowledgement may take; `socketio.ack_timeout_ms` if left out, and at most.
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
}

/// What the client said.
#[derive(Serialize, ToSchema)]
pub(super) struct Acknowledged {
    /// What it called its acknowledgement with. Bytes are `{"$bin": base64}`.
    #[schema(value_type = Vec<serde_json::Value>)]
    args: Box<RawValue>,
}

/// Sends the client of one of one's own connections by Socket.IO the event `ask`, on whatever node,
/// and waits for its acknowledgement.
#[utoipa::path(
    tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The connection")),
    request_body = Question,
    responses(
        (status = 200, description = "The client's acknowledgement", body = Acknowledged),
        Failure
    )
)]
#[post("/auth/connections/{id}/ask")]
pub(super) async fn ask_connection(
    state: Data<ApiState>,
    who: Identity,
    connection: ConnectionPath,
    body: Body<Question>,
) -> Result<Json<Acknowledged>, ApiError> {
    let Body(Question {
        name,
        data,
        timeout_ms,
    }) = body;
    let mut checks = Checks::default();
    if name.is_empty() || name.len() > EVENT_NAME_MAX_BYTES || name.chars().any(char::is_control) {
        let message = format!("1 to {EVENT_NAME_MAX_BYTES} bytes without control characters");
        checks.wrong("name", message);
    }
    if timeout_ms == Some(0) {
        checks.wrong("timeout_ms", "at least 1".to_owned());
    }
    checks.finish()?;
    if data.to_string().len() > state.config.limits.message_bytes {
        let message = "data is longer than a message may be";
        return Err(Refusal::new(ErrorCode::TooLarge, message).into());
    }
    let longest = state.config.socketio.ack_timeout_ms;
    let ask = Ask {
        connection: connection.0,
        user_id: who.user_id,
        name,
        data,
        wait_ms: timeout_ms.map_or(longest, |asked| asked.min(longest)),
    };
    let asked = if ask.connection.origin == *state.peers.own() {
        state.hub.ask(ask).await
    } else {
        // Its place among those who wait, on this node as on the other.
        let turn = state.hub.engineio().try_ask();
        let _turn = turn.ok_or_else(|| not_asked(NotAsked::Overloaded))?;
        let origin = ask.connection.origin.clone();
        match state.peers.ask_life(&origin, &ask).await {
            Ok(asked) => asked,
            Err(PeerError::Gone) => Err(NotAsked::Gone),
            Err(PeerError::TimedOut) => Err(NotAsked::TimedOut),
            Err(_) => {
                let message = "the connection's node does not answer";
                return Err(Refusal::new(ErrorCode::Unavailable, message).into());
            }
        }
    };
    let args = asked.map_err(not_asked)?;
    Ok(Json(Acknowledged { args }))
}

fn not_asked(why: NotAsked) -> ApiError {
    let code = match why {
        NotAsked::Gone => ErrorCode::ConnectionNotFound,
        NotAsked::TimedOut => ErrorCode::AckTimeout,
        NotAsked::Overloaded => ErrorCode::Overloaded,
        NotAsked::Unfit => ErrorCode::TooLarge,
    };
    Refusal::new(code, why.to_string()).into()
}
