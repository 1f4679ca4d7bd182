//! Shutting people out of a room: an event of the room, as every change of a membership.

use actix_web::web::Data;
use actix_web::{HttpResponse, delete, get, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ApiState;
use super::extract::{Body, Checks, Query, RoomPath, UserPath};
use super::paging::Paged;
use super::period;
use super::problem::{ApiError, Failure};
use super::rooms::{membership, visible};
use crate::auth::Identity;
use crate::hub::MemberChange;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{MembershipChange, Role};
use crate::protocol::id::UserId;
use crate::protocol::text::check_body;
use crate::store::room_bans::{self, Ban};

/// A reason is at most this long, bytes.
const REASON_MAX_BYTES: usize = 1000;

/// A page of bans is this long when nothing is said.
const LIST_LIMIT_DEFAULT: u32 = 100;

/// A page of bans is at most this long.
const LIST_LIMIT_MAX: u32 = 500;

/// Whom to ban.
#[derive(Deserialize, ToSchema)]
pub(super) struct BanUser {
    /// The user; need not be a member.
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// Why, for the moderators.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// Until then; for ever if nothing is said.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// For so long; not together with `until`.
    #[schema(minimum = 1, maximum = 315_360_000)]
    seconds: Option<u32>,
}

/// A ban.
#[derive(Serialize, ToSchema)]
pub(super) struct BanView {
    /// Who is banned.
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// Their unique name.
    username: String,
    /// Their name to show.
    display_name: String,
    /// By whom.
    #[schema(value_type = Uuid)]
    banned_by: UserId,
    /// Why; may be empty.
    reason: String,
    /// Until when; null: for ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A page of bans.
#[derive(Serialize, ToSchema)]
pub(super) struct BanPage {
    /// In the order of the users' ids.
    bans: Vec<BanView>,
    /// The `after` of the next page; null: there is none.
    #[schema(value_type = Option<Uuid>)]
    next: Option<UserId>,
}

/// Which bans are listed. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListBans {
    /// The `next` of the page before.
    after: Option<Uuid>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

impl From<Ban> for BanView {
    fn from(ban: Ban) -> Self {
        Self {
            user_id: ban.user_id,
            username: ban.username,
            display_name: ban.display_name,
            banned_by: ban.banned_by,
            reason: ban.reason,
            until: ban.until,
            created_at: ban.created_at,
        }
    }
}

/// Shuts a user out: a membership ends at once, and none can begin, by joining, adding or
/// invitation. Moderators ban members and strangers, owners all others.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    request_body = BanUser,
    responses((status = 201, description = "Banned", body = BanView), Failure)
)]
#[post("/rooms/{id}/bans")]
pub(super) async fn ban_user(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<BanUser>,
) -> Result<HttpResponse, ApiError> {
    let Body(BanUser {
        user_id,
        reason,
        until,
        seconds,
    }) = body;
    let reason = reason.unwrap_or_default();
    let mut checks = Checks::default();
    if !reason.is_empty() {
        checks.field("reason", check_body(&reason, REASON_MAX_BYTES));
    }
    checks.finish()?;
    let until = period::end(&state, until, seconds).await?;
    let access = visible(&state, &room.0, who).await?;
    let change = MemberChange {
        until,
        reason: reason.into(),
        ..MemberChange::new(user_id, MembershipChange::Banned)
    };
    state
        .hub
        .change_membership(access.room_id, who.user_id, change)
        .await?;
    let conn = state.store.get().await?;
    let ban = room_bans::get(&conn, access.room_id, user_id).await?;
    // It may be over, or lifted, already.
    let ban = ban.ok_or(ErrorCode::UserNotFound)?;
    Ok(HttpResponse::Created().json(BanView::from(ban)))
}

/// Who is banned now. For moderators and owners.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug"), ListBans),
    responses((status = 200, description = "A page of bans", body = BanPage), Failure)
)]
#[get("/rooms/{id}/bans")]
pub(super) async fn list_bans(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<Paged<BanPage>, ApiError> {
    let limit = query.number("limit", 1..=LIST_LIMIT_MAX)?;
    let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
    let after = query.id("after")?.map(UserId);
    let (access, own_role) = membership(&state, &room.0, who).await?;
    if own_role < Role::Moderator {
        let message = "only moderators and owners see who is banned";
        return Err(Refusal::new(ErrorCode::Forbidden, message).into());
    }
    let conn = state.store.get().await?;
    let mut found = room_bans::page(&conn, access.room_id, after, limit + 1).await?;
    let next = super::cut(&mut found, limit, |ban| ban.user_id);
    let page = BanPage {
        bans: found.into_iter().map(BanView::from).collect(),
        next,
    };
    Ok(Paged::new(page, "after", next))
}

/// Ends a ban. Doing so twice is doing so once. The user is no member by it.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("user_id" = Uuid, Path, description = "The user")
    ),
    responses((status = 204, description = "Not banned"), Failure)
)]
#[delete("/rooms/{id}/bans/{user_id}")]
pub(super) async fn unban_user(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    user: UserPath,
) -> Result<HttpResponse, ApiError> {
    let access = visible(&state, &room.0, who).await?;
    let change = MemberChange::new(user.0, MembershipChange::Unbanned);
    state
        .hub
        .change_membership(access.room_id, who.user_id, change)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
