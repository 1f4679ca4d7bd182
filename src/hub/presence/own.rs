//! Who is present by this node, and what it has told the others of that. Pure.
//!
//! Somebody whose last connection was lost, and did not say that it goes, *lingers*: they are
//! present for a while longer, because most come back. What the others are told is numbered, and
//! the last of it is remembered, for those who missed some.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::protocol::id::{RoomId, UserId};
use crate::protocol::presence::{PresenceChange, PresenceDigest, PresencePage, USERS_MAX, mix};

/// Users named by what is remembered of what was said: as many as one answer may name.
const LOGGED_MAX: usize = USERS_MAX;

/// How a connection's presence in a room has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has come.
    Arrived,
    /// It has left, and said so, or was made to.
    Left,
    /// It was lost: its user may be back in a moment.
    Lost,
}

/// Somebody in a room, by this node.
#[derive(Debug, Default)]
struct Devices {
    /// A departure may overtake its arrival when a mailbox is full: this is below zero then.
    connections: i64,
    lingers_until: Option<Instant>,
}

impl Devices {
    fn is_present(&self) -> bool {
        self.connections > 0 || self.lingers_until.is_some()
    }
}

/// This node's part of a shard.
#[derive(Debug)]
pub(super) struct Own {
    grace: Duration,
    rooms: BTreeMap<RoomId, HashMap<UserId, Devices>>,
    /// In the order in which they end.
    lingering: VecDeque<(Instant, RoomId, UserId)>,
    /// What the others have not been told; and whether they take the user for present.
    unsaid: HashMap<RoomId, HashMap<UserId, bool>>,
    digest: PresenceDigest,
    /// What was said last, with its version; `logged` users are named in it.
    log: VecDeque<(u64, Vec<PresenceChange>)>,
    logged: usize,
}

impl Own {
    /// Nobody, so far. `first_version` is greater than all of an earlier tracker of this node.
    pub(super) fn new(grace: Duration, first_version: u64) -> Self {
        Self {
            grace,
            rooms: BTreeMap::new(),
            lingering: VecDeque::new(),
            unsaid: HashMap::new(),
            digest: PresenceDigest {
                version: first_version,
                hash: 0,
            },
            log: VecDeque::new(),
            logged: 0,
        }
    }

    /// A connection of a user has come or gone. Whether the user is present, if that has changed.
    pub(super) fn shift(
        &mut self,
        room: RoomId,
        user: UserId,
        step: Step,
        now: Instant,
    ) -> Option<bool> {
        let grace = self.grace;
        let mut ends = None;
        let changed = self.change(room, user, |devices| match step {
            Step::Arrived => {
                devices.connections += 1;
                devices.lingers_until = None;
            }
            Step::Left => {
                devices.connections -= 1;
                if devices.connections <= 0 {
                    devices.lingers_until = None;
                }
            }
            Step::Lost => {
                devices.connections -= 1;
                if devices.connections == 0 && !grace.is_zero() {
                    ends = Some(now + grace);
                    devices.lingers_until = ends;
                }
            }
        });
        if let Some(ends) = ends {
            self.lingering.push_back((ends, room, user));
        }
        changed
    }

    /// So many connections of a user are in a room, as is found out now.
    pub(super) fn announce(
        &mut self,
        room: RoomId,
        user: UserId,
        connections: usize,
    ) -> Option<bool> {
        let connections = i64::try_from(connections).unwrap_or(i64::MAX);
        self.change(room, user, |devices| devices.connections += connections)
    }

    /// Ends the lingering of those whose time is over. Who they are.
    pub(super) fn end_lingering(&mut self, now: Instant) -> Vec<(RoomId, UserId)> {
        let mut ended = Vec::new();
        while let Some((ends, room, user)) = self.lingering.front().copied()
            && ends <= now
        {
            self.lingering.pop_front();
            let changed = self.change(room, user, |devices| {
                // They may have come back and been lost again since.
                devices.lingers_until.take_if(|it| *it == ends);
            });
            if changed == Some(false) {
                ended.push((room, user));
            }
        }
        ended
    }

