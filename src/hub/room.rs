//! Rooms: one actor for each room that is in use on this node.
//!
//! It puts the room's events in order, notices and fills holes, remembers the last events, and
//! gives each event once to every worker thread that has connections in the room. It never waits
//! for Postgres on the way of a message. Its whole state can be made again from the log.

mod handle;
pub(crate) mod log;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;

use self::handle::{Ask, Broadcast, Committed, Heal, LookAgain, Unsubscribe};
pub(crate) use self::handle::{RoomHandle, Stop, Subscribe};
use self::log::{MemoryLimits, Replay, RoomLog};
use crate::hub::encoded::SharedEvent;
use crate::hub::fanout::{FanoutHandle, FanoutMessage, Subscribed};
use crate::hub::metrics::GAPS;
use crate::hub::supervision::Guard;
use crate::hub::supervisor::{Retire, SupervisorHandle};
use crate::protocol::event::Event;
use crate::protocol::id::RoomId;
use crate::store::{Store, StoreError, room_events};

/// What a room needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomSettings {
    pub(crate) memory: MemoryLimits,
    pub(crate) mailbox: usize,
    /// Without connections for this long it ends.
    pub(crate) idle: Duration,
    /// A hole waits this long for the bus.
    pub(crate) gap_wait: Duration,
    /// Events read from the log at once.
    pub(crate) page_events: u32,
}

/// The actor.
pub(crate) struct Room {
    id: RoomId,
    store: Store,
    settings: RoomSettings,
    supervisor: SupervisorHandle,
    guard: Guard,
    committed: Arc<AtomicU64>,
    broadcasts: Arc<AtomicUsize>,
    /// None until the head has been read.
    log: Option<RoomLog>,
    /// The threads with connections here, and how many each has.
    workers: Vec<(FanoutHandle, usize)>,
    is_filling: bool,
    is_retiring: bool,
}

impl Room {
    /// Starts a room's actor on an arbiter.
    pub(crate) fn start_on(
        arbiter: &ArbiterHandle,
        id: RoomId,
        store: Store,
        settings: RoomSettings,
        supervisor: SupervisorHandle,
        guard: Guard,
    ) -> RoomHandle {
        let committed = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&committed);
        let broadcasts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&broadcasts);
        let addr = Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(settings.mailbox);
            Self {
                id,
                store,
                settings,
                supervisor,
                guard,
                committed: shared,
                broadcasts: counted,
                log: None,
                workers: Vec::new(),
                is_filling: false,
                is_retiring: false,
            }
        });
        RoomHandle {
            id,
            addr,
            committed,
            broadcasts,
            broadcasts_max: settings.mailbox.div_ceil(2),
        }
    }

    /// Reads where the log is. Nothing else is looked at before that.
    fn load(&self, ctx: &mut Context<Self>) {
        let (store, id) = (self.store.clone(), self.id);
        let loading = async move { room_events::head(&store, id).await };
        ctx.wait(loading.into_actor(self).map(|head, this, _| match head {
            Ok(Some((epoch, head))) => {
                this.log = Some(RoomLog::new(epoch, head, this.settings.memory));
            }
            Ok(None) => tracing::warn!(room = %this.id, "a room without a head"),
            Err(error) => tracing::warn!(room = %this.id, %error, "a room's head cannot be read"),
        }));
    }

    fn accept(&mut self, events: Vec<Arc<SharedEvent>>, ctx: &mut Context<Self>) {
        let Some(log) = &mut self.log else {
            // The head will be read, and these are in the log already.
            return;
        };
        if let Some(event) = events.first()
            && event.event.epoch != log.epoch()
        {
            return self.start_afresh(ctx);
        }
        for event in log.accept(events) {
            for (fanout, _) in &self.workers {
                fanout.send(FanoutMessage::Deliver(Arc::clone(&event)));
            }
        }
        self.heal(ctx);
    }

    /// The log has begun a new life: what the connections have is of the old one.
    fn start_afresh(&mut self, ctx: &mut Context<Self>) {
        tracing::warn!(room = %self.id, "the room's log has a new epoch");
        for (fanout, _) in &self.workers {
            fanout.send(FanoutMessage::Resync(self.id));
        }
        self.log = None;
        self.committed.store(0, Ordering::Relaxed);
        self.load(ctx);
    }

    /// Fills a hole, if there is one and nobody else fills it in time.
    fn heal(&mut self, ctx: &mut Context<Self>) {
        if self.has_gap() && !self.is_filling {
            self.is_filling = true;
            ctx.run_later(self.settings.gap_wait, Self::fill);
        }
    }

    fn has_gap(&self) -> bool {
        self.log.as_ref().is_some_and(|log| {
            log.has_gap() || log.delivered() < self.committed.load(Ordering::Relaxed)
        })
    }

    fn fill(&mut self, ctx: &mut Context<Self>) {
        let Some(delivered) = self.log.as_ref().map(RoomLog::delivered) else {
            self.is_filling = false;
            return;
        };
        if !self.has_gap() {
            self.is_filling = false;
            return;
        }
        GAPS.inc();
        let (store, id, page) = (self.store.clone(), self.id, self.settings.page_events);
        let reading = async move { room_events::after(&store, id, delivered, page).await };
        ctx.spawn(reading.into_actor(self).map(Self::filled));
    }

    fn filled(read: Result<Vec<Event>, StoreError>, this: &mut Self, ctx: &mut Context<Self>) {
        this.is_filling = false;
        match read {
            Ok(events) if events.is_empty() => {
                tracing::error!(room = %this.id, "events that were announced are not in the log");
                this.start_afresh(ctx);
            }
            Ok(events) => {
                let shared = |event| SharedEvent::new(event, None);
                this.accept(events.into_iter().map(shared).collect(), ctx);
            }
            Err(error) => {
                tracing::warn!(room = %this.id, %error, "a hole cannot be filled yet");
                this.is_filling = true;
                ctx.run_later(Duration::from_secs(1), Self::fill);
            }
        }
    }

    fn retire_if_idle(&mut self, ctx: &mut Context<Self>) {
        if self.workers.is_empty() && !self.is_retiring {
            self.is_retiring = self.supervisor.try_retire(Retire {
                room_id: self.id,
                addr: ctx.address(),
            });
        }
    }

    /// Why a subscription cannot be given now, or where it begins.
    fn judge(&self, subscribe: &Subscribe) -> Option<Replay> {
        if self.is_retiring {
            return None;
        }
        let log = self.log.as_ref()?;
        // The membership was checked before this message was sent: it may have ended since.
        if log.is_outdated_since(subscribe.user_id, subscribe.checked_at) != Some(false) {
            return None;
        }
        Some(log.replay(subscribe.since, subscribe.epoch))
    }
}

