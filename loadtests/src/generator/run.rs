//! What one run sends and what comes of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::connection::Connection;
use super::order::{Ran, RanShare, Run};
use crate::dialect::Dialect;
use crate::error::LoadError;
use crate::frames::Frame;
use crate::marker::Marker;
use crate::samples::Samples;
use crate::schedule::Turns;
use crate::sequence::{Seen, Sequence};

/// Bytes that may wait for a server that does not read; what would come on top is not sent.
const WAITING_MAX: usize = 4 * 1024 * 1024;

/// Different reasons that are told.
const REASONS_MAX: usize = 20;

/// A run that goes on.
pub(super) struct Running {
    pub(super) order: Run,
    pub(super) turns: Turns,
    /// The connection that sends, by room.
    pub(super) senders: Vec<Option<u32>>,
    /// Deliveries to members that have not come.
    pub(super) outstanding: u64,
    /// When the next visitor comes.
    pub(super) next_arrival_ns: u64,
    /// When visitors go: time, index and life, ascending.
    pub(super) departures: VecDeque<(u64, u32, u32)>,
    /// Visitors that are there.
    pub(super) visitors: u64,
    pub(super) arrivals: u64,
    pub(super) ran: Ran,
    slip: Samples,
    /// By server.
    shares: Vec<Share>,
    arrival: Samples,
}

/// What has come from one of the servers.
struct Share {
    latency: Samples,
    measured: u64,
    received: u64,
    lost: u64,
}

impl Share {
    fn new() -> Result<Self, LoadError> {
        Ok(Self {
            latency: Samples::new()?,
            measured: 0,
            received: 0,
            lost: 0,
        })
    }
}

impl Running {
    pub(super) fn new(
        order: Run,
        senders: Vec<Option<u32>>,
        members: u64,
        servers: usize,
    ) -> Result<Self, LoadError> {
        let schedule = order.schedule;
        let rooms = (0..).zip(&senders).filter(|(_, sender)| sender.is_some());
        let turns = Turns::new(schedule, rooms.map(|(room, _)| room).collect());
        let next_arrival_ns = match order.churn {
            Some(_) => schedule.start_ns,
            None => u64::MAX,
        };
        Ok(Self {
            turns,
            senders,
            outstanding: members * schedule.messages,
            next_arrival_ns,
            departures: VecDeque::new(),
            visitors: 0,
            arrivals: 0,
            ran: Ran::default(),
            slip: Samples::new()?,
            shares: (0..servers)
                .map(|_| Share::new())
                .collect::<Result<_, _>>()?,
            arrival: Samples::new()?,
            order,
        })
    }

    /// When something is to be done next.
    pub(super) fn next_ns(&self, now_ns: u64) -> u64 {
        let sending = self.turns.next_due().unwrap_or(u64::MAX);
        let going = self.departures.front().map_or(u64::MAX, |(time, ..)| *time);
        let end = self.order.schedule.end();
        let end = if now_ns < end {
            end
        } else {
            end + self.order.tail_ns
        };
        sending.min(going).min(self.next_arrival_ns).min(end)
    }

    /// Whether everything has come, or will not come any more.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        let end = self.order.schedule.end();
        let complete = self.outstanding == 0 && self.visitors == 0;
        now_ns >= end + self.order.tail_ns || now_ns >= end && complete
    }

    /// Puts a message into its sender's buffer.
    pub(super) fn send(
        &mut self,
        sender: &mut Connection,
        message: (u32, u64, u64),
        now_ns: u64,
        as_whom: (Dialect, &str, usize),
    ) {
        let (room, seq, due) = message;
        let (dialect, room_name, payload_bytes) = as_whom;
        if sender.waiting() > WAITING_MAX {
            self.ran.unsent += 1;
            return;
        }
        if sender.waits {
            self.ran.held_back += 1;
        }
        let run = self.order.number;
        let body = Marker { run, room, seq }.body(payload_bytes);
        let key = format!("{run}-{room}-{seq}");
        sender.feed(&dialect.publish(room_name, &body, &key, self.order.durable));
        self.ran.sent += 1;
        if due >= self.order.schedule.measured_from() {
            self.slip
                .add(Duration::from_nanos(now_ns.saturating_sub(due)));
        }
    }

    /// A message came.
    pub(super) fn deliver(
        &mut self,
        receiver: &mut Connection,
        marker: Marker,
        now_ns: u64,
        frame: &Frame<'_>,
        as_whom: (Dialect, usize),
    ) {
        if marker.run != self.order.number {
            return;
        }
        if marker.room != receiver.place.room {
            self.ran.strayed += 1;
            return;
        }
        if receiver.sampled {
            let (dialect, payload_bytes) = as_whom;
            self.ran.verified += 1;
            self.ran.corrupt += u64::from(!dialect.verify(frame, &marker.body(payload_bytes)));
        }
        if receiver.sequence.see(marker.seq) == Seen::Double {
            return;
        }
        let Some(share) = self.shares.get_mut(receiver.place.server as usize) else {
            return;
        };
        let schedule = &self.order.schedule;
        if schedule.measures(now_ns) {
            share.measured += 1;
        }
        let due = schedule.due(marker.room, marker.seq);
        if due >= schedule.measured_from() {
            share
                .latency
                .add(Duration::from_nanos(now_ns.saturating_sub(due)));
        }
        if receiver.purpose == super::connection::Purpose::Member {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    /// A visitor is in its room.
    pub(super) fn arrived(&mut self, begun_ns: u64, now_ns: u64) {
        self.arrival
            .add(Duration::from_nanos(now_ns.saturating_sub(begun_ns)));
    }

    /// Counts what a receiver has got when it goes, or when the run is over.
    pub(super) fn close_account(&mut self, server: u32, sequence: &Sequence, end: u64) {
        if let Some(share) = self.shares.get_mut(server as usize) {
            share.received += sequence.received;
            share.lost += sequence.lost(end);
        }
        self.ran.doubled += sequence.doubled;
        self.ran.disordered += sequence.disordered;
    }

    /// Something went wrong, and why.
    pub(super) fn reason(&mut self, reason: String) {
        note(&mut self.ran.reasons, reason);
    }

    pub(super) fn finish(mut self) -> Ran {
        self.ran.slip = self.slip.counts();
        let shares = self.shares.iter().map(|share| RanShare {
            latency: share.latency.counts(),
            measured: share.measured,
            received: share.received,
            lost: share.lost,
        });
        self.ran.shares = shares.collect();
        self.ran.arrival = self.arrival.counts();
        self.ran
    }
}

/// Counts a reason; of too many different ones the rest count as "others".
pub(super) fn note(reasons: &mut std::collections::BTreeMap<String, u64>, mut reason: String) {
    if reasons.len() >= REASONS_MAX && !reasons.contains_key(&reason) {
        "others".clone_into(&mut reason);
    }
    *reasons.entry(reason).or_default() += 1;
}
