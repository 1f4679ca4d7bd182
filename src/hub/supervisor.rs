//! The hub actor: it starts and finds rooms, and recreates what panics. It is never on the way of
//! a message.
//!
//! It can panic itself: what it must not forget is in the [`Parts`], which outlive it, and
//! [`keeper`] starts another.

mod keeper;
mod ledger;

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) use self::keeper::SupervisorHandle;
use self::ledger::Ledger;
use crate::bus::envelope::Origin;
use crate::fault;
use crate::hub::anti_entropy::AntiEntropy;
use crate::hub::arbiters::{Arbiters, start_on};
use crate::hub::bridge::{BridgeHandle, BridgeParts};
use crate::hub::changes::Changes;
use crate::hub::cluster::HeadNotices;
use crate::hub::delivery::Delivery;
use crate::hub::fanout::FanoutMessage;
use crate::hub::journal::{Journal, Writer, WriterSettings};
use crate::hub::metrics::RESTARTS_DELAYED;
use crate::hub::presence::{Presence, PresenceParts, PresenceSettings};
use crate::hub::registry::Registry;
use crate::hub::room::{Room, RoomHandle, RoomSettings, Stop};
use crate::hub::supervision::{ActorId, Down, Guard, Life, Restart, RestartLimits};
use crate::hub::workers::Workers;
use crate::protocol::id::RoomId;
use crate::stall::Activity;
use crate::store::Store;

/// Requests that may wait for the hub.
const MAILBOX: usize = 16_384;

/// Reports of ended actors that may wait.
const REPORTS: usize = 4096;

/// Everything that the hub actor starts actors with.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) journal: Journal,
    pub(crate) presence: Presence,
    pub(crate) bridge: BridgeHandle,
    pub(crate) workers: Workers,
    pub(crate) arbiters: Arc<Arbiters>,
    pub(crate) anti_entropy: AntiEntropy,
    pub(crate) notices: HeadNotices,
    pub(crate) changes: Changes,
    pub(crate) origin: Origin,
    pub(crate) room: RoomSettings,
    pub(crate) presence_settings: PresenceSettings,
    pub(crate) writer: WriterSettings,
    pub(crate) restarts: RestartLimits,
}

/// What stays when the hub actor panics.
struct Lasting {
    parts: Parts,
    supervisor: SupervisorHandle,
    reports: mpsc::Sender<Down>,
    ledger: Mutex<Ledger>,
}

/// Find or start a room's actor.
#[derive(Debug, Message)]
#[rtype(result = "Ensured")]
struct EnsureRoom {
    room_id: RoomId,
}

/// What became of that.
#[derive(Debug)]
enum Ensured {
    /// It lives.
    Here(RoomHandle),
    /// It has panicked and is started again in a moment.
    Soon,
    /// It has panicked too often.
    GivenUp,
}

/// A room has had no connections for a while.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Retire {
    room_id: RoomId,
    addr: Addr<Room>,
}

/// An actor has panicked.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct WentDown(Down);

/// The actor.
struct Hub {
    lasting: Arc<Lasting>,
    /// Dropped with it.
    _guard: Guard,
}

impl Hub {
    fn parts(&self) -> &Parts {
        &self.lasting.parts
    }

    /// Starts an actor that there is a fixed number of, unless it lives.
    fn begin(&self, id: ActorId) {
        let Some(life) = self.lasting.ledger.lock().begin(id) else {
            return;
        };
        let guard = self.guard(id, life);
        match id {
            ActorId::Presence(number) => self.start_presence(number, guard),
            ActorId::Writer(number) => self.start_writer(number, guard),
            ActorId::Bridge(number) => self.start_bridge(number, guard),
            ActorId::AntiEntropy => self.start_anti_entropy(guard),
            ActorId::Hub | ActorId::Room(_) => {}
        }
    }

    fn guard(&self, id: ActorId, life: Life) -> Guard {
        Guard::new(id, life, self.lasting.reports.clone())
    }

