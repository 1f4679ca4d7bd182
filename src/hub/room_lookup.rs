//! Which room is meant, and the way to its actor.

use super::room::RoomHandle;
use super::{HubHandle, refuse};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, RoomRef};
use crate::store;

impl HubHandle {
    /// The room's actor, started if need be.
    pub(super) async fn room(&self, room: RoomId) -> Result<RoomHandle, Refusal> {
        if let Some(handle) = self.shared.registry.find(room) {
            return Ok(handle);
        }
        let ensured = self.shared.supervisor.ensure_room(room).await;
        ensured.ok_or_else(|| {
            let why = "the room fails again and again; it is left alone for a while";
            Refusal::new(ErrorCode::Unavailable, why)
        })
    }

    /// The room's id, if it can be told without asking the database.
    pub(super) fn known_room(&self, room: &RoomRef) -> Option<RoomId> {
        match room {
            RoomRef::Id(id) => Some(*id),
            RoomRef::Slug(slug) => self.shared.slugs.get(slug),
        }
    }

    /// The room's id. That it exists does not mean that the user may know of it: what is done
    /// with it decides.
    pub(super) async fn resolve(&self, room: &RoomRef) -> Result<RoomId, Refusal> {
        if let Some(id) = self.known_room(room) {
            return Ok(id);
        }
        let conn = self
            .shared
            .store
            .get()
            .await
            .map_err(|error| refuse(&error))?;
        let found = store::rooms::resolve(&conn, room)
            .await
            .map_err(|error| refuse(&error))?;
        let id = found.ok_or_else(room_not_found)?;
        if let RoomRef::Slug(slug) = room {
            self.shared.slugs.insert(slug.clone(), id);
        }
        Ok(id)
    }
}

pub(super) fn room_not_found() -> Refusal {
    Refusal::new(ErrorCode::RoomNotFound, "no such room")
}
