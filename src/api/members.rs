//! Members of a room. Changes are events of the room, so the hub makes them; it checks the
//! permission again in the transaction.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Body, Query, RoomPath, UserPath};
use super::problem::{ApiError, Failure};
use super::rooms::{RoomView, membership, view, visible};
use super::{ApiState, conditional, permits};
use crate::auth::Identity;
use crate::cache::CacheError;
use crate::cache::copy::{Loaded, Object, Rendered};
use crate::cache::key::Key;
use crate::cache::reads::{digest, entity_tag, to_body};
use crate::cache::version::Version;
use crate::hub::MemberChange;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{MembershipChange, Role};
use crate::protocol::id::{RoomId, RoomRef, UserId};
use crate::store::room_members::{self, Member};
use crate::store::{Store, users};

/// A page of members is this long when nothing is said.
const LIST_LIMIT_DEFAULT: u32 = 100;

/// A page of members is at most this long.
const LIST_LIMIT_MAX: u32 = 500;

/// Whom to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddMember {
    /// The user.
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// What they may do: `member` if absent.
    role: Option<Role>,
}

/// A member of a room.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberView {
    /// The user.
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// The unique name.
    username: String,
    /// The name to show.
    display_name: String,
    /// What they may do.
    role: Role,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    joined_at: Timestamp,
    /// Whether they may say nothing.
    muted: bool,
    /// Until when; null: for ever, if they are muted at all.
    #[schema(value_type = Option<String>, format = DateTime)]
    muted_until: Option<Timestamp>,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberPage {
    /// In the order of their ids.
    members: Vec<MemberView>,
    /// The `after` of the next page; null: there is none.
    #[schema(value_type = Option<Uuid>)]
    next: Option<UserId>,
}

/// Which members are listed. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListMembers {
    /// The `next` of the page before.
    after: Option<Uuid>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user_id,
            username: member.username,
            display_name: member.display_name,
            role: member.role,
            joined_at: member.joined_at,
            muted: member.is_muted,
            muted_until: member.muted_until,
        }
    }
}

/// What a member is to be.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeRole {
    /// The role.
    role: Role,
}

/// Becomes a member of a public room. Joining twice is joining once. Who joins a room that nobody
/// owns becomes its owner.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    responses((status = 200, description = "A member", body = RoomView), Failure)
)]
#[post("/rooms/{id}/join")]
pub(super) async fn join_room(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
) -> Result<Json<RoomView>, ApiError> {
    let access = visible(&state, &room.0, who).await?;
    if access.role.is_none() {
        let user = who.user_id;
        let change = MemberChange::new(user, MembershipChange::Joined).with_role(Role::Member);
        state
            .hub
            .change_membership(access.room_id, user, change)
            .await?;
    }
    let room = RoomRef::Id(access.room_id);
    Ok(Json(view(&state, &room, who).await?))
}

/// Ends one's own membership.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    responses((status = 204, description = "No longer a member"), Failure)
)]
#[post("/rooms/{id}/leave")]
pub(super) async fn leave_room(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
) -> Result<HttpResponse, ApiError> {
    leave(&state, who, &room.0).await
}

