//! Users.

mod profile;
mod search;

pub(super) use profile::change_profile;
pub(super) use search::search_users;

use actix_web::get;
use actix_web::web::{Data, Json, Path};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ApiState;
use super::problem::{ApiError, Failure};
use crate::auth::registration::check_username;
use crate::auth::{AuthError, Identity};
use crate::protocol::error::ErrorCode;
use crate::protocol::id::UserId;
use crate::store::users::{self, User};

/// A user as others see them.
#[derive(Serialize, ToSchema)]
pub(super) struct PublicUser {
    /// The id.
    #[schema(value_type = Uuid)]
    id: UserId,
    /// The unique name.
    username: String,
    /// The name to show.
    display_name: String,
    /// What they say of themselves; may be empty.
    bio: String,
    /// Where their picture is; null: there is none.
    avatar_url: Option<String>,
    /// When they registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A user as they see themselves.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnUser {
    /// The id.
    #[schema(value_type = Uuid)]
    id: UserId,
    /// The unique name.
    username: String,
    /// For nobody else to see.
    email: String,
    /// The name that others see.
    display_name: String,
    /// What one says of oneself; may be empty.
    bio: String,
    /// Where one's picture is; null: there is none.
    avatar_url: Option<String>,
    /// When they registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<User> for PublicUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            display_name: user.display_name,
            bio: user.bio,
            avatar_url: user.avatar_url,
            created_at: user.created_at,
        }
    }
}

impl From<User> for OwnUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
            display_name: user.display_name,
            bio: user.bio,
            avatar_url: user.avatar_url,
            created_at: user.created_at,
        }
    }
}

/// Oneself.
#[utoipa::path(
    tag = "users",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "Oneself", body = OwnUser), Failure)
)]
#[get("/users/me")]
pub(super) async fn me(state: Data<ApiState>, who: Identity) -> Result<Json<OwnUser>, ApiError> {
    let conn = state.store.get().await?;
    // A session outlives its user by a moment at most.
    let user = users::by_id(&conn, who.user_id).await?;
    let user = user.ok_or(ApiError::Auth(AuthError::UnknownCredentials))?;
    Ok(Json(user.into()))
}

/// A user, by id or by username.
#[utoipa::path(
    tag = "users",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The id or the username")),
    responses((status = 200, description = "The user", body = PublicUser), Failure)
)]
#[get("/users/{id}")]
pub(super) async fn get_user(
    state: Data<ApiState>,
    _who: Identity,
    id: Path<String>,
) -> Result<Json<PublicUser>, ApiError> {
    let id = id.into_inner();
    let conn = state.store.get().await?;
    let user = match Uuid::try_parse(&id) {
        Ok(id) => users::by_id(&conn, UserId(id)).await?,
        Err(_) if check_username(&id).is_ok() => users::by_username(&conn, &id).await?,
        Err(_) => None,
    };
    Ok(Json(user.ok_or(ErrorCode::UserNotFound)?.into()))
}
