//! A shard's state: who is present by this node and by others. Pure: it is told the time.
//!
//! Each node counts what it says. Who hears a diff that follows what was heard before takes it; who
//! hears one that does not, or a digest that differs, asks the node, for what has changed since or
//! for everybody. What a node answers when it is asked counts, whatever the bus said.
//!
//! Of whom something is heard must be living by the table `nodes`, in that life: others are ignored.
//! A node whose lease has run out takes its people with it at once, as the lease was time enough to
//! come back elsewhere; the people of one that has stopped, or has begun another life, have the
//! grace time for that. While the bus is away nothing that is heard counts, and nobody dies.

mod hearing;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub(super) use self::hearing::{Fate, Pulled, Wish};
pub(super) use super::members::Manner;
use super::members::{Diff, Members, OWN};
use super::own::{Own, Step};
use super::slots::{Slot, Slots};
use crate::bus::BusState;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::origin::Origin;
use crate::protocol::presence::{
    PresenceChange, PresenceDigest, PresencePage, PresencePull, USERS_MAX,
};

/// What a shard goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) manner: Manner,
    /// Who is lost may come back for so long.
    pub(crate) grace: Duration,
    /// So many people of each other node are known at most.
    pub(crate) people_max: usize,
    /// A node that has not answered is asked again after this.
    pub(crate) retry: Duration,
}

/// Another node that lives, and how it hears of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) origin: Origin,
    /// None: by a way that is not known here.
    pub(crate) bus: Option<BusState>,
}

/// A room now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) count: u64,
    /// None if the room is counted.
    pub(super) users: Option<Vec<UserId>>,
    pub(super) is_stale: bool,
}

#[derive(Debug)]
pub(super) struct State {
    rules: Rules,
    own: Own,
    members: Members,
    slots: Slots,
    neighbours: Vec<Neighbour>,
    bus: BusState,
    /// Rooms were told that what they know of other nodes may be out of date.
    is_told_stale: bool,
    /// Living nodes that there is no place for.
    unseen: usize,
}

impl State {
    pub(super) fn new(rules: Rules, first_version: u64, bus: BusState) -> Self {
        Self {
            rules,
            own: Own::new(rules.grace, first_version),
            members: Members::new(rules.manner),
            slots: Slots::default(),
            neighbours: Vec::new(),
            bus,
            is_told_stale: false,
            unseen: 0,
        }
    }

    /// A connection of this node has come into a room or gone from it.
    pub(super) fn shift(&mut self, room: RoomId, user: UserId, step: Step, now: Instant) {
        if let Some(is_present) = self.own.shift(room, user, step, now) {
            self.members.set(room, user, OWN, is_present);
        }
    }

    /// So many connections of a user are in a room, as is found out now.
    pub(super) fn announce(&mut self, room: RoomId, user: UserId, connections: usize) {
        if let Some(is_present) = self.own.announce(room, user, connections) {
            self.members.set(room, user, OWN, is_present);
        }
        self.members.tell_whole(room);
    }

    /// The room may not know who is here: it is told everybody.
    pub(super) fn tell_whole(&mut self, room: RoomId) {
        self.members.tell_whole(room);
    }

    /// The other nodes that live now.
    pub(super) fn meet(&mut self, neighbours: Vec<Neighbour>, now: Instant) {
        self.neighbours = neighbours;
        if !self.is_frozen() {
            self.look_around(now);
        }
    }

    fn look_around(&mut self, now: Instant) {
        self.unseen = 0;
        for Neighbour { origin, bus } in &self.neighbours {
            let is_cut = *bus == Some(BusState::Fallback);
            let known = self.slots.get_mut(origin);
            // One that was taken for gone may have been stuck.
            if let Some(slot) = known {
                slot.gone_at = None;
                slot.is_synced &= !is_cut;
                slot.is_cut = is_cut;
            } else if let Some(slot) = self.slots.add(origin.clone(), now) {
                slot.is_cut = is_cut;
            } else {
                self.unseen += 1;
            }
        }
        for slot in self.slots.iter_mut() {
            let lives = self.neighbours.iter().any(|it| it.origin == slot.origin);
            if !lives && slot.lives() {
                slot.gone_at = Some(now + self.rules.grace);
            }
        }
    }

    /// A node's lease has run out, and it has not begun another life.
    pub(super) fn lose(&mut self, origin: &Origin, now: Instant) {
        let is_frozen = self.is_frozen();
        let has_successor = self
            .neighbours
            .iter()
            .any(|it| it.origin.node == origin.node);
        if let Some(slot) = self.slots.get_mut(origin)
            && !is_frozen
            && !has_successor
        {
            slot.gone_at = Some(now);
        }
    }

