//! What is known of what has changed: which copies still hold, and which loads may fill. Pure.
//!
//! Time is counted in *stamps*: every invalidation is a later one. A load takes the present stamp when it
//! begins; it may fill the cache only if none of its tags was told since ([`Ledger::may_fill`]), whatever
//! it has read. A copy that is there holds against a tag if nothing was told of it since its load began,
//! or if what was told is an event that it was built from already ([`Ledger::holds`]).
//!
//! A room is *followed* from the first load on that has to do with it. Of others nothing is remembered,
//! and no copy of them counts. The number of rooms is bounded; so is what is remembered of each.

mod room;

use std::collections::HashMap;

use self::room::Followed;
use super::tag::Tag;
use super::version::Version;
use crate::protocol::event::Seq;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::touched::Touched;

/// A moment, in invalidations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Stamp(u64);

/// Changed users that are remembered. If more change while a load takes, it does not fill.
const USERS_MAX: usize = 4096;

/// What was told of one tag.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// When anything was told last.
    at: Stamp,
    /// When something was told last without saying which event it was.
    bare_at: Stamp,
    /// The last event that touched it.
    seq: Seq,
}

impl Told {
    fn event(&mut self, at: Stamp, seq: Seq) {
        // Whoever began since this or a later one was told has read it: its commit was before.
        if seq > self.seq {
            self.at = at;
            self.seq = seq;
        }
    }

    fn bare(&mut self, at: Stamp) {
        self.at = at;
        self.bare_at = at;
    }

    fn holds(self, began: Stamp, seq: Seq) -> bool {
        self.at <= began || (self.bare_at <= began && self.seq <= seq)
    }
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    now: Stamp,
    /// When everything became doubtful.
    all_at: Stamp,
    rooms_max: usize,
    rooms: HashMap<RoomId, Followed>,
    users: HashMap<UserId, Stamp>,
    /// Changes of users up to here are forgotten.
    users_forgotten: Stamp,
    any_user: Stamp,
    registered: Stamp,
}

impl Ledger {
    /// Follows at most so many rooms.
    pub(super) fn new(rooms_max: usize) -> Self {
        Self {
            rooms_max,
            ..Self::default()
        }
    }

    /// A load begins that has to do with this room. None if no more rooms can be followed: what it
    /// reads is not to be kept.
    pub(super) fn begin(&mut self, room: Option<RoomId>, now_ms: u64) -> Option<Stamp> {
        if let Some(id) = room {
            if !self.rooms.contains_key(&id) {
                if self.rooms.len() >= self.rooms_max {
                    return None;
                }
                let since = self.next();
                self.rooms.insert(id, Followed::new(since));
            }
            if let Some(room) = self.rooms.get_mut(&id) {
                room.used_ms = now_ms;
            }
        }
        Some(self.now)
    }

    /// A load has read where the room's log stands.
    pub(super) fn read(&mut self, room: RoomId, began: Stamp, version: Version) {
        let (all_at, now) = (self.all_at, self.next());
        if let Some(room) = self.rooms.get_mut(&room)
            && began >= room.since
            && began >= all_at
        {
            room.read(version, began, all_at, now);
        }
    }

    /// Whether nothing of this was told since the load began.
    pub(super) fn may_fill(&self, tags: &[Tag], began: Stamp) -> bool {
        let is_unchanged = |&tag: &Tag| {
            let room = tag.room();
            let is_followed = room.is_none_or(|room| {
                let room = self.rooms.get(&room);
                room.is_some_and(|room| room.since <= began)
            });
            is_followed && self.told(tag).at <= began
        };
        self.all_at <= began && tags.iter().all(is_unchanged)
    }

    /// Whether a copy still says what is known.
    pub(super) fn holds(&self, tags: &[Tag], began: Stamp, version: Version) -> bool {
        self.all_at <= began && self.holds_of_what_was_told(tags, began, version)
    }

    /// The same, but for that everything may have become doubtful since: for when nothing better can be
    /// had. What was told to have changed does not hold in any case.
    pub(super) fn holds_of_what_was_told(
        &self,
        tags: &[Tag],
        began: Stamp,
        version: Version,
    ) -> bool {
        tags.iter().all(|&tag| {
            if let Some(room) = tag.room() {
                let Some(room) = self.rooms.get(&room) else {
                    return false;
                };
                let is_other = room.epoch.is_some_and(|epoch| epoch != version.epoch);
                if is_other || room.since > began || version.seq < room.floor {
                    return false;
                }
            }
            self.told(tag).holds(began, version.seq)
        })
    }

    /// Whether anything was read of a room that a copy of others could be held against.
    pub(super) fn has_base(&self, room: RoomId) -> bool {
        let base = self.rooms.get(&room).and_then(|room| room.base);
        base.is_some_and(|(_, at)| at >= self.all_at)
    }

