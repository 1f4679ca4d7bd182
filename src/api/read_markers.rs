//! How far one has read. What is unread is shown with the rooms.

use actix_web::web::{Data, Json};
use actix_web::{post, put};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::extract::{Body, RoomPath};
use super::problem::{ApiError, Failure, FieldError};
use super::rooms::visible;
use crate::auth::Identity;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, RoomRef};
use crate::protocol::reply::ReadMarker;

/// Rooms in one request at most.
const ROOMS_MAX: usize = 100;

/// How far one has read a room.
#[derive(Deserialize, ToSchema)]
pub(super) struct MarkRead {
    /// The last message that one has read; 0: none.
    msg_no: u64,
}

/// How far one has read several rooms.
#[derive(Deserialize, ToSchema)]
pub(super) struct MarkAllRead {
    /// At most 100.
    #[schema(max_items = 100)]
    rooms: Vec<MarkRoomRead>,
}

/// How far one has read one of them.
#[derive(Deserialize, ToSchema)]
pub(super) struct MarkRoomRead {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    room: RoomId,
    /// The last message that one has read; 0: none.
    msg_no: u64,
}

/// What became of them.
#[derive(Serialize, ToSchema)]
pub(super) struct AllMarked {
    /// In the order of the request.
    rooms: Vec<RoomMarked>,
}

/// What became of one of them.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomMarked {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    room: RoomId,
    /// What is stored now; absent if there is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_no: Option<u64>,
    /// Why nothing was stored, as in a problem document.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RoomError>,
}

/// Why a room's marker was not stored.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomError {
    /// The stable code.
    #[schema(value_type = String, example = "room_not_found")]
    code: ErrorCode,
    /// For people; may change.
    message: String,
    /// Whether the same request may succeed later.
    retry: bool,
}

impl From<Refusal> for RoomError {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            retry: refusal.code.retry(),
            message: refusal.message.into_owned(),
        }
    }
}

/// Says how far one has read. The highest counts; the answer is what is stored now.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    request_body = MarkRead,
    responses((status = 200, description = "Stored", body = ReadMarker), Failure)
)]
#[put("/rooms/{id}/read")]
pub(super) async fn mark_read(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<MarkRead>,
) -> Result<Json<ReadMarker>, ApiError> {
    let Body(MarkRead { msg_no }) = body;
    let room_id = match room.0 {
        RoomRef::Id(id) => id,
        room @ RoomRef::Slug(_) => visible(&state, &room, who).await?.room_id,
    };
    let marked = state.hub.mark_read(room_id, who.user_id, msg_no).await?;
    Ok(Json(marked))
}

/// Says how far one has read several rooms. Each is stored, or refused, by itself.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    request_body = MarkAllRead,
    responses((status = 200, description = "What became of each", body = AllMarked), Failure)
)]
#[post("/rooms/read")]
pub(super) async fn mark_all_read(
    state: Data<ApiState>,
    who: Identity,
    body: Body<MarkAllRead>,
) -> Result<Json<AllMarked>, ApiError> {
    let Body(MarkAllRead { rooms }) = body;
    if rooms.len() > ROOMS_MAX {
        return Err(FieldError::new("rooms", format!("must be at most {ROOMS_MAX}")).into());
    }
    let marks = rooms.iter().map(|mark| {
        let marking = state.hub.mark_read(mark.room, who.user_id, mark.msg_no);
        async move { (mark.room, marking.await) }
    });
    let marked = join_all(marks).await.into_iter().map(|(room, marked)| {
        let (msg_no, error) = match marked {
            Ok(marker) => (Some(marker.msg_no), None),
            Err(refusal) => (None, Some(refusal.into())),
        };
        RoomMarked {
            room,
            msg_no,
            error,
        }
    });
    Ok(Json(AllMarked {
        rooms: marked.collect(),
    }))
}
