//! What a client has seen already: the header `Hubbub-Min-Cursor`. Pure.
//!
//! An answer must be at least as new as that, whichever node gives it. What the cursor says of rooms that
//! an answer has nothing to do with does not matter; neither does a position in another life of a log,
//! whose numbers say nothing of the present one.

use crate::cache::version::Version;
use crate::protocol::cursor::{self, CursorError, Position};
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;

/// The positions that a client has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Least {
    positions: Vec<Position>,
}

/// What a version is beside a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As new, or newer.
    Reaches,
    /// Older.
    Behind,
    /// Of another life of the log.
    Elsewhere,
}

impl Least {
    /// Nothing has been seen.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the header's value.
    pub fn read(text: &str) -> Result<Self, CursorError> {
        cursor::decode(text).map(|positions| Self { positions })
    }

    /// What has been seen of a room.
    #[must_use]
    pub fn of(&self, room: RoomId) -> Option<Position> {
        self.positions.iter().find(|it| it.room_id == room).copied()
    }
}

/// How a version stands to what has been seen.
#[must_use]
pub fn stands(version: Version, seen: Position) -> Standing {
    if version.epoch != seen.epoch {
        Standing::Elsewhere
    } else if version.seq >= seen.seq {
        Standing::Reaches
    } else {
        Standing::Behind
    }
}

/// The event that an answer must have, of a log that is in this life.
#[must_use]
pub fn needed(version: Version, seen: Option<Position>) -> Seq {
    match seen {
        Some(seen) if seen.epoch == version.epoch => seen.seq,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Epoch;

    #[test]
    fn positions_are_compared_room_by_room_and_within_a_life() {
        let (a, b) = (RoomId::generate(), RoomId::generate());
        let position = |room_id, seq| Position {
            room_id,
            epoch: Epoch(7),
            seq,
        };
        let text = cursor::encode(&[position(a, 5), position(b, 9)]).unwrap();
        let least = Least::read(&text).unwrap();
        assert_eq!(least.of(a), Some(position(a, 5)));
        assert_eq!(least.of(RoomId::generate()), None);
        let seen = least.of(b).unwrap();
        let version = |epoch, seq| Version::new(Epoch(epoch), seq);
        assert_eq!(stands(version(7, 9), seen), Standing::Reaches);
        assert_eq!(stands(version(7, 8), seen), Standing::Behind);
        assert_eq!(stands(version(8, 99), seen), Standing::Elsewhere);
        assert_eq!(needed(version(7, 1), Some(seen)), 9);
        assert_eq!(needed(version(8, 1), Some(seen)), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "!", "AAAA", "x".repeat(5000).as_str()] {
            assert!(Least::read(text).is_err(), "{text}");
        }
    }
}
