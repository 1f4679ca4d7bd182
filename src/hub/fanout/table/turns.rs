//! Whether a room's events come to a thread in their turn, and where its connections stand. Once
//! for each event and thread, never for each recipient.

use std::collections::HashMap;

use super::{LocalRoom, Table};
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

impl LocalRoom {
    fn standing(&self) -> Standing {
        Standing {
            epoch: self.epoch,
            position: self.position,
        }
    }
}

impl Table {
    /// How an event follows what the room's connections have.
    pub(crate) fn turn(&self, room_id: RoomId, epoch: Epoch, seq: Seq) -> Turn {
        let Some(room) = self.rooms.get(&room_id) else {
            return Turn::Nobody;
        };
        if epoch != room.epoch {
            Turn::OtherEpoch
        } else if seq <= room.position {
            Turn::Known
        } else if seq == room.position + 1 {
            Turn::Next
        } else {
            Turn::Hole
        }
    }

    /// Where the connections in a room stand, and by which actor.
    pub(crate) fn standing(&self, room_id: RoomId) -> Option<(&RoomHandle, Standing)> {
        let room = self.rooms.get(&room_id)?;
        Some((&room.handle, room.standing()))
    }

    /// Whom to ask for what is missing, and from where on; none if that has just been done.
    pub(crate) fn ask(&mut self, room_id: RoomId, now: Second) -> Option<(RoomHandle, Standing)> {
        let room = self.rooms.get_mut(&room_id)?;
        if let Some((position, at)) = room.lack.asked
            && position == room.position
            && now < at.saturating_add(ASK_AGAIN)
        {
            return None;
        }
        room.lack.asked = Some((room.position, now));
        Some((room.handle.clone(), room.standing()))
    }

    /// Rooms that stood behind their actors at the last look, and still stand there: what they
    /// lack is not on its way.
    pub(crate) fn behind(&mut self) -> Vec<RoomId> {
        let mut behind = Vec::new();
        for (room_id, room) in &mut self.rooms {
            let is_behind = room.position < room.handle.delivered();
            let before = room.lack.behind.take();
            room.lack.behind = is_behind.then_some(room.position);
            if is_behind && before == Some(room.position) {
                behind.push(*room_id);
            }
        }
        behind
    }

    /// The room's connections were given the events up to this one, in some other way.
    #[cfg(feature = "failpoints")]
    pub(crate) fn stand_at(&mut self, room_id: RoomId, position: Seq) {
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.position = position;
        }
    }

    /// The connections in a room belong to another actor from now on. Gives how many they are and
    /// where they stand; none if there are none.
    pub(crate) fn adopt(&mut self, handle: &RoomHandle) -> Option<(usize, Standing)> {
        let room = self.rooms.get_mut(&handle.id())?;
        room.handle = handle.clone();
        room.lack = Lack::default();
        Some((room.connections.len(), room.standing()))
    }

    /// Who is in the rooms that are meant.
    pub(crate) fn present(&self, is_meant: impl Fn(RoomId) -> bool) -> Vec<Present> {
        let mut present = Vec::new();
        for (&room, local) in self.rooms.iter().filter(|(id, _)| is_meant(**id)) {
            let mut users = HashMap::new();
            for attachment in &local.connections {
                if let Some(user) = attachment.user_id() {
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