    fn start_writer(&self, number: usize, guard: Guard) {
        let parts = self.parts();
        let Some(slot) = parts.journal.slots().get(number) else {
            return;
        };
        let slot = Arc::clone(slot);
        let settings = parts.writer.clone();
        let delivery = Delivery::new(
            parts.registry.clone(),
            parts.bridge.clone(),
            parts.anti_entropy.clone(),
            parts.notices.clone(),
            parts.changes.clone(),
        );
        // Nobody has its address: what it is given comes by its place.
        let arbiter = parts.arbiters.by_number(number);
        start_on(arbiter, Activity::Journal, 1, || {
            Writer::new(slot, settings, delivery, guard)
        });
    }

    fn start_presence(&self, number: usize, guard: Guard) {
        let parts = self.parts();
        let Ok(shard) = u8::try_from(number) else {
            return;
        };
        parts.presence.start_shard(
            shard,
            parts.arbiters.by_number(number),
            PresenceParts {
                settings: parts.presence_settings,
                registry: parts.registry.clone(),
                bridge: parts.bridge.clone(),
                workers: &parts.workers,
            },
            guard,
        );
    }

    fn start_bridge(&self, number: usize, guard: Guard) {
        let parts = self.parts();
        parts.bridge.start(
            // With as many lanes as arbiters, a room's lane is on the room's own.
            parts.arbiters.by_number(number),
            number,
            BridgeParts {
                origin: parts.origin.clone(),
                registry: parts.registry.clone(),
                anti_entropy: parts.anti_entropy.clone(),
                presence: parts.presence.clone(),
                changes: parts.changes.clone(),
            },
            guard,
        );
    }

    fn start_anti_entropy(&self, guard: Guard) {
        let parts = self.parts();
        parts.anti_entropy.start(
            parts.arbiters.by_number(0),
            parts.store.clone(),
            parts.registry.clone(),
            parts.changes.clone(),
            self.lasting.reports.clone(),
            guard,
        );
    }

    /// Starts a room's actor. If there was one before, the threads that have connections in the
    /// room hear of the new one before anybody can join it.
    fn start_room(&self, room_id: RoomId, is_recreated: bool) -> RoomHandle {
        let parts = self.parts();
        let life = self.lasting.ledger.lock().next_life();
        let (handle, start) = Room::prepare(
            room_id,
            life,
            parts.store.clone(),
            parts.room,
            self.lasting.supervisor.clone(),
            parts.presence.clone(),
            self.guard(ActorId::Room(room_id), life),
        );
        if is_recreated {
            let recreated = || FanoutMessage::Recreated(handle.clone());
            parts.workers.send(recreated);
        }
        // Known before it reads its head: what is committed after the reading reaches it.
        parts.bridge.subscribe(room_id);
        parts.registry.insert(handle.clone());
        start.run_on(parts.arbiters.of_room(room_id));
        handle
    }

    fn went_down(&self, down: Down, ctx: &mut Context<Self>) {
        fault::point!("hub.supervisor.down");
        match down.id {
            ActorId::Room(room_id) => {
                let is_it = |room: &RoomHandle| room.life() == down.life;
                if self.parts().registry.remove(room_id, is_it) {
                    self.restart_room(room_id, ctx);
                }
            }
            id => {
                if self.lasting.ledger.lock().end(down) {
                    self.restart(id, ctx);
                }
            }
        }
    }

    fn restart(&self, id: ActorId, ctx: &mut Context<Self>) {
        if let ActorId::Writer(_) = id {
            // What it had committed and not yet handed over is in the log.
            self.parts().anti_entropy.hint();
        }
        let restart = self.lasting.ledger.lock().restart(id, Instant::now());
        match restart {
            Restart::After(pause) if pause.is_zero() => self.begin(id),
            restart => Self::wait(id, restart, ctx),
        }
    }

