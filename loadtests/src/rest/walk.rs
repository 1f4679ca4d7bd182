//! Pages of many rooms, each once, in an order in which neighbours do not follow each other.

use serde::{Deserialize, Serialize};

/// Larger than there are pages, so that a step is never a divisor of their number.
const STEP: u64 = 4_294_967_291;

/// Where a walk over all pages stands. Page `n` of a room is what comes before message
/// `shortest + 1 + n`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    pub(super) rooms: u32,
    /// Messages of each room.
    pub(super) messages: u32,
    /// Messages that come before the first page's end.
    pub(super) shortest: u32,
    /// Pages before the next one.
    pub(super) next: u64,
    /// Of so many steps one is ours: others walk, too.
    pub(super) turn: u64,
}

/// A page: the newest messages of this room before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Page {
    pub(super) room: u32,
    pub(super) before: u32,
}

impl Walk {
    /// How many pages there are.
    pub(super) fn pages(&self) -> u64 {
        let each = self.messages.saturating_sub(self.shortest);
        u64::from(self.rooms) * u64::from(each)
    }
}

impl Iterator for Walk {
    type Item = Page;

    /// The next page; nothing when all were there.
    fn next(&mut self) -> Option<Page> {
        let pages = self.pages();
        if self.next >= pages {
            return None;
        }
        let at = u128::from(self.next) * u128::from(STEP) % u128::from(pages);
        self.next += self.turn;
        let rooms = u128::from(self.rooms);
        let part = |value: u128| u32::try_from(value).unwrap_or(u32::MAX);
        Some(Page {
            room: part(at % rooms),
            before: self.shortest + 1 + part(at / rooms),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_is_there_once_whoever_walks() {
        let walk = |next, turn| Walk {
            rooms: 6,
            messages: 70,
            shortest: 50,
            next,
            turn,
        };
        let alone: Vec<Page> = walk(0, 1).collect();
        let all: BTreeSet<Page> = alone.iter().copied().collect();
        assert_eq!((alone.len(), all.len()), (120, 120));
        assert!(all.iter().all(|page| page.room < 6));
        assert!(all.iter().all(|page| (51..=70).contains(&page.before)));
        let both: BTreeSet<Page> = walk(0, 2).chain(walk(1, 2)).collect();
        assert_eq!(both, all);
    }

    #[test]
    fn a_room_that_is_too_short_has_no_page() {
        let mut walk = Walk {
            rooms: 3,
            messages: 20,
            shortest: 50,
            next: 0,
            turn: 1,
        };
        assert_eq!((walk.pages(), walk.next()), (0, None));
    }
}
