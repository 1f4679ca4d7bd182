//! Several rooms in one request, for what clients would loop over.

use std::collections::HashMap;

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Body;
use super::problem::{ApiError, Failure, FieldError};
use super::rooms::{RoomView, listed};
use super::{ApiState, conditional};
use crate::auth::Identity;
use crate::protocol::id::{RoomId, RoomRef};
use crate::store::own_rooms;

/// Rooms in one request at most, as in one page of the list.
pub(super) const ROOMS_MAX: usize = 100;

/// Which rooms are wanted.
#[derive(Deserialize, ToSchema)]
pub(super) struct WantedRooms {
    /// Their ids or slugs; at most 100.
    #[schema(max_items = 100)]
    rooms: Vec<String>,
}

/// The rooms that are there.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundRooms {
    /// In the order of the request, each once.
    rooms: Vec<RoomView>,
    /// What was asked for and is not there, or nothing that one may know of.
    missing: Vec<String>,
}

/// Reads several rooms, by ids or slugs. It changes nothing, and counts as one read.
#[utoipa::path(
    tag = "rooms",
    security(("bearer" = []), ("cookie" = [])),
    params(conditional::Seen),
    request_body = WantedRooms,
    responses((status = 200, description = "Those that are there", body = FoundRooms), Failure)
)]
#[post("/rooms/batch")]
pub(super) async fn read_rooms(
    req: HttpRequest,
    state: Data<ApiState>,
    who: Identity,
    body: Body<WantedRooms>,
) -> Result<Json<FoundRooms>, ApiError> {
    let Body(WantedRooms { rooms: wanted }) = body;
    if wanted.len() > ROOMS_MAX {
        let message = format!("must be at most {ROOMS_MAX}, are {}", wanted.len());
        return Err(FieldError::new("rooms", message).into());
    }
    // A name that no room can have names none.
    let named: Vec<Option<RoomRef>> = wanted.iter().map(|name| name.parse().ok()).collect();
    let asked: Vec<RoomRef> = named.iter().flatten().cloned().collect();
    let least = conditional::least(&req)?;
    let conn = state.store.get().await?;
    let found = own_rooms::many(&conn, &asked, who.user_id).await?;
    drop(conn);
    let (slugs, own): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let by_slug: HashMap<String, RoomId> = slugs
        .into_iter()
        .zip(own.iter().map(|room| room.id))
        .collect();
    let found = listed::views(&state, &own, &least).await?;
    let mut by_id: HashMap<RoomId, Option<RoomView>> = found
        .rooms
        .into_iter()
        .map(|room| (room.id(), Some(room)))
        .collect();
    let mut answer = FoundRooms {
        rooms: Vec::with_capacity(by_id.len()),
        missing: Vec::new(),
    };
    for (name, room) in wanted.into_iter().zip(named) {
        let id = match room {
            Some(RoomRef::Id(id)) => Some(id),
            Some(RoomRef::Slug(slug)) => by_slug.get(slug.as_str()).copied(),
            None => None,
        };
        match id.and_then(|id| by_id.get_mut(&id)) {
            // Taken already if it was named twice.
            Some(room) => answer.rooms.extend(room.take()),
            None => answer.missing.push(name),
        }
    }
    Ok(Json(answer))
}
