//! What is pinned in a room.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, delete, get, put};
use utoipa::IntoParams;

use super::extract::{MessagePath, Query, RoomPath};
use super::message_changes::change;
use super::messages::SEQ_MAX;
use super::problem::{ApiError, Failure};
use super::{ApiState, conditional, permits};
use crate::auth::Identity;
use crate::cache::key::{MessagesKey, Place};
use crate::protocol::command::MessageChange;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::Seq;
use crate::protocol::reply::{Changed, MessagePage};

/// Pins a message. For moderators and owners.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id")
    ),
    responses((status = 200, description = "It is so now", body = Changed), Failure)
)]
#[put("/rooms/{id}/messages/{message_id}/pin")]
pub(super) async fn pin_message(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
) -> Result<Json<Changed>, ApiError> {
    let pin = MessageChange::Pin { pinned: true };
    change(&state, who, &room, &message, pin, None).await
}

/// Pins a message no longer. For moderators and owners.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id")
    ),
    responses((status = 200, description = "It is so now", body = Changed), Failure)
)]
#[delete("/rooms/{id}/messages/{message_id}/pin")]
pub(super) async fn unpin_message(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
) -> Result<Json<Changed>, ApiError> {
    let pin = MessageChange::Pin { pinned: false };
    change(&state, who, &room, &message, pin, None).await
}

/// Which of them are listed. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListPins {
    /// Those after this `seq`: the `next` of the page before.
    after: Option<Seq>,
}

/// The pinned messages of a room, in the order in which they were said. They come in one page,
/// unless they are too large for that: then `next` says after which message the next page begins.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug"), ListPins, conditional::Asked),
    responses((status = 200, description = "What is pinned", body = MessagePage),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/rooms/{id}/pins")]
pub(super) async fn list_pins(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let after = query.number("after", 0..=SEQ_MAX)?.unwrap_or(0);
    let least = conditional::least(&req)?;
    let (access, permitted) = permits::member(&state, &room.0, who, &least).await?;
    let key = MessagesKey {
        room: access.room_id,
        floor: access.history_floor,
        place: Place::Pinned(after),
        limit: state.config.limits.pins_per_room,
        thread: None,
    };
    let page = state.cache.messages(&state.store, key, &least).await?;
    let page = page.ok_or(ErrorCode::RoomNotFound)?;
    conditional::of_page(&req, &state, permitted, &page, "after")
}
