//! What is known of one room.

use std::collections::HashMap;

use super::{Stamp, Told};
use crate::cache::progress::Progress;
use crate::cache::version::Version;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::UserId;
use crate::protocol::touched::{Parts, Touched};

/// Members whose changes are remembered one by one.
const MEMBERS_MAX: usize = 256;

/// A room that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    /// From when on.
    pub(super) since: Stamp,
    /// When a load last had to do with it.
    pub(super) used_ms: u64,
    /// The log's life, as far as is known.
    pub(super) epoch: Option<Epoch>,
    /// Since when that is so.
    epoch_at: Stamp,
    /// Up to where all was known when it was last to be compared.
    pub(super) asked: Seq,
    /// Copies that were built from less do not hold: what was before the base may not have been told.
    pub(super) floor: Seq,
    /// What a load has read of it first, and when that was known.
    pub(super) base: Option<(Version, Stamp)>,
    /// Up to where all is known, from the base on.
    pub(super) progress: Progress,
    pub(super) head_told: Told,
    pub(super) earlier: Told,
    pub(super) members: Told,
    pub(super) settings: Told,
    any_membership: Told,
    memberships: HashMap<UserId, Told>,
}

impl Followed {
    pub(super) fn new(since: Stamp) -> Self {
        Self {
            since,
            used_ms: 0,
            epoch: None,
            epoch_at: since,
            asked: 0,
            floor: 0,
            base: None,
            progress: Progress::default(),
            head_told: Told::default(),
            earlier: Told::default(),
            members: Told::default(),
            settings: Told::default(),
            any_membership: Told::default(),
            memberships: HashMap::new(),
        }
    }

    /// A load that began since all is told has read this; `now` is a stamp of its own.
    pub(super) fn read(&mut self, version: Version, began: Stamp, all_at: Stamp, now: Stamp) {
        if self.epoch.is_some_and(|known| known != version.epoch) {
            // A load of before may have read the log that is no more.
            if began < self.epoch_at {
                return;
            }
            self.restart(now, Some(version.epoch));
            // Of this log nothing else was read before.
            self.epoch_at = began;
        }
        self.epoch = Some(version.epoch);
        if self.base.is_none_or(|(_, at)| at < all_at) {
            self.base = Some((version, now));
            self.floor = version.seq;
            // What was told while it was read may go on from here.
            self.progress.told(0, version.seq);
        }
    }

    /// It is another log from now on, or one that has lost events: numbers mean something else.
    pub(super) fn restart(&mut self, at: Stamp, epoch: Option<Epoch>) {
        self.epoch = epoch;
        self.epoch_at = at;
        self.base = None;
        self.floor = 0;
        self.progress = Progress::default();
        self.doubt(at);
        self.memberships.clear();
        for told in self.all() {
            told.seq = 0;
        }
    }

    pub(super) fn touched(&mut self, touched: &Touched, at: Stamp) {
        let is_other = touched
            .epoch
            .is_some_and(|told| self.epoch.is_some_and(|known| known != told));
        if is_other {
            self.restart(at, touched.epoch);
            return;
        }
        self.epoch = self.epoch.or(touched.epoch);
        let seq = touched.seq;
        self.tell(touched.parts, at, seq);
        for &member in &touched.members {
            self.membership_changed(member, at, seq);
        }
        let first = if touched.parts.has(Parts::ALL) {
            0
        } else {
            touched.first
        };
        if let Some(furthest) = self.progress.told(first, seq) {
            self.tell(Parts::ALL, at, furthest);
            self.progress.told(0, furthest);
        }
    }

    fn tell(&mut self, parts: Parts, at: Stamp, seq: Seq) {
        self.head_told.event(at, seq);
        for (part, told) in [
            (Parts::EARLIER, &mut self.earlier),
            (Parts::MEMBERS, &mut self.members),
            (Parts::ROOM, &mut self.settings),
            (Parts::MEMBERSHIPS, &mut self.any_membership),
        ] {
            if parts.has(part) {
                told.event(at, seq);
            }
        }
    }

    fn membership_changed(&mut self, member: UserId, at: Stamp, seq: Seq) {
        if self.memberships.len() >= MEMBERS_MAX && !self.memberships.contains_key(&member) {
            // What those who are forgotten were told, all are told.
            for (_, told) in self.memberships.drain() {
                self.any_membership.at = self.any_membership.at.max(told.at);
                self.any_membership.bare_at = self.any_membership.bare_at.max(told.bare_at);
                self.any_membership.seq = self.any_membership.seq.max(told.seq);
            }
        }
        self.memberships.entry(member).or_default().event(at, seq);
    }

    /// What was told of a user's membership.
    pub(super) fn membership(&self, user: UserId) -> Told {
        let own = self.memberships.get(&user).copied().unwrap_or_default();
        let any = self.any_membership;
        Told {
            at: own.at.max(any.at),
            bare_at: own.bare_at.max(any.bare_at),
            seq: own.seq.max(any.seq),
        }
    }

    /// Nothing of before counts.
    pub(super) fn doubt(&mut self, at: Stamp) {
        for told in self.all() {
            told.bare(at);
        }
    }

    /// What was told of each of its parts.
    fn all(&mut self) -> [&mut Told; 5] {
        [
            &mut self.head_told,
            &mut self.earlier,
            &mut self.members,
            &mut self.settings,
            &mut self.any_membership,
        ]
    }
}