async fn leave(state: &ApiState, who: Identity, room: &RoomRef) -> Result<HttpResponse, ApiError> {
    let (access, _) = membership(state, room, who).await?;
    let user = who.user_id;
    state
        .hub
        .change_membership(
            access.room_id,
            user,
            MemberChange::new(user, MembershipChange::Left),
        )
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The members, for members.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug"), ListMembers, conditional::Asked),
    responses((status = 200, description = "A page of members", body = MemberPage),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/rooms/{id}/members")]
pub(super) async fn list_members(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let limit = query.number("limit", 1..=LIST_LIMIT_MAX)?;
    let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
    let after = query.id("after")?.map(UserId);
    let least = conditional::least(&req)?;
    let (access, permitted) = permits::member(&state, &room.0, who, &least).await?;
    let room = access.room_id;
    let load = || load_page(state.store.clone(), room, after, limit);
    let key = Key::Members(room, after, limit);
    let page = state.cache.get(key, &least, load).await?;
    let page = page.ok_or(ErrorCode::RoomNotFound)?;
    conditional::of_page(&req, &state, permitted, &page, "after")
}

/// Reads a page of members, for all who may see it.
async fn load_page(
    store: Store,
    room: RoomId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Option<Loaded>, CacheError> {
    let Some(read) = room_members::page_with_head(&store, room, after, limit + 1).await? else {
        return Ok(None);
    };
    let mut found = read.members;
    let next = super::cut(&mut found, limit, |member| member.user_id);
    let page = MemberPage {
        members: found.into_iter().map(MemberView::from).collect(),
        next,
    };
    let body = to_body(&page)?;
    // Names on it come from elsewhere: what it says is its only version.
    let etag = entity_tag(read.epoch, digest(&body));
    let next = next.map(|next| next.to_string().into());
    let rendered = Rendered::new(etag, body, next);
    let version = Version::new(read.epoch, read.last_seq);
    let mut loaded = Loaded::new(version, Object::Body(rendered));
    loaded.good_for = read.good_for;
    Ok(Some(loaded))
}

/// Adds a member, or gives one another role. Moderators add members; owners do all.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    request_body = AddMember,
    responses(
        (status = 201, description = "Added", body = MemberView),
        (status = 200, description = "Was a member already", body = MemberView),
        Failure
    )
)]
#[post("/rooms/{id}/members")]
pub(super) async fn add_member(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<AddMember>,
) -> Result<HttpResponse, ApiError> {
    let Body(AddMember { user_id, role }) = body;
    let (access, own_role) = membership(&state, &room.0, who).await?;
    let room_id = access.room_id;
    if own_role < Role::Moderator {
        return Err(forbidden("only moderators and owners add members"));
    }
    let conn = state.store.get().await?;
    let before = room_members::get(&conn, room_id, user_id).await?;
    let (change, wanted) = match before {
        Some(member) if role.is_none_or(|role| role == member.role) => {
            return Ok(HttpResponse::Ok().json(MemberView::from(member)));
        }
        Some(_) => (MembershipChange::Role, role.unwrap_or(Role::Member)),
        None => (MembershipChange::Added, role.unwrap_or(Role::Member)),
    };
    if own_role < Role::Owner && (wanted > Role::Member || change == MembershipChange::Role) {
        return Err(forbidden("only owners give roles"));
    }
    if change == MembershipChange::Added && users::by_id(&conn, user_id).await?.is_none() {
        return Err(ErrorCode::UserNotFound.into());
    }
    drop(conn);
    let seq = state
        .hub
        .change_membership(
            room_id,
            who.user_id,
            MemberChange::new(user_id, change).with_role(wanted),
        )
        .await?;
    let Json(member) = member_view(&state, room_id, user_id).await?;
    let added = seq.is_some() && change == MembershipChange::Added;
    Ok(if added {
        HttpResponse::Created().json(member)
    } else {
        HttpResponse::Ok().json(member)
    })
}

/// Removes a member; oneself too. Moderators remove members; owners remove all.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("user_id" = Uuid, Path, description = "The member")
    ),
    responses((status = 204, description = "No longer a member"), Failure)
)]
#[delete("/rooms/{id}/members/{user_id}")]
pub(super) async fn remove_member(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    user: UserPath,
) -> Result<HttpResponse, ApiError> {
    if user.0 == who.user_id {
        return leave(&state, who, &room.0).await;
    }
    let (access, own_role) = membership(&state, &room.0, who).await?;
    if own_role < Role::Moderator {
        return Err(forbidden("only moderators and owners remove members"));
    }
    let conn = state.store.get().await?;
    let member = room_members::get(&conn, access.room_id, user.0).await?;
    drop(conn);
    // Removing twice is removing once: a repeated request must not fail.
    let Some(member) = member else {
        return Ok(HttpResponse::NoContent().finish());
    };
    if own_role < Role::Owner && member.role > Role::Member {
        return Err(forbidden("only owners remove moderators and owners"));
    }
    let change = MemberChange::new(user.0, MembershipChange::Removed);
    state
        .hub
        .change_membership(access.room_id, who.user_id, change)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives a member another role. For owners.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("user_id" = Uuid, Path, description = "The member")
    ),
    request_body = ChangeRole,
    responses((status = 200, description = "The member as it is now", body = MemberView), Failure)
)]
#[patch("/rooms/{id}/members/{user_id}")]
pub(super) async fn change_role(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    user: UserPath,
    body: Body<ChangeRole>,
) -> Result<Json<MemberView>, ApiError> {
    let Body(ChangeRole { role }) = body;
    let access = visible(&state, &room.0, who).await?;
    let change = MemberChange::new(user.0, MembershipChange::Role).with_role(role);
    state
        .hub
        .change_membership(access.room_id, who.user_id, change)
        .await?;
    member_view(&state, access.room_id, user.0).await
}

/// A member as it is now.
pub(super) async fn member_view(
    state: &ApiState,
    room: RoomId,
    user: UserId,
) -> Result<Json<MemberView>, ApiError> {
    let conn = state.store.get().await?;
    let member = room_members::get(&conn, room, user).await?;
    let member = member.ok_or(ErrorCode::UserNotFound)?;
    Ok(Json(MemberView::from(member)))
}

fn forbidden(message: &'static str) -> ApiError {
    Refusal::new(ErrorCode::Forbidden, message).into()
}
