//! Who is in a room now.

use actix_web::get;
use actix_web::web::{Data, Json};

use super::ApiState;
use super::extract::RoomPath;
use super::problem::{ApiError, Failure};
use super::rooms::membership;
use crate::auth::Identity;
use crate::protocol::reply::RoomPresence;

/// Who is in a room now, by the connections of all nodes. For members. In a large room there is only
/// their number.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    responses((status = 200, description = "Who is there", body = RoomPresence), Failure)
)]
#[get("/rooms/{id}/presence")]
pub(super) async fn room_presence(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
) -> Result<Json<RoomPresence>, ApiError> {
    let (access, _) = membership(&state, &room.0, who).await?;
    Ok(Json(state.hub.presence(access.room_id).await?))
}
