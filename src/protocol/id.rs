//! Identifiers. All are UUIDv7: sortable by time of creation, so that indexes stay local.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::{Slug, TextError};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id, stamped with the present time.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id! {
    /// A room.
    RoomId
}
id! {
    /// A user.
    UserId
}
id! {
    /// An event of a room's log; for a message, the message.
    EventId
}
id! {
    /// A session: one login of one user.
    SessionId
}

id! {
    /// An invitation into a room.
    InvitationId
}

/// A room as a client names it: by id or by slug. Slugs that look like a UUID are refused
/// when a room is made, so the two never clash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RoomRef {
    /// By id.
    Id(RoomId),
    /// By slug.
    Slug(Slug),
}

impl FromStr for RoomRef {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(text) {
            Ok(id) => Ok(Self::Id(RoomId(id))),
            Err(_) => text.parse().map(Self::Slug),
        }
    }
}

impl fmt::Display for RoomRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for RoomRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_named_by_id_or_slug() {
        let id = RoomId::generate();
        assert_eq!(id.to_string().parse(), Ok(RoomRef::Id(id)));
        assert!(matches!("general".parse(), Ok(RoomRef::Slug(_))));
        assert!("No Spaces".parse::<RoomRef>().is_err());
    }
}
