//! What a shard makes of what other nodes say.

use std::collections::HashSet;
use std::time::Instant;

use super::State;
use crate::hub::presence::members::Holders;
use crate::hub::presence::slots::Slot;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::origin::Origin;
use crate::protocol::presence::{PresenceChange, PresenceDigest, mix};

/// A node that has more people than are taken is asked again after so many times the usual pause.
const TOO_MANY_PAUSES: u32 = 60;

/// What became of something that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It counts.
    Taken,
    /// It is known.
    Known,
    /// Something before it is missing, or differs: the node is asked.
    Behind,
    /// Of a node that does not live, as far as is known.
    Unknown,
    /// Of a life of a node that is over.
    Outlived,
    /// The bus is away.
    Frozen,
}

impl Fate {
    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Known => "known",
            Self::Behind => "behind",
            Self::Unknown => "unknown",
            Self::Outlived => "outlived",
            Self::Frozen => "frozen",
        }
    }
}

/// A node is to be asked, for what has changed since a version, or for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) origin: Origin,
    pub(crate) since: Option<u64>,
}

/// What a node has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// Where it stands.
    pub(crate) digest: PresenceDigest,
    /// The changes are of nobody, not of what was asked for.
    pub(crate) is_whole: bool,
    /// In their order.
    pub(crate) changes: Vec<PresenceChange>,
}

impl Slot {
    /// Whether the node is to be asked, when its time has come.
    pub(super) fn wants_pull(&self) -> bool {
        let is_behind = self
            .digest
            .is_none_or(|digest| digest.version < self.latest || !self.is_synced);
        self.lives() && !self.is_pulling && !self.is_cut && is_behind
    }
}

impl State {
    /// A node says what has changed.
    pub(in super::super) fn hear(
        &mut self,
        origin: &Origin,
        version: u64,
        changes: &[PresenceChange],
    ) -> Fate {
        if let Some(fate) = self.refuse(origin) {
            return fate;
        }
        let people_max = self.rules.people_max;
        let Some(slot) = self.slots.get_mut(origin) else {
            return Fate::Unknown;
        };
        let Some(digest) = slot.digest.filter(|_| !slot.is_pulling) else {
            slot.latest = slot.latest.max(version);
            return Fate::Behind;
        };
        if version <= digest.version {
            return Fate::Known;
        }
        if version != digest.version + 1 {
            slot.latest = slot.latest.max(version);
            slot.is_synced = false;
            return Fate::Behind;
        }
        let joins: usize = changes.iter().map(|it| it.joins.len()).sum();
        if slot.len + joins > people_max {
            slot.latest = slot.latest.max(version);
            slot.is_synced = false;
            return Fate::Behind;
        }
        slot.latest = slot.latest.max(version);
        let holder = slot.holder;
        let mut tally = Tally::default();
        self.apply(holder, changes, &mut tally);
        if let Some(slot) = self.slots.get_mut(origin) {
            slot.digest = Some(PresenceDigest {
                version,
                hash: digest.hash ^ tally.hash,
            });
            slot.len = tally.added(slot.len);
        }
        Fate::Taken
    }

    /// A node says where it stands.
    pub(in super::super) fn compare(
        &mut self,
        origin: &Origin,
        said: PresenceDigest,
        now: Instant,
    ) -> Fate {
        if let Some(fate) = self.refuse(origin) {
            return fate;
        }
        let Some(slot) = self.slots.get_mut(origin) else {
            return Fate::Unknown;
        };
        if slot.digest == Some(said) && slot.latest <= said.version {
            slot.is_synced = true;
            return Fate::Known;
        }
        slot.latest = slot.latest.max(said.version);
        if slot.is_pulling {
            return Fate::Behind;
        }
        if slot.digest.is_some_and(|it| it.version >= said.version) {
            // The same version, and other people; or what was heard was never said. Only everybody
            // can tell.
            slot.digest = None;
            slot.retry_at = slot.retry_at.max(now);
        }
        slot.is_synced = false;
        Fate::Behind
    }

    /// Whom to ask now. Each is asked once before its answer is given to [`State::pulled`].
    pub(in super::super) fn wishes(&mut self, now: Instant) -> Vec<Wish> {
        if self.is_frozen() {
            return Vec::new();
        }
        let mut wishes = Vec::new();
        for slot in self.slots.iter_mut() {
            if slot.wants_pull() && slot.retry_at <= now {
                slot.is_pulling = true;
                wishes.push(Wish {
                    origin: slot.origin.clone(),
                    since: slot.digest.map(|digest| digest.version),
                });
            }
        }
        wishes
    }

