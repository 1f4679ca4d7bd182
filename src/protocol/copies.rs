//! What a node says of its copies of what is in the database, to operators.

use serde::{Deserialize, Serialize};

use super::id::RoomId;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesQuery {
    /// The copies of this room are listed; none: of no room.
    pub room: Option<RoomId>,
    /// At most so many.
    pub limit: u32,
}

/// What a node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesReport {
    /// Copies in the process.
    pub entries: u64,
    /// What they weigh.
    pub bytes: u64,
    /// Rooms that are followed for them.
    pub rooms: u64,
    /// Loads under way.
    pub loading: u64,
    /// Whether it is known what has changed.
    pub sound: bool,
    /// By kind.
    pub kinds: Vec<CopiesOfKind>,
    /// Those of the room that was asked for.
    pub copies: Vec<CopyLine>,
}

/// One kind of copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesOfKind {
    /// Its name.
    pub kind: String,
    /// Answers by a copy, since the node has started.
    pub hits: u64,
    /// Answers that had to be read.
    pub misses: u64,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyLine {
    /// Its key, for people.
    pub key: String,
    /// The life of the log that it was built from.
    pub epoch: i32,
    /// The event that it was built from.
    pub seq: u64,
    /// How old it is, milliseconds.
    pub age_ms: u64,
    /// What it weighs.
    pub bytes: u64,
    /// Whether it holds.
    pub holds: bool,
}
