//! The writer: an actor around the queue, with two lanes to Postgres.
//!
//! The *main* lane writes batch after batch. When a room's head is locked by somebody else, that
//! room's entries go to the *patient* lane, which has a connection of its own and tries it again
//! and again, while the main lane goes on with the other rooms.

mod lanes;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use self::lanes::{Lane, LaneName};
use super::entry::{Entry, Outcome, unavailable};
use super::message_changes::ChangeLimits;
use super::queue::{Batch, BatchLimits, Queue};
use super::settled::{committed, event, shared_fate};
use super::write::{Fate, Patience, Written, earlier_failed, write};
use super::{Slot, Work};
use crate::config;
use crate::fault;
use crate::hub::delivery::Delivery;
use crate::hub::metrics::{JOURNAL_BATCH_EVENTS, JOURNAL_FLIGHT_SECONDS, JOURNAL_OUTCOMES};
use crate::hub::supervision::Guard;
use crate::protocol::error::ErrorCode;
use crate::protocol::id::{RoomId, UserId};
use crate::store::SessionOptions;

/// How many works are taken from the inbox at once.
const INBOX_BATCH: usize = 256;

/// What a writer needs to know.
#[derive(Debug, Clone)]
pub(crate) struct WriterSettings {
    /// Where Postgres is.
    pub(crate) database_url: String,
    /// How to connect.
    pub(crate) connect: SessionOptions,
    /// Bounds and time-outs.
    pub(crate) journal: config::Journal,
    /// What messages may hold.
    pub(crate) limits: ChangeLimits,
}

/// The actor.
pub(crate) struct Writer {
    slot: Arc<Slot>,
    settings: WriterSettings,
    delivery: Delivery,
    inbox: Rc<RefCell<mpsc::Receiver<Work>>>,
    queue: Queue,
    main: Lane,
    patient: Lane,
    flushes: Vec<oneshot::Sender<()>>,
    /// Entries that share the fate of one with the same key that is on its way.
    followers: HashMap<Key, Vec<Entry>>,
    /// Rooms with entries whose fate is unknown: when there is a connection again, they are to
    /// look whether their logs have them.
    unknown: HashSet<RoomId>,
    /// Dropped with it.
    _guard: Guard,
}

/// What tells a publish from others: room, sender and the sender's own key.
type Key = (RoomId, UserId, Option<Box<str>>);

fn key(entry: &Entry) -> Key {
    let client_id = entry.content.client_id().map(Into::into);
    (entry.room_id, entry.user_id, client_id)
}

impl Writer {
    /// A writer for a place, whose inbox is open from now on.
    pub(crate) fn new(
        slot: Arc<Slot>,
        settings: WriterSettings,
        delivery: Delivery,
        guard: Guard,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(slot.queue_max.max(1));
        slot.up.store(false, Ordering::Relaxed);
        slot.stalled.store(false, Ordering::Relaxed);
        *slot.inbox.write() = Some(sender);
        let limits = BatchLimits {
            max_events: settings.journal.batch_max_events,
            max_bytes: settings.journal.batch_max_bytes,
        };
        Self {
            _guard: guard,
            slot,
            settings,
            delivery,
            inbox: Rc::new(RefCell::new(receiver)),
            queue: Queue::new(limits),
            main: Lane::default(),
            patient: Lane::default(),
            flushes: Vec::new(),
            followers: HashMap::new(),
            unknown: HashSet::new(),
        }
    }

