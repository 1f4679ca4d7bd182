//! Which rooms have an actor on this node. Everybody reads it; the hub actor alone writes.

use std::sync::Arc;

use dashmap::DashMap;

use crate::hub::metrics::ROOMS;
use crate::hub::room::RoomHandle;
use crate::protocol::id::RoomId;

/// The rooms. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    rooms: Arc<DashMap<RoomId, RoomHandle>>,
}

impl Registry {
    /// The room's actor, if it lives.
    pub(crate) fn find(&self, room: RoomId) -> Option<RoomHandle> {
        let handle = self.rooms.get(&room)?;
        handle.is_alive().then(|| handle.clone())
    }

    /// All of them, also those that have just ended.
    pub(crate) fn all(&self) -> Vec<RoomHandle> {
        self.rooms.iter().map(|room| room.clone()).collect()
    }

    /// For the hub actor: a room has an actor.
    pub(super) fn insert(&self, handle: RoomHandle) {
        self.rooms.insert(handle.id(), handle);
        self.count();
    }

    /// For the hub actor: that actor has no business any more.
    pub(super) fn remove(&self, room: RoomId, is_it: impl Fn(&RoomHandle) -> bool) -> bool {
        let removed = self.rooms.remove_if(&room, |_, it| is_it(it)).is_some();
        self.count();
        removed
    }

    fn count(&self) {
        ROOMS.set(i64::try_from(self.rooms.len()).unwrap_or(i64::MAX));
    }
}
