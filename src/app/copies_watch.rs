//! What the hub tells the cache.

use crate::cache::Cache;
use crate::hub::changes::{ChangeWatch, Loss};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::touched::Touched;
use crate::store::room_events::Head;

/// The node's copies, as the hub sees them.
#[derive(Debug)]
pub(super) struct Copies(pub(super) Cache);

impl ChangeWatch for Copies {
    fn committed(&self, rooms: &[Touched]) {
        self.0.committed(rooms);
    }

    fn touched(&self, rooms: &[Touched]) {
        self.0.touched(rooms);
    }

    fn doubtful(&self, rooms: &[RoomId]) {
        self.0.doubtful(rooms);
    }

    fn user_changed(&self, user: UserId) {
        self.0.user_changed(user);
    }

    fn users_added(&self) {
        self.0.users_added();
    }

    fn drop_copies(&self, room: Option<RoomId>) {
        self.0.drop_copies(room);
    }

    fn lost(&self, loss: Loss) {
        self.0.lost(loss.name());
    }

    fn followed(&self) -> Vec<Head> {
        self.0.followed()
    }

    fn compared(&self, others: &[Head]) {
        self.0.compared(others);
    }
}