    /// Starts a room again beneath its connections, or gives it up for a while.
    fn restart_room(&self, room_id: RoomId, ctx: &mut Context<Self>) -> Ensured {
        let id = ActorId::Room(room_id);
        let restart = self.lasting.ledger.lock().restart(id, Instant::now());
        match restart {
            Restart::After(pause) if pause.is_zero() => {
                Ensured::Here(self.start_room(room_id, true))
            }
            Restart::After(_) => {
                Self::wait(id, restart, ctx);
                Ensured::Soon
            }
            Restart::TooMany(_) => {
                self.parts().bridge.unsubscribe(room_id);
                let workers = &self.parts().workers;
                workers.send(|| FanoutMessage::Resync(room_id));
                Self::wait(id, restart, ctx);
                Ensured::GivenUp
            }
        }
    }

    fn wait(id: ActorId, restart: Restart, ctx: &mut Context<Self>) {
        RESTARTS_DELAYED.with_label_values(&[id.kind()]).inc();
        let pause = match restart {
            Restart::After(pause) => pause,
            Restart::TooMany(pause) => {
                tracing::error!(actor = ?id, ?pause, "too many restarts; the next one waits");
                pause
            }
        };
        ctx.run_later(pause, move |this, _| this.end_wait(id));
    }

    fn end_wait(&self, id: ActorId) {
        let (wait, waited) = {
            let mut ledger = self.lasting.ledger.lock();
            (ledger.wait_of(id), ledger.end_wait(id))
        };
        let is_given_up = wait.is_some_and(|wait| wait.is_given_up);
        match id {
            // The next one who joins it starts it.
            ActorId::Room(_) if is_given_up => {}
            ActorId::Room(room_id) if waited => {
                self.start_room(room_id, true);
            }
            ActorId::Room(_) => {}
            id => self.begin(id),
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Those that wait go on waiting if this is not the first hub actor.
        let now = Instant::now();
        let waits = self.lasting.ledger.lock().waits();
        for (id, wait) in &waits {
            let (id, pause) = (*id, wait.until.saturating_duration_since(now));
            ctx.run_later(pause, move |this, _| this.end_wait(id));
        }
        let parts = self.parts();
        let shards = (0..parts.presence.len()).map(ActorId::Presence);
        let writers = (0..parts.journal.slots().len()).map(ActorId::Writer);
        let lanes = (0..parts.bridge.lanes()).map(ActorId::Bridge);
        let single = [ActorId::AntiEntropy];
        for id in single.into_iter().chain(lanes).chain(shards).chain(writers) {
            if waits.iter().all(|(waiting, _)| *waiting != id) {
                self.begin(id);
            }
        }
    }
}

impl Handler<WentDown> for Hub {
    type Result = ();

    fn handle(&mut self, WentDown(down): WentDown, ctx: &mut Self::Context) {
        self.went_down(down, ctx);
    }
}

impl Handler<EnsureRoom> for Hub {
    type Result = MessageResult<EnsureRoom>;

    fn handle(&mut self, message: EnsureRoom, ctx: &mut Self::Context) -> Self::Result {
        fault::point!("hub.supervisor.ensure");
        let room_id = message.room_id;
        let registry = &self.parts().registry;
        if let Some(room) = registry.find(room_id) {
            return MessageResult(Ensured::Here(room));
        }
        let wait = self.lasting.ledger.lock().wait_of(ActorId::Room(room_id));
        MessageResult(match wait {
            Some(wait) if wait.is_given_up => Ensured::GivenUp,
            Some(_) => Ensured::Soon,
            // It has ended, and its report is still on its way.
            None if registry.remove(room_id, |room| !room.is_alive()) => {
                self.restart_room(room_id, ctx)
            }
            None => Ensured::Here(self.start_room(room_id, false)),
        })
    }
}

impl Handler<Retire> for Hub {
    type Result = ();

    fn handle(&mut self, message: Retire, _: &mut Self::Context) {
        let Retire { room_id, addr } = message;
        let registry = &self.parts().registry;
        if registry.remove(room_id, |room| room.is_at(&addr)) {
            self.parts().bridge.unsubscribe(room_id);
        }
        if let Err(SendError::Full(stop)) = addr.try_send(Stop) {
            actix_rt::spawn(async move { addr.send(stop).await.ok() });
        }
    }
}