    /// A node that was asked has answered, or has not.
    pub(in super::super) fn pulled(&mut self, wish: &Wish, pulled: Option<Pulled>, now: Instant) {
        let (is_frozen, rules) = (self.is_frozen(), self.rules);
        let Some(slot) = self.slots.get_mut(&wish.origin) else {
            return;
        };
        slot.is_pulling = false;
        slot.retry_at = now + rules.retry;
        if is_frozen {
            return;
        }
        let Some(pulled) = pulled else {
            return;
        };
        let since = slot.digest.map(|digest| digest.version);
        if !pulled.is_whole && (since.is_none() || since != wish.since) {
            // Something else was made of what is known meanwhile.
            return;
        }
        let people: usize = pulled.changes.iter().map(|it| it.joins.len()).sum();
        let before = if pulled.is_whole { 0 } else { slot.len };
        if before + people > rules.people_max {
            slot.retry_at = now + rules.retry * TOO_MANY_PAUSES;
            return;
        }
        let holder = slot.holder;
        let hash = if pulled.is_whole {
            0
        } else {
            slot.digest.map_or(0, |digest| digest.hash)
        };
        let mut tally = Tally::default();
        if pulled.is_whole {
            self.replace(holder, &pulled.changes, &mut tally);
        } else {
            self.apply(holder, &pulled.changes, &mut tally);
        }
        if let Some(slot) = self.slots.get_mut(&wish.origin) {
            slot.len = tally.added(before);
            let reached = PresenceDigest {
                version: pulled.digest.version,
                hash: hash ^ tally.hash,
            };
            let is_right = reached == pulled.digest;
            // Otherwise everybody is asked for, after a pause.
            slot.digest = is_right.then_some(reached);
            slot.is_synced = is_right;
            if slot.latest > pulled.digest.version {
                // It was said while the node answered, or never: one more question tells.
                slot.latest = pulled.digest.version;
                slot.is_synced = false;
                slot.retry_at = now;
            }
        }
    }

    fn refuse(&self, origin: &Origin) -> Option<Fate> {
        if self.is_frozen() {
            return Some(Fate::Frozen);
        }
        let slot = self.slots.iter().find(|slot| slot.origin == *origin);
        match slot {
            Some(slot) if slot.lives() => None,
            _ if self.slots.is_outlived(origin) => Some(Fate::Outlived),
            _ => Some(Fate::Unknown),
        }
    }

    fn apply(&mut self, holder: Holders, changes: &[PresenceChange], tally: &mut Tally) {
        for change in changes {
            for user in &change.joins {
                self.set(holder, (change.room, *user), true, tally);
            }
            for user in &change.leaves {
                self.set(holder, (change.room, *user), false, tally);
            }
        }
    }

    /// Nobody else is present by the node: who stays is not told anything.
    fn replace(&mut self, holder: Holders, changes: &[PresenceChange], tally: &mut Tally) {
        let mut present: HashSet<(RoomId, UserId)> = HashSet::new();
        for change in changes {
            present.extend(change.joins.iter().map(|user| (change.room, *user)));
            for user in &change.leaves {
                present.remove(&(change.room, *user));
            }
        }
        let mut unused = Tally::default();
        for place in self.members.of(holder) {
            if !present.contains(&place) {
                self.set(holder, place, false, &mut unused);
            }
        }
        for place in present {
            self.set(holder, place, true, &mut unused);
            tally.hash ^= mix(place.0, place.1);
            tally.joined += 1;
        }
    }

    fn set(
        &mut self,
        holder: Holders,
        (room, user): (RoomId, UserId),
        is_present: bool,
        tally: &mut Tally,
    ) {
        if self.members.set(room, user, holder, is_present) {
            tally.hash ^= mix(room, user);
            if is_present {
                tally.joined += 1;
            } else {
                tally.left += 1;
            }
        }
    }
}

/// What changes of a node's people have come to.
#[derive(Debug, Default)]
struct Tally {
    hash: u64,
    joined: usize,
    left: usize,
}

impl Tally {
    fn added(&self, before: usize) -> usize {
        (before + self.joined).saturating_sub(self.left)
    }
}
