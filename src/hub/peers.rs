//! The other nodes, as their leases tell of them. Pure: it is fed with what stands in the table
//! `nodes` and with Postgres's time, the only clock that counts.
//!
//! A node lives until its lease has run out. After an *outage* of Postgres, that is, when the table
//! could not be read for a while, nobody is declared dead before a full lease has passed: nobody
//! could renew theirs. A clock that jumps, or another server that takes over with another clock,
//! is taken for an outage, too, and a lease that ends further ahead than a lease is long counts from
//! when it was first seen.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bus::BusState;
use crate::store::nodes::{NodeRow, NodeRows, NodeState};

/// What happened among the other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// A node lives that did not, or not in this life.
    Joined(PeerLife),
    /// A node's lease has run out, or another life of it has begun: this one is over.
    Died(PeerLife),
    /// A node has stopped in order.
    Left(PeerLife),
}

/// A node in one of its lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerLife {
    /// Its name.
    pub node: Box<str>,
    /// Which of its lives.
    pub incarnation: u64,
}

/// Another node that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Which.
    pub life: PeerLife,
    /// Where clients find it.
    pub address: Box<str>,
    /// What it is doing.
    pub state: NodeState,
    /// Which way it hears of events; none if this version does not know what it says.
    pub bus: Option<BusState>,
}

/// What is thought of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// It lives.
    Living,
    /// Its lease had run out when it was first seen, in an outage's wake: it may live.
    Unheard,
    /// It is dead, or has left.
    Gone,
}

#[derive(Debug)]
struct Known {
    row: NodeRow,
    /// When the row was first seen to be as it is, Postgres's time.
    changed_at_us: i64,
    judgement: Judgement,
    /// Whether the last look showed it.
    is_listed: bool,
}

impl Known {
    fn life(&self) -> PeerLife {
        PeerLife {
            node: self.row.id.as_str().into(),
            incarnation: self.row.incarnation,
        }
    }

    fn lease_us(&self) -> i64 {
        self.row.lease_ms.saturating_mul(1000)
    }

    /// When its lease runs out.
    fn expires_us(&self) -> i64 {
        let seen = self.changed_at_us.saturating_add(self.lease_us());
        self.row.lease_until_us.min(seen)
    }
}

/// The other nodes.
#[derive(Debug)]
pub(super) struct Peers {
    me: Box<str>,
    /// A longer time without a look is an outage, microseconds.
    outage_us: i64,
    known: BTreeMap<Box<str>, Known>,
    last_look_us: Option<i64>,
    /// A look has failed since the last that did not.
    has_failed: bool,
    /// When the last outage had ended, Postgres's time.
    outage_ended_us: i64,
}

/// How many nodes are thought of how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PeerCounts {
    pub(super) living: usize,
    pub(super) unheard: usize,
    pub(super) gone: usize,
}

impl Peers {
    /// The others of the node `me`, whose leases are so long.
    pub(super) fn new(me: &str, lease: Duration) -> Self {
        let lease_us = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        Self {
            me: me.into(),
            outage_us: lease_us / 2,
            known: BTreeMap::new(),
            last_look_us: None,
            has_failed: false,
            outage_ended_us: 0,
        }
    }

    /// The table could not be read.
    pub(super) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// The table was read: what has happened, by node.
    pub(super) fn read(&mut self, seen: NodeRows) -> Vec<PeerEvent> {
        let now_us = seen.now_us;
        self.note_outage(now_us);
        let mut events = Vec::new();
        for known in self.known.values_mut() {
            known.is_listed = false;
        }
        for row in seen.rows {
            if *row.id != *self.me {
                self.take(row, now_us, &mut events);
            }
        }
        // Also those whose rows are gone: their leases end all the same.
        for known in self.known.values_mut() {
            judge(known, now_us, self.outage_ended_us, &mut events);
        }
        self.known
            .retain(|_, known| known.is_listed || known.judgement != Judgement::Gone);
        events
    }

