//! Who may say nothing in a room, as far as a thread knows: it asks nobody for each `typing`.

use jiff::Timestamp;

use super::Table;
use crate::protocol::id::{RoomId, UserId};

impl Table {
    /// The user may say nothing in the room until then, as far as this thread is concerned.
    pub(crate) fn mute(&mut self, room_id: RoomId, user_id: UserId, until: Timestamp) {
        if let Some(room) = self.local_mut(room_id) {
            let now = Timestamp::now();
            room.muted.retain(|_, until| *until > now);
            room.muted.insert(user_id, until);
        }
    }

    /// The user may speak in the room.
    pub(crate) fn unmute(&mut self, room_id: RoomId, user_id: UserId) {
        if let Some(room) = self.local_mut(room_id) {
            room.muted.remove(&user_id);
        }
    }

    /// Whether the user may say nothing in a room that a connection of this thread is in.
    pub(crate) fn is_muted(&self, room_id: RoomId, user_id: UserId) -> bool {
        let room = self.local(room_id);
        room.and_then(|room| room.muted.get(&user_id))
            .is_some_and(|until| *until > Timestamp::now())
    }
}
