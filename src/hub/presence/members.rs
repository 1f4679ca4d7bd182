//! Who is present in the rooms of a shard, by whichever nodes, and what the rooms here have not
//! been told of that. Pure.
//!
//! A change costs the same in a room of ten and of ten thousand. A room with more people than lists
//! name is *counted*: it is told their number alone, and not as often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::protocol::id::{RoomId, UserId};

/// By which nodes somebody is present: a bit for each, the lowest for this one.
pub(super) type Holders = u64;

/// This node.
pub(super) const OWN: Holders = 1;

/// What a room is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) room_id: RoomId,
    /// Who is here now and was not.
    pub(crate) joins: Vec<UserId>,
    /// Who was here and is not any more.
    pub(crate) leaves: Vec<UserId>,
    /// How many are here.
    pub(crate) count: u64,
    /// What was told before does not count: `joins` is everybody who is here.
    pub(crate) is_whole: bool,
    /// Nobody is named, because too many are here.
    pub(crate) is_counted: bool,
}

/// How rooms are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// With more people a room is counted.
    pub(crate) list_max: usize,
    /// A room that is counted is told no more often.
    pub(crate) count_every: Duration,
}

/// What a room has yet to be told.
#[derive(Debug, Default)]
struct News {
    /// Those who came or went; and whether somebody who asked has seen that already: they are told of
    /// whatever becomes of it, even if in the end it is as it was.
    users: HashMap<UserId, bool>,
    /// It is told everybody.
    is_whole: bool,
    /// It is told something even if nobody came or went.
    is_due: bool,
}

#[derive(Debug)]
pub(super) struct Members {
    manner: Manner,
    rooms: HashMap<RoomId, HashMap<UserId, Holders>>,
    news: HashMap<RoomId, News>,
    /// Rooms that are counted, and when they were last told.
    counted: HashMap<RoomId, Instant>,
    len: usize,
}

impl Members {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            rooms: HashMap::new(),
            news: HashMap::new(),
            counted: HashMap::new(),
            len: 0,
        }
    }

    /// A user is present by a node, or no longer. False if that is known.
    pub(super) fn set(
        &mut self,
        room: RoomId,
        user: UserId,
        holder: Holders,
        is_present: bool,
    ) -> bool {
        if !is_present && !self.rooms.contains_key(&room) {
            return false;
        }
        let users = self.rooms.entry(room).or_default();
        let holders = users.entry(user).or_default();
        let before = *holders;
        if is_present {
            *holders |= holder;
        } else {
            *holders &= !holder;
        }
        let after = *holders;
        if before == 0 {
            self.len += 1;
        }
        if after == 0 {
            self.len -= 1;
            users.remove(&user);
            if users.is_empty() {
                self.rooms.remove(&room);
            }
        }
        if (before == 0) != (after == 0) {
            self.note(room, user);
        }
        before != after
    }

    fn note(&mut self, room: RoomId, user: UserId) {
        let news = self.news.entry(room).or_default();
        if news.is_whole || self.counted.contains_key(&room) {
            news.is_due = true;
            return;
        }
        // Who comes and goes again is in no diff, unless somebody knows of it.
        if news.users.get(&user) == Some(&false) {
            news.users.remove(&user);
        } else {
            news.users.entry(user).or_insert(false);
        }
        if news.users.len() > self.manner.list_max {
            // A list is shorter than what has changed; or there is none any more.
            news.users = HashMap::new();
            news.is_whole = true;
        }
    }

    /// Those who are present by a node: for each room and user.
    pub(super) fn of(&self, holder: Holders) -> Vec<(RoomId, UserId)> {
        let users = |(room, users): (&RoomId, &HashMap<UserId, Holders>)| {
            let room = *room;
            let those = users.iter().filter(|(_, holders)| **holders & holder != 0);
            those.map(|(user, _)| (room, *user)).collect::<Vec<_>>()
        };
        self.rooms.iter().flat_map(users).collect()
    }

    /// The room may not know who is here: it is told everybody.
    pub(super) fn tell_whole(&mut self, room: RoomId) {
        if self.rooms.contains_key(&room) {
            let news = self.news.entry(room).or_default();
            news.users = HashMap::new();
            news.is_whole = true;
            news.is_due = true;
        }
    }

    /// All rooms are told something, even if nobody comes or goes.
    pub(super) fn tell_all(&mut self) {
        for room in self.rooms.keys() {
            self.news.entry(*room).or_default().is_due = true;
        }
    }

    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Takes what has changed; of rooms that are counted, only when their time has come.
    pub(super) fn take_diffs(&mut self, now: Instant) -> Vec<Diff> {
        let every = self.manner.count_every;
        let counted = &self.counted;
        let is_due = |room: &RoomId, _: &mut News| {
            let told = counted.get(room);
            told.is_none_or(|told| now.saturating_duration_since(*told) >= every)
        };
        let due: Vec<_> = self.news.extract_if(is_due).collect();
        due.into_iter()
            .filter_map(|(room, news)| self.diff(room, news, now))
            .collect()
    }

    fn diff(&mut self, room_id: RoomId, news: News, now: Instant) -> Option<Diff> {
        let was_counted = self.counted.contains_key(&room_id);
        let is_counted = self.is_counted(room_id);
        if is_counted {
            self.counted.insert(room_id, now);
        } else {
            self.counted.remove(&room_id);
        }
        let users = self.rooms.get(&room_id);
        let mut diff = Diff {
            room_id,
            joins: Vec::new(),
            leaves: Vec::new(),
            count: users.map_or(0, |users| users.len() as u64),
            is_whole: news.is_whole || was_counted,
            is_counted,
        };
        if is_counted {
            diff.is_whole = news.is_whole && was_counted;
            return Some(diff);
        }
        if diff.is_whole {
            let everybody = users.into_iter().flatten();
            diff.joins = everybody.map(|(user, _)| *user).collect();
            diff.joins.sort_unstable();
            return Some(diff);
        }
        for user in news.users.into_keys() {
            let is_here = users.is_some_and(|users| users.contains_key(&user));
            let side = if is_here {
                &mut diff.joins
            } else {
                &mut diff.leaves
            };
            side.push(user);
        }
        let is_empty = diff.joins.is_empty() && diff.leaves.is_empty();
        (news.is_due || !is_empty).then_some(diff)
    }

    /// Whether a room is counted. One that is becomes listed only when clearly fewer are there:
    /// otherwise one person who comes and goes would make it change all the time.
    fn is_counted(&self, room: RoomId) -> bool {
        let count = self.rooms.get(&room).map_or(0, HashMap::len);
        let max = self.manner.list_max;
        count > max || (self.counted.contains_key(&room) && count > max - max / 8)
    }

    /// Somebody asks who is in a room, and is told of what changes from there on.
    pub(super) fn is_asked(&mut self, room: RoomId) {
        if let Some(news) = self.news.get_mut(&room) {
            news.users.values_mut().for_each(|is_seen| *is_seen = true);
        }
    }

    /// How many are in a room, and who, if it is not counted.
    pub(super) fn who(&self, room: RoomId) -> (u64, Option<Vec<UserId>>) {
        let users = self.rooms.get(&room);
        let count = users.map_or(0, |users| users.len() as u64);
        if self.is_counted(room) {
            return (count, None);
        }
        let mut here: Vec<_> = users.into_iter().flatten().map(|it| *it.0).collect();
        here.sort_unstable();
        (count, Some(here))
    }

    /// How many users are in rooms; each once for every room.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
