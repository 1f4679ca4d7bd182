//! What a copy depends on.

use crate::protocol::id::{RoomId, UserId};

/// Something that can change. A copy carries the tags of all that it was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The last event of a room.
    Head(RoomId),
    /// Messages of a room that were there before.
    Earlier(RoomId),
    /// The list of a room's members.
    Members(RoomId),
    /// What is said of a room.
    Settings(RoomId),
    /// What one user is in a room.
    Membership(RoomId, UserId),
    /// What others see of a user.
    User(UserId),
    /// What others see of any user.
    Users,
    /// Who has registered.
    Registered,
}

impl Tag {
    /// The room that it is of.
    #[must_use]
    pub const fn room(self) -> Option<RoomId> {
        match self {
            Self::Head(room)
            | Self::Earlier(room)
            | Self::Members(room)
            | Self::Settings(room)
            | Self::Membership(room, _) => Some(room),
            Self::User(_) | Self::Users | Self::Registered => None,
        }
    }
}