    /// Whether an outage has ended with the last look.
    pub(super) fn is_after_outage(&self) -> bool {
        self.last_look_us == Some(self.outage_ended_us)
    }

    fn note_outage(&mut self, now_us: i64) {
        let is_outage = std::mem::take(&mut self.has_failed)
            || self
                .last_look_us
                .is_none_or(|last| now_us < last || now_us.saturating_sub(last) > self.outage_us);
        if is_outage {
            self.outage_ended_us = now_us;
        }
        self.last_look_us = Some(now_us);
    }

    fn take(&mut self, row: NodeRow, now_us: i64, events: &mut Vec<PeerEvent>) {
        let Some(known) = self.known.get_mut(&*row.id) else {
            let known = Known {
                changed_at_us: now_us,
                judgement: Judgement::Unheard,
                is_listed: true,
                row,
            };
            self.known.insert(known.row.id.as_str().into(), known);
            return;
        };
        if row.incarnation != known.row.incarnation {
            if known.judgement == Judgement::Living {
                events.push(PeerEvent::Died(known.life()));
            }
            known.judgement = Judgement::Unheard;
            known.changed_at_us = now_us;
        } else if row.lease_until_us != known.row.lease_until_us || now_us < known.changed_at_us {
            known.changed_at_us = now_us;
        }
        known.row = row;
        known.is_listed = true;
    }

    /// Those that live, by name.
    pub(super) fn living(&self) -> Vec<Peer> {
        let living = self.known.values();
        living
            .filter(|known| known.judgement == Judgement::Living)
            .map(|known| Peer {
                life: known.life(),
                address: known.row.address.as_str().into(),
                state: known.row.state,
                bus: BusState::parse(&known.row.bus_state),
            })
            .collect()
    }

    /// How many there are.
    pub(super) fn counts(&self) -> PeerCounts {
        let mut counts = PeerCounts::default();
        for known in self.known.values() {
            match known.judgement {
                Judgement::Living => counts.living += 1,
                Judgement::Unheard => counts.unheard += 1,
                Judgement::Gone => counts.gone += 1,
            }
        }
        counts
    }

    /// Whether events must be told by way of Postgres: another node may live, and not all have
    /// another way.
    pub(super) fn need_notices(&self, mine: BusState) -> bool {
        let mut others = self
            .known
            .values()
            .filter(|known| known.judgement != Judgement::Gone)
            .peekable();
        let is_alone = others.peek().is_none();
        let redis = Some(BusState::Redis);
        !is_alone
            && (mine != BusState::Redis
                || others.any(|known| BusState::parse(&known.row.bus_state) != redis))
    }

    /// How long after the last look the next lease of a living node runs out, unless it is renewed.
    pub(super) fn next_expiry(&self) -> Option<Duration> {
        let now_us = self.last_look_us?;
        let living = self.known.values();
        living
            .filter(|known| known.judgement == Judgement::Living)
            .map(|known| {
                let grace_us = self.outage_ended_us.saturating_add(known.lease_us());
                let left_us = known.expires_us().max(grace_us).saturating_sub(now_us);
                Duration::from_micros(u64::try_from(left_us).unwrap_or_default())
            })
            .min()
    }
}

fn judge(known: &mut Known, now_us: i64, outage_ended_us: i64, events: &mut Vec<PeerEvent>) {
    let was_living = known.judgement == Judgement::Living;
    if known.row.state == NodeState::Stopped {
        if was_living {
            events.push(PeerEvent::Left(known.life()));
        }
        known.judgement = Judgement::Gone;
    } else if now_us < known.expires_us() {
        if !was_living {
            events.push(PeerEvent::Joined(known.life()));
        }
        known.judgement = Judgement::Living;
    } else if now_us >= outage_ended_us.saturating_add(known.lease_us()) {
        if was_living {
            events.push(PeerEvent::Died(known.life()));
        }
        known.judgement = Judgement::Gone;
    }
}

#[cfg(test)]
mod tests;
