//! What is done to messages: editing, deleting, reacting. Who may do it, the journal decides.

use actix_web::web::{Data, Json};
use actix_web::{delete, patch, put};
use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiState;
use super::extract::{Body, Checks, EmojiPath, MessagePath, RoomPath};
use super::messages::{read_body, refused, writable};
use super::problem::{ApiError, Failure};
use crate::auth::Identity;
use crate::protocol::body::Encoding;
use crate::protocol::command::MessageChange;
use crate::protocol::reply::Changed;
use crate::protocol::text::{CLIENT_ID_MAX_BYTES, check_line};

/// What a message is to say from now on.
#[derive(Deserialize, ToSchema)]
pub(super) struct EditMessage {
    /// What it says; at most 64 KiB, as configured.
    #[schema(min_length = 1)]
    body: String,
    /// `base64` if it says bytes: `body` is their base64 then. Left out for text.
    encoding: Option<Encoding>,
    /// The sender's own key of this edit: a second request with the same key and body is answered
    /// as the first, whatever the message says by then.
    #[schema(min_length = 1, max_length = 128)]
    client_id: Option<String>,
}

/// Has the journal change a message.
pub(super) async fn change(
    state: &ApiState,
    who: Identity,
    room: &RoomPath,
    message: &MessagePath,
    change: MessageChange,
    client_id: Option<String>,
) -> Result<Json<Changed>, ApiError> {
    let (room, stranger) = writable(state, &room.0, who, client_id.as_deref()).await?;
    let changed = state
        .hub
        .change_message(room, who.user_id, message.0, change, client_id)
        .await;
    Ok(Json(changed.map_err(|it| refused(it, stranger))?))
}

/// Says something else. For the message's author; if it says that already, nothing changes, and the
/// answer is empty.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id")
    ),
    request_body = EditMessage,
    responses((status = 200, description = "It is so now", body = Changed), Failure)
)]
#[patch("/rooms/{id}/messages/{message_id}")]
pub(super) async fn edit_message(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
    body: Body<EditMessage>,
) -> Result<Json<Changed>, ApiError> {
    let Body(EditMessage {
        body,
        encoding,
        client_id,
    }) = body;
    let mut checks = Checks::default();
    let max_bytes = state.config.limits.message_bytes;
    let body = read_body(&mut checks, &body, encoding, max_bytes)?;
    if let Some(client_id) = &client_id {
        checks.field("client_id", check_line(client_id, CLIENT_ID_MAX_BYTES));
    }
    checks.finish()?;
    let edit = MessageChange::Edit { body };
    change(&state, who, &room, &message, edit, client_id).await
}

/// Deletes a message: its text goes, its place stays. For its author, moderators and owners.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id")
    ),
    responses((status = 200, description = "It is so now", body = Changed), Failure)
)]
#[delete("/rooms/{id}/messages/{message_id}")]
pub(super) async fn delete_message(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
) -> Result<Json<Changed>, ApiError> {
    change(&state, who, &room, &message, MessageChange::Delete, None).await
}

/// Reacts to a message.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id"),
        ("emoji" = String, Path, description = "What one reacts with, percent-encoded; at most 64 bytes")
    ),
    responses((status = 200, description = "It is so now", body = Changed), Failure)
)]
#[put("/rooms/{id}/messages/{message_id}/reactions/{emoji}")]
pub(super) async fn add_reaction(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
    emoji: EmojiPath,
) -> Result<Json<Changed>, ApiError> {
    let react = MessageChange::React {
        emoji: emoji.0.into(),
        remove: false,
    };
    change(&state, who, &room, &message, react, None).await
}

/// Takes a reaction of one's own back.
#[utoipa::path(
    tag = "messages",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = String, Path, description = "The room's id or slug"),
        ("message_id" = Uuid, Path, description = "The message's id"),
        ("emoji" = String, Path, description = "What one reacts with, percent-encoded; at most 64 bytes")
    ),
    responses((status = 200, description = "It is so now", body = Changed), Failure)
)]
#[delete("/rooms/{id}/messages/{message_id}/reactions/{emoji}")]
pub(super) async fn remove_reaction(
    state: Data<ApiState>,
    who: Identity,
    room: RoomPath,
    message: MessagePath,
    emoji: EmojiPath,
) -> Result<Json<Changed>, ApiError> {
    let react = MessageChange::React {
        emoji: emoji.0.into(),
        remove: true,
    };
    change(&state, who, &room, &message, react, None).await
}
