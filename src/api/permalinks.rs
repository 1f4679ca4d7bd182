//! Permalinks: a message by its id alone, and where it stands.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::extract::MessagePath;
use super::problem::{ApiError, Failure};
use crate::auth::Identity;
use crate::protocol::command::HISTORY_LIMIT_DEFAULT;
use crate::protocol::error::ErrorCode;
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;
use crate::protocol::reply::MessageView;
use crate::store::messages;

/// The page around a message begins at most so many messages before it.
const BEFORE: u64 = HISTORY_LIMIT_DEFAULT as u64 / 2;

/// A message, and where it is.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkedMessage {
    /// Its room.
    #[schema(value_type = Uuid)]
    room: RoomId,
    /// The message.
    message: MessageView,
    /// The address of the page of messages around it.
    #[schema(
        example = "/api/rooms/0199c5a6-1111-7111-8111-111111111111/messages?after=15&limit=50"
    )]
    page: String,
}

/// A message by its id alone, for a link to it. `Link` and `page` lead to what was said around it.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(("message_id" = Uuid, Path, description = "The message's id")),
    responses((status = 200, description = "The message", body = LinkedMessage), Failure)
)]
#[get("/messages/{message_id}")]
pub(super) async fn follow_permalink(
    state: Data<ApiState>,
    who: Identity,
    message: MessagePath,
) -> Result<HttpResponse, ApiError> {
    let found = messages::locate(&state.store, message.0, who.user_id).await?;
    let found = found.ok_or(ErrorCode::MessageNotFound)?;
    if found.role.is_none() {
        // Of a public room anybody may know, and join it.
        return Err(if found.is_private {
            ErrorCode::MessageNotFound.into()
        } else {
            ErrorCode::NotAMember.into()
        });
    }
    if found.message.seq <= found.history_floor {
        return Err(ErrorCode::MessageNotFound.into());
    }
    let page = page_around(found.room_id, found.message.seq);
    Ok(HttpResponse::Ok()
        .insert_header(("link", format!("<{page}>; rel=\"collection\"")))
        .json(LinkedMessage {
            room: found.room_id,
            message: found.message,
            page,
        }))
}

/// A page that has the message: there is at most one message for each `seq`.
fn page_around(room: RoomId, seq: Seq) -> String {
    let after = seq.saturating_sub(BEFORE + 1);
    format!("/api/rooms/{room}/messages?after={after}&limit={HISTORY_LIMIT_DEFAULT}")
}
