//! Who may read what of a room, by copies: what is asked before each answer that others may share.
//!
//! A copy of a membership is dropped by the events that change it, before anybody on this node is told of
//! them, and elsewhere as they are heard of. What a client says it has seen holds for this, too: with the
//! cursor of a kick nobody gets in by an older copy.

use super::ApiState;
use super::problem::ApiError;
use crate::auth::Identity;
use crate::cache::How;
use crate::cache::least::Least;
use crate::protocol::error::ErrorCode;
use crate::protocol::id::RoomRef;
use crate::store::rooms::RoomAccess;

/// What somebody is in a room that they may know of, and how that is known.
pub(super) async fn visible(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
    least: &Least,
) -> Result<(RoomAccess, How), ApiError> {
    let cache = &state.cache;
    let room = cache.resolve(&state.store, room).await?;
    let room = room.ok_or(ErrorCode::RoomNotFound)?;
    let found = cache.access(&state.store, room, who.user_id, least).await?;
    match found {
        Some((access, how)) if !access.is_private || access.role.is_some() => Ok((access, how)),
        _ => Err(ErrorCode::RoomNotFound.into()),
    }
}

/// The same of a room that they are a member of.
pub(super) async fn member(
    state: &ApiState,
    room: &RoomRef,
    who: Identity,
    least: &Least,
) -> Result<(RoomAccess, How), ApiError> {
    let (access, how) = visible(state, room, who, least).await?;
    if access.role.is_none() {
        return Err(ErrorCode::NotAMember.into());
    }
    Ok((access, how))
}
