//! Silencing members of a room: an event of the room, as every change of a membership.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, delete, post};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiState;
use super::extract::{Body, RoomPath, UserPath};
use super::members::{MemberView, member_view};
use super::period;
use super::problem::{ApiError, Failure};
use super::rooms::visible;
use crate::auth::Identity;
use crate::hub::MemberChange;
use crate::protocol::event::MembershipChange;

/// For how long; for ever if nothing is said.
#[derive(Deserialize, ToSchema)]
pub(super) struct Mute {
    /// Until then.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// For so long; not together with `until`.
    #[schema(minimum = 1, maximum = 315_360_000)]
    seconds: Option<u32>,
}

/// Silences a member: they read on and say nothing. Moderators mute members, owners all others.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("user_id" = Uuid, Path, description = "The member")
    ),
    request_body = Mute,
    responses((status = 200, description = "Muted", body = MemberView), Failure)
)]
#[post("/rooms/{id}/members/{user_id}/mute")]
pub(super) async fn mute_member(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    user: UserPath,
    body: Body<Mute>,
) -> Result<Json<MemberView>, ApiError> {
    let Body(Mute { until, seconds }) = body;
    let until = period::end(&state, until, seconds).await?;
    let access = visible(&state, &room.0, who).await?;
    let change = MemberChange {
        until,
        ..MemberChange::new(user.0, MembershipChange::Muted)
    };
    state
        .hub
        .change_membership(access.room_id, who.user_id, change)
        .await?;
    member_view(&state, access.room_id, user.0).await
}

/// Lets a member speak again. Doing so twice is doing so once.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("user_id" = Uuid, Path, description = "The member")
    ),
    responses((status = 204, description = "Not muted"), Failure)
)]
#[delete("/rooms/{id}/members/{user_id}/mute")]
pub(super) async fn unmute_member(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    user: UserPath,
) -> Result<HttpResponse, ApiError> {
    let access = visible(&state, &room.0, who).await?;
    let change = MemberChange::new(user.0, MembershipChange::Unmuted);
    state
        .hub
        .change_membership(access.room_id, who.user_id, change)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
