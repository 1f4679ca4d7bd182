//! What nodes tell each other of who is present: over the bus in diffs and digests, and by the
//! channel between nodes what was lost of those.

use serde::{Deserialize, Serialize};

use super::id::{RoomId, UserId};

/// At most so many users are in one diff, or in one page of an answer.
pub const USERS_MAX: usize = 5000;

/// Where a node stands with a part of the rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceDigest {
    /// Counts what it has said; greater in each life of its tracker.
    pub version: u64,
    /// Of who is there, by [`mix`], whatever the order.
    pub hash: u64,
}

/// What has changed in a room on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceChange {
    /// The room.
    pub room: RoomId,
    /// Who is there by that node from now on.
    pub joins: Vec<UserId>,
    /// Who is not any more.
    pub leaves: Vec<UserId>,
}

impl PresenceChange {
    /// How many users it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.joins.len() + self.leaves.len()
    }

    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A question: who is present by you?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresencePull {
    /// In which part of the rooms.
    pub shard: u8,
    /// Of so many: another version may divide them otherwise, and cannot answer then.
    pub shards: u8,
    /// What has changed since this version, if that is still known.
    pub since: Option<u64>,
    /// Everybody behind this place: the page before ended there.
    pub after: Option<(RoomId, UserId)>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresencePage {
    /// Where the node stands now.
    pub digest: PresenceDigest,
    /// These are not changes since the version that was asked for, but who is there.
    pub is_whole: bool,
    /// In their order.
    pub changes: Vec<PresenceChange>,
    /// There is more behind this place.
    pub next: Option<(RoomId, UserId)>,
}

/// A question: where do you stand?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceStands {
    /// Into so many parts the asker divides the rooms.
    pub shards: u8,
}

/// The answer: for each part, unless the node does not know just now.
pub type PresenceDigests = Vec<Option<PresenceDigest>>;

/// A user in a room as a digest counts them: a digest is the exclusive or of all.
#[must_use]
pub fn mix(room: RoomId, user: UserId) -> u64 {
    let (a, b) = room.0.as_u64_pair();
    let (c, d) = user.0.as_u64_pair();
    [a, b, c, d].into_iter().fold(0x9e37_79b9, |hash, word| {
        let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 29)
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn nodes_of_all_versions_mix_alike() {
        let (room, user) = (RoomId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        assert_eq!(mix(room, user), 0xb8f8_7ab4_5a5f_6769);
        let swapped = mix(RoomId(user.0), UserId(room.0));
        assert_ne!(mix(room, user), swapped);
    }
}
