//! Messages of a room: reading pages of them, and publishing for backends.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Body, Checks, MessagePath, Query, RoomPath};
use super::idempotency::{key_of, publish_key};
use super::problem::{ApiError, Failure, FieldError};
use super::rooms::membership;
use super::{ApiState, conditional, permits};
use crate::auth::Identity;
use crate::cache::key::MessagesKey;
use crate::hub::NewMessage;
use crate::protocol::body::{Body as Said, BodyError, Encoding};
use crate::protocol::command::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, PageAnchor, PageRequest};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::event::Seq;
use crate::protocol::id::{EventId, RoomId, RoomRef, UserId};
use crate::protocol::reply::{MessagePage, MessageView, Published};
use crate::protocol::text::{CLIENT_ID_MAX_BYTES, MENTIONS_MAX, TextError, check_line};
use crate::store::{messages, rooms};

/// The largest position that Postgres can hold.
pub(super) const SEQ_MAX: Seq = i64::MAX as Seq;

/// A message to publish.
#[derive(Deserialize, ToSchema)]
pub(super) struct PostMessage {
    /// What to say; at most 64 KiB, as configured.
    #[schema(min_length = 1)]
    body: String,
    /// `base64` if bytes are to be said: `body` is their base64 then, and the limit is theirs.
    /// Left out for text.
    encoding: Option<Encoding>,
    /// The sender's own key of it: a second request with the same key and body is answered as
    /// the first. Without one, a request that is repeated is published twice.
    #[schema(min_length = 1, max_length = 128)]
    client_id: Option<String>,
    /// The message that it replies to, itself no reply.
    thread: Option<Uuid>,
    /// Who is named in it; at most 50 different users.
    #[serde(default)]
    #[schema(max_items = 50)]
    mentions: Vec<Uuid>,
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
    /// Only the replies to this message.
    thread: Option<Uuid>,
}

/// A page of messages, ascending; the newest ones if neither `before` nor `after` is given.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The room's id or slug"), ListMessages, conditional::Asked),
    responses((status = 200, description = "A page of messages", body = MessagePage),
        (status = 304, description = "The client has it already"), Failure)
)]
#[get("/rooms/{id}/messages")]
pub(super) async fn list_messages(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let request = page_request(&query)?;
    let least = conditional::least(&req)?;
    let (access, permitted) = permits::member(&state, &room.0, who, &least).await?;
    let onward = match request.anchor {
        PageAnchor::After(_) => "after",
        PageAnchor::Newest | PageAnchor::Before(_) => "before",
    };
    let key = MessagesKey {
        room: access.room_id,
        floor: access.history_floor,
        place: request.anchor.into(),
        limit: request.limit,
        thread: request.thread,
    };
    let page = state.cache.messages(&state.store, key, &least).await?;
    let page = page.ok_or(ErrorCode::RoomNotFound)?;
    conditional::of_page(&req, &state, permitted, &page, onward)
}

/// One message
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id")
    ),
    responses((status = 200, description = "The message", body = MessageView), Failure)
)]
#[get("/rooms/{id}/messages/{message_id}")]
pub(super) async fn get_message(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
) -> Result<Json<MessageView>, ApiError> {
    let (access, _) = membership(&state, &room.0, who).await?;
    let floor = access.history_floor;
    let found = messages::get(&state.store, access.room_id, floor, message.0).await?;
    Ok(Json(found.ok_or(ErrorCode::MessageNotFound)?))
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
        thread: query.id("thread")?.map(EventId),
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
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    body: Body<PostMessage>,
) -> Result<HttpResponse, ApiError> {
    let Body(PostMessage {
        body,
        encoding,
        client_id,
        thread,
        mentions,
    }) = body;
    let mut checks = Checks::default();
    let max_bytes = state.config.limits.message_bytes;
    let body = read_body(&mut checks, &body, encoding, max_bytes)?;
    if let Some(client_id) = &client_id {
        checks.field("client_id", check_line(client_id, CLIENT_ID_MAX_BYTES));
    }
    checks.finish()?;
    let key = if client_id.is_none() {
        key_of(req.headers())?
    } else {
        None
    };
    let client_id = client_id.or_else(|| key.as_deref().map(publish_key));
    let mentions = mentioned(mentions)?;
    let (room, stranger) = writable(&state, &room.0, who, client_id.as_deref()).await?;
    let message = NewMessage {
        body,
        client_id: client_id.unwrap_or_else(|| Uuid::now_v7().to_string()),
        thread: thread.map(EventId),
        mentions,
    };
    let published = state.hub.publish(room, who.user_id, message).await;
    let published = published.map_err(|refusal| match refusal.code {
        ErrorCode::ClientIdReused if key.is_some() => ErrorCode::IdempotencyKeyReused.into(),
        _ => refused(refusal, stranger),
    })?;
    Ok(HttpResponse::Created().json(published))
}

/// Reads what is said. Too much of it has a code of its own; what else is wrong is noted in
/// `checks`.
pub(super) fn read_body(
    checks: &mut Checks,
    text: &str,
    encoding: Option<Encoding>,
    max_bytes: usize,
) -> Result<Said, ApiError> {
    match Said::read(text, encoding, max_bytes) {
        Ok(said) => return Ok(said),
        Err(BodyError::Text(error @ TextError::TooLong { .. })) => {
            return Err(Refusal::new(ErrorCode::TooLarge, format!("body: {error}")).into());
        }
        Err(BodyError::Text(error)) => checks.field("body", Err(error)),
        Err(error @ BodyError::Base64) => checks.wrong("body", error.to_string()),
    }
    Ok(Said::default())
}

/// Those who are named, each once.
fn mentioned(given: Vec<Uuid>) -> Result<Vec<UserId>, ApiError> {
    let mut users = Vec::new();
    for user in given.into_iter().map(UserId) {
        if !users.contains(&user) {
            users.push(user);
        }
        if users.len() > MENTIONS_MAX {
            let message = format!("must name at most {MENTIONS_MAX} users");
            return Err(FieldError::new("mentions", message).into());
        }
    }
    Ok(users)
}

/// The room, if the user may write to it as far as can be told before the journal decides, and
/// what those are told who may not.
pub(super) async fn writable(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
    client_id: Option<&str>,
) -> Result<(RoomId, ErrorCode), ApiError> {
    let access = rooms::access(&state.store, room, who.user_id).await?;
    let access = access.ok_or(ErrorCode::RoomNotFound)?;
    let stranger = if access.is_private {
        ErrorCode::RoomNotFound
    } else {
        ErrorCode::NotAMember
    };
    // Who was removed since may still ask what became of a request with this key: the journal
    // answers a repetition before it looks at the membership.
    if access.role.is_none() && client_id.is_none() {
        return Err(stranger.into());
    }
    Ok((access.room_id, stranger))
}

/// The journal's refusal as it is told over REST.
pub(super) fn refused(refusal: Refusal, stranger: ErrorCode) -> ApiError {
    match refusal.code {
        ErrorCode::NotAMember => stranger.into(),
        // In the words that a room that does not exist is refused with, or they would tell.
        ErrorCode::RoomNotFound => ErrorCode::RoomNotFound.into(),
        _ => refusal.into(),
    }
}
