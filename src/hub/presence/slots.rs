//! The other nodes as a shard knows them: how far it has heard each. Pure.

use std::time::Instant;

use super::members::{Holders, OWN};
use crate::protocol::origin::Origin;
use crate::protocol::presence::PresenceDigest;

/// Another node in one of its lives.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) origin: Origin,
    /// The bit by which its people are known.
    pub(super) holder: Holders,
    /// How far it was heard; none before it was first asked.
    pub(super) digest: Option<PresenceDigest>,
    /// The greatest version of which was heard.
    pub(super) latest: u64,
    /// How many people it has.
    pub(super) len: usize,
    pub(super) is_pulling: bool,
    /// What is known is what it said last, as far as is known.
    pub(super) is_synced: bool,
    /// It hears nothing by the bus, so nothing is heard of it.
    pub(super) is_cut: bool,
    /// It is not asked before.
    pub(super) retry_at: Instant,
    /// When its people are taken away.
    pub(super) gone_at: Option<Instant>,
}

impl Slot {
    pub(super) fn lives(&self) -> bool {
        self.gone_at.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
}

impl Slots {
    /// A place for another node; none if 63 are known, those among them whose people are still to
    /// be taken away.
    pub(super) fn add(&mut self, origin: Origin, now: Instant) -> Option<&mut Slot> {
        let used = self.all.iter().fold(OWN, |used, slot| used | slot.holder);
        let place = (!used).trailing_zeros();
        let holder = OWN.checked_shl(place).filter(|holder| *holder != 0)?;
        self.all.push(Slot {
            origin,
            holder,
            digest: None,
            latest: 0,
            len: 0,
            is_pulling: false,
            is_synced: false,
            is_cut: false,
            retry_at: now,
            gone_at: None,
        });
        self.all.last_mut()
    }

    pub(super) fn get_mut(&mut self, origin: &Origin) -> Option<&mut Slot> {
        self.all.iter_mut().find(|slot| slot.origin == *origin)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.all.iter_mut()
    }

    /// Takes those out whose people are to be taken away now.
    pub(super) fn take_gone(&mut self, now: Instant) -> Vec<Slot> {
        let is_due = |slot: &mut Slot| slot.gone_at.is_some_and(|at| at <= now);
        self.all.extract_if(.., is_due).collect()
    }

    /// Whether this is an earlier life of a node that is known in a later one.
    pub(super) fn is_outlived(&self, origin: &Origin) -> bool {
        self.all.iter().any(|slot| {
            slot.origin.node == origin.node && slot.origin.incarnation > origin.incarnation
        })
    }
}