impl Actor for Room {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx);
        ctx.run_interval(self.settings.idle, Self::retire_if_idle);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.guard.finish();
    }
}

impl Handler<Committed> for Room {
    type Result = ();

    fn handle(&mut self, message: Committed, ctx: &mut Self::Context) {
        self.accept(message.events, ctx);
    }
}

impl Handler<Heal> for Room {
    type Result = ();

    fn handle(&mut self, Heal: Heal, ctx: &mut Self::Context) {
        self.heal(ctx);
    }
}

impl Handler<LookAgain> for Room {
    type Result = ();

    fn handle(&mut self, LookAgain: LookAgain, ctx: &mut Self::Context) {
        let (store, id) = (self.store.clone(), self.id);
        let reading = async move { room_events::head(&store, id).await };
        ctx.spawn(reading.into_actor(self).map(|head, this, ctx| match head {
            Ok(Some((epoch, head))) => {
                if this.log.as_ref().is_some_and(|log| log.epoch() != epoch) {
                    return this.start_afresh(ctx);
                }
                this.committed.fetch_max(head, Ordering::Relaxed);
                this.heal(ctx);
            }
            Ok(None) => tracing::warn!(room = %this.id, "a room without a head"),
            Err(error) => tracing::warn!(room = %this.id, %error, "a room's head cannot be read"),
        }));
    }
}

impl Handler<Broadcast> for Room {
    type Result = ();

    fn handle(&mut self, message: Broadcast, ctx: &mut Self::Context) {
        for (fanout, _) in &self.workers {
            let except = message
                .except
                .and_then(|(worker, key)| (worker == fanout.id()).then_some(key));
            fanout.send(FanoutMessage::Broadcast(Arc::clone(&message.push), except));
        }
        self.heal(ctx);
    }
}

impl Handler<Ask> for Room {
    type Result = ();

    fn handle(&mut self, mut message: Ask, ctx: &mut Self::Context) {
        if self.log.is_none() {
            // The answer now is no; the next one who asks may have more luck.
            return self.load(ctx);
        }
        self.heal(ctx);
        let Some((subscribe, log)) = message.0.as_ref().zip(self.log.as_ref()) else {
            return;
        };
        let Some(replay) = self.judge(subscribe) else {
            return;
        };
        let (epoch, head) = (log.epoch(), log.delivered());
        let Some(subscribe) = message.0.take() else {
            return;
        };
        let (replay, gap) = match replay {
            Replay::Events(events, gap) => (Some(events), gap),
            Replay::Behind => (None, None),
        };
        if replay.is_some() {
            let id = subscribe.fanout.id();
            match self.workers.iter_mut().find(|(it, _)| it.id() == id) {
                Some((_, count)) => *count += 1,
                None => self.workers.push((subscribe.fanout.clone(), 1)),
            }
        }
        subscribe
            .fanout
            .send(FanoutMessage::Subscribed(Box::new(Subscribed {
                connection: subscribe.connection,
                join: subscribe.join,
                room: RoomHandle {
                    id: self.id,
                    addr: ctx.address(),
                    committed: Arc::clone(&self.committed),
                    broadcasts: Arc::clone(&self.broadcasts),
                    broadcasts_max: self.settings.mailbox.div_ceil(2),
                },
                epoch,
                head,
                replay,
                gap,
            })));
    }
}

impl Handler<Unsubscribe> for Room {
    type Result = ();

    fn handle(&mut self, message: Unsubscribe, _: &mut Self::Context) {
        if let Some(at) = self
            .workers
            .iter()
            .position(|(fanout, _)| fanout.id() == message.worker)
        {
            self.workers[at].1 -= 1;
            if self.workers[at].1 == 0 {
                self.workers.swap_remove(at);
            }
        }
    }
}

impl Handler<Stop> for Room {
    type Result = ();

    fn handle(&mut self, Stop: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
