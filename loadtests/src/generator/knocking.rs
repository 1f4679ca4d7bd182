//! Connections that are opened only to see how long it takes.

use std::time::Duration;

use super::order::{Connect, Connected, Pace};
use crate::error::LoadError;
use crate::samples::Samples;

/// How long those under way at the end are waited for.
const TAIL_NS: u64 = 2_000_000_000;

pub(super) struct Knocking {
    pub(super) order: Connect,
    pub(super) under_way: usize,
    begun: u64,
    pub(super) connected: Connected,
    slip: Samples,
    upgraded: Samples,
    replied: Samples,
}

impl Knocking {
    pub(super) fn new(order: Connect) -> Result<Self, LoadError> {
        Ok(Self {
            order,
            under_way: 0,
            begun: 0,
            connected: Connected::default(),
            slip: Samples::new()?,
            upgraded: Samples::new()?,
            replied: Samples::new()?,
        })
    }

    /// When something is to be done next.
    pub(super) fn next_ns(&self, now_ns: u64) -> u64 {
        let Connect {
            start_ns,
            end_ns,
            pace,
            ..
        } = self.order;
        if now_ns < start_ns {
            return start_ns;
        }
        match pace {
            Pace::Open { .. } if self.due() < end_ns => self.due(),
            _ if now_ns < end_ns => end_ns,
            _ => end_ns + TAIL_NS,
        }
    }

    /// The time from which the next connection counts, if it is to be begun now.
    pub(super) fn next_to_begin(&mut self, now_ns: u64) -> Option<u64> {
        let Connect {
            start_ns,
            end_ns,
            pace,
            ..
        } = self.order;
        if now_ns < start_ns || now_ns >= end_ns {
            return None;
        }
        match pace {
            Pace::Closed { at_once } => (self.under_way < at_once).then(|| {
                self.begin();
                now_ns
            }),
            Pace::Open { at_once, .. } => loop {
                let due = self.due();
                if due > now_ns || due >= end_ns {
                    return None;
                }
                if self.under_way < at_once {
                    self.begin();
                    self.slip.add(Duration::from_nanos(now_ns - due));
                    return Some(due);
                }
                self.begun += 1;
                self.connected.not_begun += 1;
            },
        }
    }

    /// The handshake was answered.
    pub(super) fn upgraded(&mut self, begun_ns: u64, now_ns: u64) {
        self.upgraded
            .add(Duration::from_nanos(now_ns.saturating_sub(begun_ns)));
    }

    /// The first reply came.
    pub(super) fn replied(&mut self, begun_ns: u64, now_ns: u64) {
        self.replied
            .add(Duration::from_nanos(now_ns.saturating_sub(begun_ns)));
    }

    /// A connection has done what it was there for.
    pub(super) fn done(&mut self, now_ns: u64) {
        self.under_way -= 1;
        if now_ns < self.order.end_ns {
            self.connected.opened += 1;
        }
    }

    pub(super) fn failed(&mut self, reason: String) {
        self.under_way -= 1;
        self.connected.failed += 1;
        super::run::note(&mut self.connected.reasons, reason);
    }

    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        let end = self.order.end_ns;
        now_ns >= end + TAIL_NS || now_ns >= end && self.under_way == 0
    }

    pub(super) fn finish(mut self) -> Connected {
        self.connected.slip = self.slip.counts();
        self.connected.upgraded = self.upgraded.counts();
        self.connected.replied = self.replied.counts();
        self.connected
    }

    fn begin(&mut self) {
        self.begun += 1;
        self.under_way += 1;
    }

    /// When the next one is due at a fixed rate.
    fn due(&self) -> u64 {
        match self.order.pace {
            Pace::Open { interval_ns, .. } => self.order.start_ns + self.begun * interval_ns,
            Pace::Closed { .. } => u64::MAX,
        }
    }
}