    /// Whether a copy that another node has made holds here: it was built from no less than what this
    /// node has read of the room, and from all that it was told since.
    pub(super) fn takes(&self, room: RoomId, tags: &[Tag], version: Version) -> bool {
        let Some(followed) = self.rooms.get(&room) else {
            return false;
        };
        let Some((base, at)) = followed.base else {
            return false;
        };
        at >= self.all_at
            && base.epoch == version.epoch
            && followed.epoch == Some(version.epoch)
            && base.seq <= version.seq
            && tags.iter().all(|&tag| {
                let told = self.told(tag);
                told.bare_at <= at && told.seq <= version.seq
            })
    }

    /// Up to which event of a room all that was touched is known, for a copy that holds.
    pub(super) fn known_to(&self, room: RoomId, version: Version) -> Option<Seq> {
        let followed = self.rooms.get(&room)?;
        let (base, _) = followed.base.filter(|&(_, at)| at >= self.all_at)?;
        let is_of_it = base.epoch == version.epoch && base.seq <= version.seq;
        is_of_it.then(|| followed.progress.to())
    }

    /// Whether a copy of a room that holds is at least as new as an event: it was built from it, or all
    /// that was touched up to that event is known.
    pub(super) fn reaches(&self, room: RoomId, version: Version, least: Seq) -> bool {
        version.seq >= least || self.known_to(room, version).is_some_and(|to| to >= least)
    }

    /// Events have touched a room. Whether it is followed.
    pub(super) fn touched(&mut self, touched: &Touched) -> bool {
        if !self.rooms.contains_key(&touched.room_id) {
            return false;
        }
        let at = self.next();
        if let Some(room) = self.rooms.get_mut(&touched.room_id) {
            room.touched(touched, at);
        }
        true
    }

    /// Something may have happened in a room, nobody knows what.
    pub(super) fn doubtful(&mut self, room: RoomId) {
        let at = self.next();
        if let Some(room) = self.rooms.get_mut(&room) {
            room.doubt(at);
        }
    }

    /// Something has changed of a user.
    pub(super) fn user_changed(&mut self, user: UserId) {
        let at = self.next();
        self.any_user = at;
        if self.users.len() >= USERS_MAX {
            self.users.clear();
            self.users_forgotten = at;
        }
        self.users.insert(user, at);
    }

    /// There are users who were not there before.
    pub(super) fn users_added(&mut self) {
        self.registered = self.next();
    }

    /// Whatever happened lately may not have been told.
    pub(super) fn lose(&mut self) {
        self.all_at = self.next();
    }

    /// The rooms that are followed, and up to where all is known of each. Those that were not used for
    /// `idle_ms` are followed no longer.
    pub(super) fn followed(&mut self, now_ms: u64, idle_ms: u64) -> Vec<(RoomId, Version)> {
        self.rooms
            .retain(|_, room| now_ms.saturating_sub(room.used_ms) <= idle_ms);
        let ends = self.rooms.iter_mut().filter_map(|(&id, room)| {
            room.asked = room.progress.to();
            Some((id, Version::new(room.epoch?, room.asked)))
        });
        ends.collect()
    }

    /// A comparison has found a log's end elsewhere than was known. Whether that was news.
    pub(super) fn compared(&mut self, room: RoomId, found: Version) -> bool {
        let at = self.next();
        let Some(followed) = self.rooms.get_mut(&room) else {
            return false;
        };
        let is_same_log = followed.epoch == Some(found.epoch);
        let is_shorter = is_same_log && followed.asked > found.seq;
        if is_same_log && followed.progress.to() >= found.seq && !is_shorter {
            return false;
        }
        if is_shorter {
            // It has lost what was known of it.
            followed.restart(at, Some(found.epoch));
            followed.progress.told(0, found.seq);
        } else {
            let everything = Touched::everything(room, Some(found.epoch), found.seq);
            followed.touched(&everything, at);
        }
        true
    }

    /// How many rooms are followed.
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    fn told(&self, tag: Tag) -> Told {
        let bare = |at| Told {
            at,
            bare_at: at,
            seq: 0,
        };
        let room = |room: RoomId| self.rooms.get(&room);
        match tag {
            Tag::Head(id) => room(id).map_or(bare(self.now), |it| it.head_told),
            Tag::Earlier(id) => room(id).map_or(bare(self.now), |it| it.earlier),
            Tag::Members(id) => room(id).map_or(bare(self.now), |it| it.members),
            Tag::Settings(id) => room(id).map_or(bare(self.now), |it| it.settings),
            Tag::Membership(id, user) => room(id).map_or(bare(self.now), |it| it.membership(user)),
            Tag::User(user) => bare(
                self.users
                    .get(&user)
                    .copied()
                    .unwrap_or(self.users_forgotten),
            ),
            Tag::Users => bare(self.any_user),
            Tag::Registered => bare(self.registered),
        }
    }

    fn next(&mut self) -> Stamp {
        self.now.0 += 1;
        self.now
    }
}

#[cfg(test)]
mod tests;
