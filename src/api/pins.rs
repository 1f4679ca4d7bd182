//! What is pinned in a room.

use actix_web::web::{Data, Json};
use actix_web::{delete, get, put};
use utoipa::IntoParams;

use super::ApiState;
use super::extract::{MessagePath, Query, RoomPath};
use super::message_changes::change;
use super::messages::SEQ_MAX;
use super::paging::Paged;
use super::problem::{ApiError, Failure};
use super::rooms::membership;
use crate::auth::Identity;
use crate::protocol::command::MessageChange;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::Seq;
use crate::protocol::reply::{Changed, MessagePage};
use crate::store::messages;

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
    params(("id" = String, Path, description = "The room's id or slug"), ListPins),
    responses((status = 200, description = "What is pinned", body = MessagePage), Failure)
)]
#[get("/rooms/{id}/pins")]
pub(super) async fn list_pins(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<Paged<MessagePage>, ApiError> {
    let after = query.number("after", 0..=SEQ_MAX)?.unwrap_or(0);
    let (access, _) = membership(&state, &room.0, who).await?;
    let (from, limit) = (
        access.history_floor.max(after),
        state.config.limits.pins_per_room,
    );
    let page = messages::pinned(&state.store, access.room_id, from, limit).await?;
    let page = page.ok_or(ErrorCode::RoomNotFound)?;
    let next = page.next;
    Ok(Paged::new(page, "after", next))
}
