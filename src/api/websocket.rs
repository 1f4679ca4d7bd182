//! The address of the sockets, for requests that ask for none. Those that do never come here: the
//! transport takes their sockets over before this layer sees them.

use actix_web::{HttpResponse, get};
use utoipa::IntoParams;

use super::problem::{ApiError, Failure};

/// Only for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct Handshake {
    /// From `POST /api/auth/ticket`, for pages that can send neither cookie nor header.
    ticket: Option<String>,
}

/// Opens a WebSocket of the native protocol, see docs/PROTOCOL.md.
#[utoipa::path(
    tag = "websocket",
    security((), ("bearer" = []), ("cookie" = [])),
    params(Handshake),
    responses(
        (status = 101, description = "The protocol is switched"),
        (status = 426, description = "The request asks for no upgrade"),
        Failure
    )
)]
#[get("/ws")]
pub(super) async fn websocket() -> Result<HttpResponse, ApiError> {
    Err(ApiError::UpgradeRequired)
}
