//! What there are copies of.

use std::sync::Arc;

use super::tag::Tag;
use crate::protocol::command::{PageAnchor, PageRequest};
use crate::protocol::event::Seq;
use crate::protocol::id::{EventId, RoomId, UserId};

/// Names a copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// What a user is in a room. For permissions.
    Access(RoomId, UserId),
    /// How far a user has read a room.
    Membership(RoomId, UserId),
    /// A room, as everybody sees it.
    Room(RoomId),
    /// A page of a room's messages.
    Messages(MessagesKey),
    /// A page of a room's members: those after a user, at most so many.
    Members(RoomId, Option<UserId>, u32),
    /// A user, as others see them.
    User(UserId),
    /// A page of users who were searched.
    Search(Arc<SearchKey>),
}

/// Names a page of users who were searched.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SearchKey {
    /// How a name begins, as it was asked for.
    pub query: Box<str>,
    /// What led to this page, if it is not the first.
    pub after: Option<Box<str>>,
    /// At most so many.
    pub limit: u32,
}

/// Names a page of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessagesKey {
    /// The room.
    pub room: RoomId,
    /// Nothing up to this event is shown.
    pub floor: Seq,
    /// Where it lies.
    pub place: Place,
    /// At most so many messages.
    pub limit: u32,
    /// Only the replies to this one.
    pub thread: Option<EventId>,
}

/// Where a page of messages lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the end.
    Newest,
    /// Before an event.
    Before(Seq),
    /// After an event.
    After(Seq),
    /// What is pinned, after an event.
    Pinned(Seq),
}

impl MessagesKey {
    /// What is asked for, unless it is what is pinned.
    pub(super) fn page_request(&self) -> Option<PageRequest> {
        let anchor = match self.place {
            Place::Newest => PageAnchor::Newest,
            Place::Before(seq) => PageAnchor::Before(seq),
            Place::After(seq) => PageAnchor::After(seq),
            Place::Pinned(_) => return None,
        };
        Some(PageRequest {
            anchor,
            limit: self.limit,
            thread: self.thread,
        })
    }
}

impl From<PageAnchor> for Place {
    fn from(anchor: PageAnchor) -> Self {
        match anchor {
            PageAnchor::Newest => Self::Newest,
            PageAnchor::Before(seq) => Self::Before(seq),
            PageAnchor::After(seq) => Self::After(seq),
        }
    }
}

/// A kind of copies: they live as long as each other, and are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Permissions.
    Access,
    /// How far members have read. These are read each time.
    Membership,
    /// Rooms.
    Room,
    /// Pages of messages.
    Messages,
    /// Pages of members.
    Members,
    /// Users.
    User,
    /// Searches of users.
    Search,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Access,
        Self::Membership,
        Self::Room,
        Self::Messages,
        Self::Members,
        Self::User,
        Self::Search,
    ];

    /// Whether copies are only for when what they are of cannot be read.
    #[must_use]
    pub const fn is_for_reserve(self) -> bool {
        matches!(self, Self::Membership)
    }

    /// The label `cache_type` in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Membership => "membership",
            Self::Room => "room",
            Self::Messages => "messages",
            Self::Members => "members",
            Self::User => "user",
            Self::Search => "search",
        }
    }
}

impl Key {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Access(..) => Kind::Access,
            Self::Membership(..) => Kind::Membership,
            Self::Room(_) => Kind::Room,
            Self::Messages(_) => Kind::Messages,
            Self::Members(..) => Kind::Members,
            Self::User(_) => Kind::User,
            Self::Search(_) => Kind::Search,
        }
    }

    /// The room that it has to do with.
    #[must_use]
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Access(room, _)
            | Self::Membership(room, _)
            | Self::Room(room)
            | Self::Members(room, ..) => Some(*room),
            Self::Messages(page) => Some(page.room),
            Self::User(_) | Self::Search(_) => None,
        }
    }

    /// What it weighs besides what every key does, bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Search(page) => page.query.len() + page.after.as_ref().map_or(0, |it| it.len()),
            _ => 0,
        }
    }

    /// What it depends on, whatever is read.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        match *self {
            Self::Access(room, user) => vec![Tag::Membership(room, user), Tag::Settings(room)],
            Self::Membership(room, user) => vec![Tag::Membership(room, user)],
            Self::Room(room) => vec![Tag::Head(room)],
            Self::Messages(page) => match page.place {
                Place::Newest => vec![Tag::Head(page.room)],
                // A message is not pinned when it is said.
                Place::Pinned(_) => vec![Tag::Earlier(page.room)],
                // What is said next may belong to it, as long as it is not known to be full.
                Place::Before(_) | Place::After(_) => {
                    vec![Tag::Head(page.room), Tag::Earlier(page.room)]
                }
            },
            Self::Members(room, ..) => vec![Tag::Members(room), Tag::Users],
            Self::User(user) => vec![Tag::User(user)],
            Self::Search(_) => vec![Tag::Users, Tag::Registered],
        }
    }
}