    /// The bus has come or gone.
    pub(super) fn turn(&mut self, bus: BusState, now: Instant) {
        let was_frozen = self.is_frozen();
        self.bus = bus;
        if self.is_frozen() && !was_frozen {
            for slot in self.slots.iter_mut() {
                slot.is_synced = false;
            }
        } else if was_frozen && !self.is_frozen() {
            self.look_around(now);
            for slot in self.slots.iter_mut() {
                slot.retry_at = now;
                // Nobody could be seen to come back elsewhere.
                slot.gone_at = slot.gone_at.map(|_| now + self.rules.grace);
            }
        }
    }

    /// Whether the bus is away: what is known of other nodes stays as it is.
    pub(super) fn is_frozen(&self) -> bool {
        self.bus == BusState::Fallback
    }

    /// Whether what is known of other nodes may be out of date.
    pub(super) fn is_stale(&self) -> bool {
        if self.is_frozen() {
            return !self.neighbours.is_empty() || self.slots.iter().next().is_some();
        }
        !self.is_synced()
    }

    /// Whether every other node has been heard.
    pub(super) fn is_synced(&self) -> bool {
        let mut slots = self.slots.iter();
        let are_heard = slots.all(|slot| {
            let is_heard = slot.is_synced && !slot.is_cut;
            is_heard || !slot.lives()
        });
        are_heard && self.unseen == 0
    }

    /// Living nodes whose people are not seen, because more nodes are known than can be told apart.
    pub(super) fn unseen(&self) -> usize {
        self.unseen
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        for (room, user) in self.own.end_lingering(now) {
            self.members.set(room, user, OWN, false);
        }
        if !self.is_frozen() {
            let mut has_place = false;
            for slot in self.slots.take_gone(now) {
                for (room, user) in self.members.of(slot.holder) {
                    self.members.set(room, user, slot.holder, false);
                }
                has_place |= self.unseen > 0;
            }
            if has_place {
                self.look_around(now);
            }
        }
        self.note_staleness();
    }

    /// Rooms are told when the way to another node breaks, and when all is well again; not of each
    /// diff that was lost, nor of a node that has just started and nobody is on.
    fn note_staleness(&mut self) {
        let is_cut = |slot: &Slot| slot.is_cut && slot.lives() && slot.digest.is_some();
        let is_broken = self.is_frozen() || self.slots.iter().any(is_cut);
        let is_broken = is_broken && self.is_stale();
        let is_told = if self.is_told_stale {
            self.is_stale()
        } else {
            is_broken
        };
        if is_told != self.is_told_stale {
            self.is_told_stale = is_told;
            self.members.tell_all();
        }
    }

    /// When [`State::tick`] or [`State::wishes`] has something to do next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let is_frozen = self.is_frozen();
        let slots = self.slots.iter().filter(|_| !is_frozen);
        let due = slots.filter_map(|slot| match slot.gone_at {
            Some(gone_at) => Some(gone_at),
            None => slot.wants_pull().then_some(slot.retry_at),
        });
        due.chain(self.own.next_end()).min()
    }

    /// Whether there are other nodes.
    pub(super) fn has_neighbours(&self) -> bool {
        !self.neighbours.is_empty()
    }

    /// Whether rooms here are to be told something.
    pub(super) fn has_diffs(&self) -> bool {
        self.members.has_news()
    }

    /// What the rooms here are told, and whether that may be out of date.
    pub(super) fn take_diffs(&mut self, now: Instant) -> (Vec<Diff>, bool) {
        (self.members.take_diffs(now), self.is_told_stale)
    }

    /// Whether other nodes are to be told something.
    pub(super) fn has_news(&self) -> bool {
        self.own.has_news()
    }

    /// What other nodes are told: diffs with their versions.
    pub(super) fn say(&mut self) -> Vec<(u64, Vec<PresenceChange>)> {
        self.own.say(USERS_MAX / 5)
    }

    /// Where this node stands. Everything must have been said.
    pub(super) fn digest(&self) -> PresenceDigest {
        self.own.digest()
    }

    /// The answer to another node. Everything must have been said.
    pub(super) fn page(&self, pull: &PresencePull) -> PresencePage {
        self.own.page(pull.since, pull.after, USERS_MAX)
    }

    /// Who is in a room, for somebody who goes by the diffs from there on.
    pub(super) fn ask(&mut self, room: RoomId) -> Here {
        self.members.is_asked(room);
        self.who(room)
    }

    /// Who is in a room.
    pub(super) fn who(&self, room: RoomId) -> Here {
        let (count, users) = self.members.who(room);
        Here {
            count,
            users,
            is_stale: self.is_stale(),
        }
    }

    /// How many people are known, by all nodes.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}
