//! What waits to be told of touched rooms, and whether what is heard is all. Pure.

use std::collections::HashMap;

use crate::bus::envelope::Origin;
use crate::protocol::id::RoomId;
use crate::protocol::touched::Touched;

/// Nodes whose numbers are remembered. More live lives than any cluster has.
const NODES_MAX: usize = 1024;

/// What this node is to tell.
#[derive(Debug)]
pub(super) struct Telling {
    max: usize,
    number: u64,
    rooms: HashMap<RoomId, Touched>,
}

/// What is told at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Its number; of the last batch, if no room is in it.
    pub(super) number: u64,
    pub(super) rooms: Vec<Touched>,
}

impl Telling {
    /// At most `max` rooms wait.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            number: 0,
            rooms: HashMap::new(),
        }
    }

    /// Something was touched. What there is no place for is told as a number that is missing.
    pub(super) fn push(&mut self, touched: Touched) {
        if let Some(waiting) = self.rooms.get_mut(&touched.room_id) {
            waiting.merge(touched);
        } else if self.rooms.len() < self.max {
            self.rooms.insert(touched.room_id, touched);
        } else {
            self.skip();
        }
    }

    /// Something is not told.
    pub(super) fn skip(&mut self) {
        self.number += 1;
    }

    /// What is to be told next, of at most so many rooms.
    pub(super) fn next(&mut self, max: usize) -> Batch {
        let rooms: Vec<_> = if self.rooms.len() <= max {
            self.rooms.drain().map(|(_, touched)| touched).collect()
        } else {
            let ids: Vec<_> = self.rooms.keys().take(max).copied().collect();
            let take = |id| self.rooms.remove(&id);
            ids.into_iter().filter_map(take).collect()
        };
        if !rooms.is_empty() {
            self.number += 1;
        }
        Batch {
            number: self.number,
            rooms,
        }
    }
}

/// Where the other nodes stand with what they tell.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    nodes: HashMap<Box<str>, (u64, u64)>,
}

/// What a number tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing is missing.
    All,
    /// Something is.
    Gap,
}

impl Hearing {
    /// A node has told a batch of this number, or, if it has no rooms, that this was its last.
    pub(super) fn hear(&mut self, origin: &Origin, number: u64, has_rooms: bool) -> Heard {
        // In its life a node begins before its first batch.
        let mut known = 0;
        if let Some(&(incarnation, number)) = self.nodes.get(&*origin.node) {
            if incarnation > origin.incarnation {
                // Its end has been noticed otherwise.
                return Heard::All;
            }
            if incarnation == origin.incarnation {
                known = number;
            }
        } else if self.nodes.len() >= NODES_MAX {
            self.nodes.clear();
            return Heard::Gap;
        }
        let next = if has_rooms { known + 1 } else { known };
        let life = (origin.incarnation, known.max(number));
        self.nodes.insert(Box::from(&*origin.node), life);
        // What comes late or twice was missing before, or is known.
        if number > next {
            Heard::Gap
        } else {
            Heard::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Seq;

    fn touched(room: RoomId, seq: Seq) -> Touched {
        Touched {
            first: seq,
            ..Touched::everything(room, None, seq)
        }
    }

    fn origin(incarnation: u64) -> Origin {
        Origin {
            node: "a".into(),
            incarnation,
        }
    }

    #[test]
    fn a_room_waits_once_and_batches_are_numbered() {
        let (a, b) = (RoomId::generate(), RoomId::generate());
        let mut telling = Telling::new(2);
        assert_eq!(telling.next(9).number, 0);
        telling.push(touched(a, 1));
        telling.push(touched(a, 2));
        telling.push(touched(b, 7));
        let batch = telling.next(9);
        assert_eq!((batch.number, batch.rooms.len()), (1, 2));
        let of_a = batch.rooms.iter().find(|it| it.room_id == a).unwrap();
        assert_eq!((of_a.first, of_a.seq), (1, 2));
        assert_eq!(telling.next(9).number, 1, "a beat has no number of its own");
        telling.push(touched(a, 3));
        telling.push(touched(b, 8));
        let first = telling.next(1);
        assert_eq!((first.number, first.rooms.len()), (2, 1));
        assert_eq!(telling.next(1).number, 3);
    }

    #[test]
    fn what_finds_no_place_is_heard_as_a_gap() {
        let mut telling = Telling::new(1);
        telling.push(touched(RoomId::generate(), 1));
        telling.push(touched(RoomId::generate(), 1));
        let mut hearing = Hearing::default();
        assert_eq!(
            hearing.hear(&origin(1), telling.next(9).number, true),
            Heard::Gap
        );
    }

    #[test]
    fn numbers_that_do_not_follow_are_a_gap_and_late_ones_are_not() {
        let mut hearing = Hearing::default();
        let a = origin(1);
        assert_eq!(hearing.hear(&a, 0, false), Heard::All);
        assert_eq!(hearing.hear(&a, 1, true), Heard::All);
        assert_eq!(hearing.hear(&a, 2, true), Heard::All);
        assert_eq!(hearing.hear(&a, 2, true), Heard::All, "twice");
        assert_eq!(hearing.hear(&a, 4, true), Heard::Gap, "3 is missing");
        assert_eq!(hearing.hear(&a, 3, true), Heard::All, "late");
        assert_eq!(hearing.hear(&a, 4, false), Heard::All);
        assert_eq!(hearing.hear(&a, 5, false), Heard::Gap, "5 was lost");
        assert_eq!(hearing.hear(&a, 5, false), Heard::All);
        let again = origin(2);
        assert_eq!(hearing.hear(&again, 1, true), Heard::All);
        assert_eq!(hearing.hear(&a, 99, true), Heard::All, "of the life before");
        let unknown = Origin {
            node: "b".into(),
            incarnation: 1,
        };
        assert_eq!(hearing.hear(&unknown, 3, true), Heard::Gap);
    }
}
