//! Invitations: a way into a room, private ones too, for one person, once.
//!
//! An invitation is good for as long as whoever made it could make it still: when they lose the
//! role or leave, it is worth nothing. Its use is decided where memberships are, under the lock of
//! the room's head.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, delete, get, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::extract::{Body, InvitationPath, RoomPath};
use super::problem::{ApiError, Failure, FieldError};
use super::rooms::{RoomView, membership, view};
use crate::auth::Identity;
use crate::auth::token::Token;
use crate::hub::MemberChange;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::{MembershipChange, Role};
use crate::protocol::id::{InvitationId, RoomId, RoomRef, UserId};
use crate::store::invitations::{self, Invitation, NewInvitation};

/// How long an invitation is good when nothing is said, seconds: a week.
const EXPIRES_IN_DEFAULT_S: u64 = 604_800;

/// And at most: thirty days, so that forgotten ones go away.
const EXPIRES_IN_MAX_S: u64 = 2_592_000;

/// What an invitation is to be.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateInvitation {
    /// What whoever comes by it will be: `member` if absent, at most one's own role.
    role: Option<Role>,
    /// How long it is good, seconds; a week if absent.
    #[schema(minimum = 1, maximum = 2_592_000)]
    expires_in_s: Option<u64>,
}

/// A new invitation.
#[derive(Serialize, ToSchema)]
pub(super) struct InvitationCreated {
    /// Which.
    #[schema(value_type = Uuid)]
    id: InvitationId,
    /// What is to be handed on; shown this once.
    token: String,
    /// What whoever comes by it will be.
    role: Role,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// An open invitation.
#[derive(Serialize, ToSchema)]
pub(super) struct InvitationView {
    /// Which.
    #[schema(value_type = Uuid)]
    id: InvitationId,
    /// What whoever comes by it will be.
    role: Role,
    /// Who made it.
    #[schema(value_type = Uuid)]
    created_by: UserId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// A room's open invitations.
#[derive(Serialize, ToSchema)]
pub(super) struct InvitationList {
    /// The oldest first.
    invitations: Vec<InvitationView>,
}

/// What was handed on.
#[derive(Deserialize, ToSchema)]
pub(super) struct AcceptInvitation {
    /// The token.
    token: String,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            role: invitation.role,
            created_by: invitation.created_by,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

/// Makes an invitation. For moderators and owners.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    request_body = CreateInvitation,
    responses((status = 201, description = "Made", body = InvitationCreated), Failure)
)]
#[post("/rooms/{id}/invitations")]
pub(super) async fn create_invitation(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<CreateInvitation>,
) -> Result<HttpResponse, ApiError> {
    let Body(CreateInvitation { role, expires_in_s }) = body;
    let (role, expires_in_s) = (
        role.unwrap_or(Role::Member),
        expires_in_s.unwrap_or(EXPIRES_IN_DEFAULT_S),
    );
    if !(1..=EXPIRES_IN_MAX_S).contains(&expires_in_s) {
        let message = format!("must be a whole number from 1 to {EXPIRES_IN_MAX_S}");
        return Err(FieldError::new("expires_in_s", message).into());
    }
    let (room_id, own_role) = moderated(&state, &room.0, who).await?;
    if role > own_role {
        let message = "an invitation gives at most one's own role";
        return Err(Refusal::new(ErrorCode::Forbidden, message).into());
    }
    state.hub.check_control()?;
    let token = Token::generate();
    let new = NewInvitation {
        room_id,
        token_hash: &token.hash(),
        role,
        created_by: who.user_id,
        expires_in_s,
        open_max: state.config.limits.invitations_per_room,
    };
    let conn = state.store.get().await?;
    let made = invitations::insert(&conn, new).await?;
    let made = made.ok_or(ErrorCode::TooManyInvitations)?;
    Ok(HttpResponse::Created()
        .insert_header(("cache-control", "no-store"))
        .json(InvitationCreated {
            id: made.id,
            token: token.reveal(),
            role,
            expires_at: made.expires_at,
        }))
}

/// The invitations that nobody has used and that are not over. For moderators and owners.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    responses((status = 200, description = "All of them", body = InvitationList), Failure)
)]
#[get("/rooms/{id}/invitations")]
pub(super) async fn list_invitations(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
) -> Result<Json<InvitationList>, ApiError> {
    let (room_id, _) = moderated(&state, &room.0, who).await?;
    let conn = state.store.get().await?;
    // A few more than the limit can be there, and the limit may have been lowered.
    let limit = 2 * state.config.limits.invitations_per_room;
    let open = invitations::open(&conn, room_id, limit).await?;
    Ok(Json(InvitationList {
        invitations: open.into_iter().map(InvitationView::from).collect(),
    }))
}

/// Makes an invitation worthless. For moderators and owners.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("invitation_id" = Uuid, Path, description = "The invitation")
    ),
    responses((status = 204, description = "Nobody comes by it any more"), Failure)
)]
#[delete("/rooms/{id}/invitations/{invitation_id}")]
pub(super) async fn revoke_invitation(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    invitation: InvitationPath,
) -> Result<HttpResponse, ApiError> {
    let (room_id, _) = moderated(&state, &room.0, who).await?;
    state.hub.check_control()?;
    let conn = state.store.get().await?;
    if !invitations::revoke(&conn, room_id, invitation.0).await? {
        return Err(ErrorCode::InvitationNotFound.into());
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Becomes a member by an invitation. A member already stays what they are, and the invitation
/// is not used up by it.
#[utoipa::path(
    tag = "members",
    security(("bearer" = []), ("cookie" = [])),
    request_body = AcceptInvitation,
    responses((status = 200, description = "A member", body = RoomView), Failure)
)]
#[post("/invitations/accept")]
pub(super) async fn accept_invitation(
    state: Data<ApiState>,
    who: Identity,
    body: Body<AcceptInvitation>,
) -> Result<Json<RoomView>, ApiError> {
    let Body(AcceptInvitation { token }) = body;
    let token = Token::parse(&token).ok_or(ErrorCode::InvitationNotFound)?;
    let conn = state.store.get().await?;
    let found = invitations::by_token(&conn, &token.hash()).await?;
    drop(conn);
    let found = found.ok_or(ErrorCode::InvitationNotFound)?;
    let change = MemberChange {
        invitation: Some(found.id),
        ..MemberChange::new(who.user_id, MembershipChange::Joined).with_role(found.role)
    };
    state
        .hub
        .change_membership(found.room_id, who.user_id, change)
        .await?;
    Ok(Json(view(&state, &RoomRef::Id(found.room_id), who).await?))
}

/// A room that `who` moderates, and their role in it.
async fn moderated(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
) -> Result<(RoomId, Role), ApiError> {
    let (access, own_role) = membership(state, room, who).await?;
    if own_role < Role::Moderator {
        let message = "invitations are for moderators and owners to make";
        return Err(Refusal::new(ErrorCode::Forbidden, message).into());
    }
    Ok((access.room_id, own_role))
}
