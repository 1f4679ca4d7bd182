//! Users.

mod profile;
mod search;

pub(super) use profile::change_profile;
pub(super) use search::search_users;

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::{ApiError, Failure};
use super::{ApiState, conditional};
use crate::auth::registration::check_username;
use crate::auth::{AuthError, Identity};
use crate::cache::copy::{Loaded, Object, Rendered};
use crate::cache::key::Key;
use crate::cache::reads::{entity_tag, to_body};
use crate::cache::version::Version;
use crate::cache::{CacheError, How};
use crate::protocol::error::ErrorCode;
use crate::protocol::id::UserId;
use crate::store::Store;
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
    params(("id" = String, Path, description = "The id or the username"), conditional::Asked),
    responses((status = 200, description = "The user", body = PublicUser),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/users/{id}")]
pub(super) async fn get_user(
    req: HttpRequest,
    state: Data<ApiState>,
    _who: Identity,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = id.into_inner();
    // Checked as everywhere, although nothing of a user is an event.
    let least = conditional::least(&req)?;
    let id = match Uuid::try_parse(&id) {
        Ok(id) => UserId(id),
        Err(_) if check_username(&id).is_ok() => {
            let conn = state.store.get().await?;
            let user = users::by_username(&conn, &id).await?;
            user.ok_or(ErrorCode::UserNotFound)?.id
        }
        Err(_) => return Err(ErrorCode::UserNotFound.into()),
    };
    let load = || load_user(state.store.clone(), id);
    let user = state.cache.get(Key::User(id), &least, load).await?;
    let user = user.ok_or(ErrorCode::UserNotFound)?;
    conditional::of_copy(&req, &state, How::Hit, &user)
}

/// Reads a user, for all who may see them.
async fn load_user(store: Store, id: UserId) -> Result<Option<Loaded>, CacheError> {
    let conn = store.get().await?;
    let Some((user, version)) = users::with_version(&conn, id).await? else {
        return Ok(None);
    };
    let version = Version::of_row(version);
    let etag = entity_tag(version.epoch, version.seq);
    let body = to_body(&PublicUser::from(user))?;
    let rendered = Rendered::new(etag, body, None);
    Ok(Some(Loaded::new(version, Object::Body(rendered))))
}