    /// When the next one's lingering may end.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.lingering.front().map(|(ends, _, _)| *ends)
    }

    fn change(
        &mut self,
        room: RoomId,
        user: UserId,
        change: impl FnOnce(&mut Devices),
    ) -> Option<bool> {
        let users = self.rooms.entry(room).or_default();
        let devices = users.entry(user).or_default();
        let was = devices.is_present();
        change(devices);
        let is = devices.is_present();
        if !is && devices.connections == 0 {
            users.remove(&user);
            if users.is_empty() {
                self.rooms.remove(&room);
            }
        }
        if was == is {
            return None;
        }
        let unsaid = self.unsaid.entry(room).or_default();
        // Who comes and goes between two diffs is in neither.
        if unsaid.remove(&user).is_none() {
            unsaid.insert(user, was);
        }
        if unsaid.is_empty() {
            self.unsaid.remove(&room);
        }
        Some(is)
    }

    /// Whether there is something to tell the others.
    pub(super) fn has_news(&self) -> bool {
        !self.unsaid.is_empty()
    }

    /// What to tell the others: diffs, each with its version, of at most `max` users.
    pub(super) fn say(&mut self, max: usize) -> Vec<(u64, Vec<PresenceChange>)> {
        let mut said = Vec::new();
        let mut diff: Vec<PresenceChange> = Vec::new();
        let mut named = 0;
        for (room, users) in std::mem::take(&mut self.unsaid) {
            let mut change = nothing(room);
            for (user, was) in users {
                self.digest.hash ^= mix(room, user);
                let side = if was {
                    &mut change.leaves
                } else {
                    &mut change.joins
                };
                side.push(user);
                named += 1;
                if named >= max {
                    diff.push(std::mem::replace(&mut change, nothing(room)));
                    said.push(std::mem::take(&mut diff));
                    named = 0;
                }
            }
            if !change.is_empty() {
                diff.push(change);
            }
        }
        if !diff.is_empty() {
            said.push(diff);
        }
        said.into_iter().map(|diff| self.number(diff)).collect()
    }

    fn number(&mut self, diff: Vec<PresenceChange>) -> (u64, Vec<PresenceChange>) {
        self.digest.version += 1;
        self.logged += count(&diff);
        self.log.push_back((self.digest.version, diff.clone()));
        while self.logged > LOGGED_MAX
            && let Some((_, oldest)) = self.log.pop_front()
        {
            self.logged -= count(&oldest);
        }
        (self.digest.version, diff)
    }

    /// Where it stands; of all that was said.
    pub(super) fn digest(&self) -> PresenceDigest {
        self.digest
    }

    /// The answer to another node; of all that was said, so everything has to be said before.
    pub(super) fn page(
        &self,
        since: Option<u64>,
        after: Option<(RoomId, UserId)>,
        max: usize,
    ) -> PresencePage {
        if let Some(changes) = since.and_then(|since| self.since(since)) {
            return PresencePage {
                digest: self.digest,
                is_whole: false,
                changes,
                next: None,
            };
        }
        let (changes, next) = self.everybody(after, max);
        PresencePage {
            digest: self.digest,
            is_whole: true,
            changes,
            next,
        }
    }

    /// What was said after a version, if all of that is remembered.
    fn since(&self, version: u64) -> Option<Vec<PresenceChange>> {
        let oldest = self.log.front().map_or(self.digest.version + 1, |it| it.0);
        let is_known = version + 1 >= oldest && version <= self.digest.version;
        is_known.then(|| {
            let later = self.log.iter().filter(|(it, _)| *it > version);
            later.flat_map(|(_, diff)| diff.iter().cloned()).collect()
        })
    }

    fn everybody(
        &self,
        after: Option<(RoomId, UserId)>,
        max: usize,
    ) -> (Vec<PresenceChange>, Option<(RoomId, UserId)>) {
        let mut changes = Vec::new();
        let mut left = max.max(1);
        let begins = after.map_or(Bound::Unbounded, |(room, _)| Bound::Included(room));
        for (room, users) in self.rooms.range((begins, Bound::Unbounded)) {
            let behind = after.filter(|(it, _)| it == room).map(|(_, user)| user);
            let present = users.iter().filter(|(user, devices)| {
                devices.is_present() && behind.is_none_or(|behind| **user > behind)
            });
            let mut joins: Vec<_> = present.map(|(user, _)| *user).collect();
            joins.sort_unstable();
            let is_cut = joins.len() > left;
            joins.truncate(left);
            left -= joins.len();
            let next = joins.last().map(|user| (*room, *user));
            if !joins.is_empty() {
                changes.push(PresenceChange {
                    joins,
                    ..nothing(*room)
                });
            }
            if is_cut || left == 0 {
                return (changes, next);
            }
        }
        (changes, None)
    }
}

fn nothing(room: RoomId) -> PresenceChange {
    PresenceChange {
        room,
        joins: Vec::new(),
        leaves: Vec::new(),
    }
}

fn count(diff: &[PresenceChange]) -> usize {
    diff.iter().map(PresenceChange::len).sum()
}