    /// Sends what can be sent.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        for name in [LaneName::Main, LaneName::Patient] {
            let lane = self.lane(name);
            if !lane.busy && lane.link.as_ref().is_some_and(|link| link.is_closed()) {
                self.lose_link(name, ctx);
            }
        }
        if self.can_fly(LaneName::Main) {
            let Batch { entries, followers } = self.queue.next_batch();
            for follower in followers {
                self.followers
                    .entry(key(&follower))
                    .or_default()
                    .push(follower);
            }
            self.launch(LaneName::Main, entries, Instant::now(), ctx);
        }
        if self.can_fly(LaneName::Patient)
            && let Some(held) = self.queue.next_patient()
        {
            self.launch(LaneName::Patient, held.entries, held.since, ctx);
        }
        if !self.flushes.is_empty()
            && self.queue.is_empty()
            && !self.main.busy
            && !self.patient.busy
        {
            for flush in self.flushes.drain(..) {
                // Whoever asked may have gone.
                flush.send(()).ok();
            }
        }
    }

    /// Sends a batch whose heads may have been found locked at `since` for the first time.
    fn launch(
        &mut self,
        name: LaneName,
        batch: Vec<Entry>,
        since: Instant,
        ctx: &mut Context<Self>,
    ) {
        let Some(link) = self.lane(name).link.clone() else {
            return;
        };
        if batch.is_empty() {
            return;
        }
        self.lane(name).busy = true;
        let tried_room = batch[0].room_id;
        let journal = &self.settings.journal;
        let stalled_after = Duration::from_millis(journal.stalled_after_ms);
        let timeout = Duration::from_millis(journal.flight_timeout_ms);
        let patient_for = Duration::from_millis(journal.patient_lock_timeout_ms);
        let patience = if name == LaneName::Patient && since.elapsed() >= patient_for {
            Patience::GiveUp
        } else {
            Patience::HandOver
        };
        let slot = Arc::clone(&self.slot);
        let flight = async move {
            let started = Instant::now();
            let written = write(link, batch, patience, timeout);
            tokio::pin!(written);
            // The patient lane is meant to wait.
            if name == LaneName::Main {
                let early = tokio::time::timeout(stalled_after, &mut written).await;
                if let Ok(written) = early {
                    JOURNAL_FLIGHT_SECONDS.observe(started.elapsed().as_secs_f64());
                    return written;
                }
                // Refuse newcomers at once: they would only wait behind this batch.
                slot.stalled.store(true, Ordering::Relaxed);
                tracing::warn!(
                    writer = slot.number,
                    "Postgres does not answer; publishes are refused meanwhile"
                );
            }
            let written = written.await;
            if name == LaneName::Main {
                slot.stalled.store(false, Ordering::Relaxed);
            }
            JOURNAL_FLIGHT_SECONDS.observe(started.elapsed().as_secs_f64());
            written
        };
        ctx.spawn(flight.into_actor(self).map(move |written, this, ctx| {
            this.lane(name).busy = false;
            this.settle(written, name, since, ctx);
            if name == LaneName::Patient {
                this.queue.release(tried_room);
            }
            this.advance(ctx);
        }));
    }

    /// Tells everyone what became of a batch.
    fn settle(
        &mut self,
        written: Written,
        name: LaneName,
        since: Instant,
        ctx: &mut Context<Self>,
    ) {
        fault::point!("hub.journal.settle");
        let mut held = Vec::new();
        let mut settled = Vec::with_capacity(written.settled.len());
        for (entry, fate) in written.settled {
            if !matches!(fate, Fate::Held) && !self.followers.is_empty() {
                for follower in self.followers.remove(&key(&entry)).unwrap_or_default() {
                    let outcome = shared_fate(&fate);
                    settled.push((follower, outcome, "duplicate"));
                }
            }
            match fate {
                Fate::Held => held.push(entry),
                Fate::Committed(place) => {
                    self.delivery
                        .committed(event(&entry, &place), entry.received_at);
                    settled.push((entry, Ok(Some(committed(&place))), "committed"));
                }
                Fate::Known(place) => {
                    if let Some(place) = &place {
                        self.delivery.known(entry.room_id, place.seq);
                    }
                    settled.push((entry, Ok(place.as_ref().map(committed)), "duplicate"));
                }
                Fate::Failed(refusal) => {
                    if refusal.code == ErrorCode::Unknown {
                        self.unknown.insert(entry.room_id);
                    }
                    let label = refusal.code.as_str();
                    settled.push((entry, Err(refusal), label));
                }
            }
        }
        // What was held is not written yet.
        if !settled.is_empty() {
            JOURNAL_BATCH_EVENTS.observe(settled.len() as f64);
        }
        // The rooms have their events before anybody has an ack: both are after the commit.
        self.delivery.flush();
        // What has come meanwhile counts as queued, too.
        self.take_inbox();
        for (room, sender) in written.failed_senders {
            for entry in self.queue.take_later(room, sender) {
                settled.push((entry, Err(earlier_failed()), "earlier_failed"));
            }
        }
        self.queue.hold(held, since);
        if written.link_lost {
            self.lose_link(name, ctx);
        }
        for (entry, outcome, label) in settled {
            answer(entry, outcome, label);
        }
    }

    /// Takes one work into the queue.
    fn take(&mut self, work: Work) {
        match work {
            Work::Write(entry) if self.main.link.is_some() => self.queue.push(*entry),
            Work::Write(entry) => answer(*entry, Err(unavailable()), "unavailable"),
            Work::Flush(done) => self.flushes.push(done),
        }
    }

    /// Takes what is in the inbox at this moment.
    fn take_inbox(&mut self) {
        let mut works = Vec::new();
        while let Ok(work) = self.inbox.borrow_mut().try_recv() {
            works.push(work);
        }
        for work in works {
            self.take(work);
        }
    }
}

/// Tells what became of an entry.
fn answer(entry: Entry, outcome: Outcome, label: &str) {
    JOURNAL_OUTCOMES.with_label_values(&[label]).inc();
    entry.reply_to.send(outcome);
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let inbox = Rc::clone(&self.inbox);
        ctx.add_stream(futures_util::stream::poll_fn(move |cx| {
            let mut batch = Vec::new();
            inbox
                .borrow_mut()
                .poll_recv_many(cx, &mut batch, INBOX_BATCH)
                .map(|received| (received > 0).then_some(batch))
        }));
        self.connect(LaneName::Main, ctx);
        self.connect(LaneName::Patient, ctx);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What is left is answered `unknown` as it is dropped.
        self.slot.up.store(false, Ordering::Relaxed);
    }
}

impl StreamHandler<Vec<Work>> for Writer {
    fn handle(&mut self, batch: Vec<Work>, ctx: &mut Self::Context) {
        for work in batch {
            self.take(work);
        }
        fault::point!("hub.journal.writer");
        self.advance(ctx);
    }
}
