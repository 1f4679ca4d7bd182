//! Messages of a room: reading pages of them, and publishing for backends.

use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ApiState;
use super::extract::{Body, Checks, Query, RoomPath};
use super::problem::{ApiError, Failure, FieldError};
use super::rooms::membership;
use crate::auth::Identity;
use crate::protocol::command::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, PageAnchor, PageRequest};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::Seq;
use crate::protocol::reply::{MessagePage, Published};
use crate::protocol::text::{CLIENT_ID_MAX_BYTES, TextError, check_body, check_line};
use crate::store::{messages, rooms};

/// The largest position that Postgres can hold.
const SEQ_MAX: Seq = i64::MAX as Seq;

/// A message to publish.
#[derive(Deserialize, ToSchema)]
pub(super) struct PostMessage {
    /// What to say; at most 64 KiB, as configured.
    #[schema(min_length = 1)]
    body: String,
    /// The sender's own key of it: a second request with the same key and body is answered as
    /// the first. Without one, a request that is repeated is published twice.
    #[schema(min_length = 1, max_length = 128)]
    client_id: Option<String>,
}

/// Which page is read. Only for the description: [`Query`] reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
struct ListMessages {
    /// The newest messages before this `seq`.
    before: Option<Seq>,
    /// The oldest messages after this `seq`.
    after: Option<Seq>,
    /// At most this many. A page may be shorter than `limit`; go on while `next` is there.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// A page of messages, ascending; the newest ones if neither `before` nor `after` is given.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug"), ListMessages),
    responses((status = 200, description = "A page of messages", body = MessagePage), Failure)
)]
#[get("/rooms/{id}/messages")]
pub(super) async fn list_messages(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<Json<MessagePage>, ApiError> {
    let request = page_request(&query)?;
    let (access, _) = membership(&state, &room.0, who).await?;
    let page = messages::page(&state.store, access.room_id, request).await?;
    Ok(Json(page.ok_or(ErrorCode::RoomNotFound)?))
}

fn page_request(query: &Query) -> Result<PageRequest, ApiError> {
    let before = query.number("before", 0..=SEQ_MAX)?;
    let after = query.number("after", 0..=SEQ_MAX)?;
    let limit = query.number("limit", 1..=HISTORY_LIMIT_MAX)?;
    let anchor = match (before, after) {
        (None, None) => PageAnchor::Newest,
        (Some(before), None) => PageAnchor::Before(before),
        (None, Some(after)) => PageAnchor::After(after),
        (Some(_), Some(_)) => {
            return Err(FieldError::new("after", "must not be given with `before`").into());
        }
    };
    Ok(PageRequest {
        anchor,
        limit: limit.unwrap_or(HISTORY_LIMIT_DEFAULT),
    })
}

/// Publishes a message. It is stored when this answers.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug")),
    request_body = PostMessage,
    responses((status = 201, description = "Published", body = Published), Failure)
)]
#[post("/rooms/{id}/messages")]
pub(super) async fn post_message(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<PostMessage>,
) -> Result<HttpResponse, ApiError> {
    let Body(PostMessage { body, client_id }) = body;
    let max_bytes = state.config.limits.message_bytes;
    let fits = check_body(&body, max_bytes);
    if let Err(error @ TextError::TooLong { .. }) = fits {
        return Err(Refusal::new(ErrorCode::TooLarge, format!("body: {error}")).into());
    }
    let mut checks = Checks::default();
    checks.field("body", fits);
    if let Some(client_id) = &client_id {
        checks.field("client_id", check_line(client_id, CLIENT_ID_MAX_BYTES));
    }
    checks.finish()?;
    let access = rooms::access(&state.store, &room.0, who.user_id).await?;
    let access = access.ok_or(ErrorCode::RoomNotFound)?;
    let stranger = if access.is_private {
        ErrorCode::RoomNotFound
    } else {
        ErrorCode::NotAMember
    };
    // Who was removed since may still ask what became of a message with this key: the journal
    // answers a repetition before it looks at the membership.
    if access.role.is_none() && client_id.is_none() {
        return Err(stranger.into());
    }
    let client_id = client_id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let published = state
        .hub
        .publish(access.room_id, who.user_id, body, client_id)
        .await
        .map_err(|refusal| match refusal.code {
            ErrorCode::NotAMember => stranger.into(),
            _ => ApiError::from(refusal),
        })?;
    Ok(HttpResponse::Created().json(published))
}
