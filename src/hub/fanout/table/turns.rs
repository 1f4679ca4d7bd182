//! Whether a room's events come to a thread in their turn, and where its connections stand. Once
//! for each event and thread, never for each recipient.

use std::collections::HashMap;

use super::Table;
use super::room::LocalRoom;
use crate::hub::connection::liveness::Second;
use crate::hub::presence::Present;
use crate::hub::room::{RoomHandle, Standing};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::RoomId;

/// A room that does not bring what it was asked for is asked again after this, seconds.
const ASK_AGAIN: Second = 1;

/// How an event follows what the thread's connections have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// No connection of this thread is in the room.
    Nobody,
    /// It is the next one.
    Next,
    /// They have it.
    Known,
    /// There are others before it that they lack.
    Hole,
    /// It is of another log than what they have.
    OtherEpoch,
    /// It, or one before it, was not taken, because more than enough is pending in the room. It is
    /// asked for when that has been written.
    Full,
}

/// What was noticed of a room's events that are missing.
#[derive(Debug, Default)]
pub(super) struct Lack {
    /// They were asked for, from this position on.
    asked: Option<(Seq, Second)>,
    /// At the last look the room had delivered more than this position, which is where the
    /// connections stood.
    behind: Option<Seq>,
}

impl Turn {
    /// How an event follows what connections have that stand there.
    fn of(epoch: Epoch, seq: Seq, standing: Standing) -> Self {
        if epoch != standing.epoch {
            Self::OtherEpoch
        } else if seq <= standing.position {
            Self::Known
        } else if seq == standing.position + 1 {
            Self::Next
        } else {
            Self::Hole
        }
    }
}

impl Lack {
    /// Whether to ask for what comes after a position: not again so soon.
    fn ask(&mut self, position: Seq, now: Second) -> bool {
        let is_asked = self
            .asked
            .is_some_and(|(from, at)| from == position && now < at.saturating_add(ASK_AGAIN));
        if !is_asked {
            self.asked = Some((position, now));
        }
        !is_asked
    }

    /// Takes a look. Whether the connections stood at that position, and behind the room, at the
    /// last look already.
    fn look(&mut self, position: Seq, delivered: Seq) -> bool {
        let is_behind = position < delivered;
        let before = self.behind.take();
        self.behind = is_behind.then_some(position);
        is_behind && before == Some(position)
    }
}

impl LocalRoom {
    fn standing(&self) -> Standing {
        Standing {
            epoch: self.epoch,
            position: self.position,
        }
    }

    /// How an event follows what the room's connections have, or are about to get.
    pub(super) fn turn(&self, epoch: Epoch, seq: Seq) -> Turn {
        match Turn::of(epoch, seq, self.standing()) {
            Turn::Hole if self.is_short => Turn::Full,
            turn => turn,
        }
    }
}

impl Table {
    /// Where the connections in a room stand, and by which actor.
    pub(crate) fn standing(&self, room_id: RoomId) -> Option<(&RoomHandle, Standing)> {
        let room = self.local(room_id)?;
        Some((&room.handle, room.standing()))
    }

    /// Whom to ask for what is missing, and from where on; none if that has just been done.
    pub(crate) fn ask(&mut self, room_id: RoomId, now: Second) -> Option<(RoomHandle, Standing)> {
        let room = self.local_mut(room_id)?;
        let standing = room.standing();
        let asks = room.lack.ask(standing.position, now);
        asks.then(|| (room.handle.clone(), standing))
    }

    /// Whether a room's actor has given more to the threads than what the connections here have or
    /// are about to get, and there is room for it.
    pub(crate) fn is_behind(&self, room_id: RoomId) -> bool {
        let room = self.local(room_id);
        room.is_some_and(|room| !room.is_short && room.position < room.handle.delivered())
    }

    /// Rooms that stood behind their actors at the last look, and still stand there: what they
    /// lack is not on its way.
    pub(crate) fn behind(&mut self) -> Vec<RoomId> {
        let is_behind = |room: &mut LocalRoom| {
            let delivered = room.handle.delivered();
            !room.is_short && room.lack.look(room.position, delivered)
        };
        self.rooms
            .iter_mut()
            .filter_map(|(_, room)| is_behind(room).then(|| room.handle.id()))
            .collect()
    }

    /// The room's connections were given the events up to this one, in some other way.
    #[cfg(feature = "failpoints")]
    pub(crate) fn stand_at(&mut self, room_id: RoomId, position: Seq) {
        if let Some(room) = self.local_mut(room_id) {
            room.position = position;
        }
    }

    /// The connections in a room belong to another actor from now on. Gives how many they are and
    /// where they stand; none if there are none.
    pub(crate) fn adopt(&mut self, handle: &RoomHandle) -> Option<(usize, Standing)> {
        let room = self.local_mut(handle.id())?;
        room.handle = handle.clone();
        room.lack = Lack::default();
        Some((room.walk.len(), room.standing()))
    }

    /// Who is in the rooms that are meant.
    pub(crate) fn present(&self, is_meant: impl Fn(RoomId) -> bool) -> Vec<Present> {
        let mut present = Vec::new();
        for (&room, &key) in self.ids.iter().filter(|(id, _)| is_meant(**id)) {
            let mut users = HashMap::new();
            for member in self.rooms[key].walk.members() {
                if let Some(user) = member.attachment.user_id() {
                    *users.entry(user).or_default() += 1;
                }
            }
            present.extend(users.into_iter().map(|(user, connections)| Present {
                room,
                user,
                connections,
            }));
        }
        present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_event_of_the_same_log_is_in_turn() {
        let standing = Standing {
            epoch: Epoch(1),
            position: 5,
        };
        let turns = [4, 5, 6, 7].map(|seq| Turn::of(Epoch(1), seq, standing));
        let expected = [Turn::Known, Turn::Known, Turn::Next, Turn::Hole];
        assert_eq!(turns, expected);
        assert_eq!(Turn::of(Epoch(2), 6, standing), Turn::OtherEpoch);
    }

    #[test]
    fn what_is_missing_is_asked_for_once_a_second() {
        let mut lack = Lack::default();
        assert!(lack.ask(5, 10));
        assert!(!lack.ask(5, 10));
        assert!(lack.ask(7, 10), "another hole");
        assert!(lack.ask(7, 11), "nothing came");
    }

    #[test]
    fn two_looks_tell_a_lost_event_from_one_on_its_way() {
        let mut lack = Lack::default();
        assert!(!lack.look(5, 6), "it may be on its way");
        assert!(lack.look(5, 6));
        assert!(!lack.look(6, 7), "another");
        assert!(!lack.look(7, 7));
        assert!(!lack.look(7, 8));
    }
}
