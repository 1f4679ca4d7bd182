//! The hub actor: it starts and finds rooms, and recreates what ends unasked. It is never on the
//! way of a message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::mpsc;

use crate::bus::envelope::Origin;
use crate::hub::arbiters::Arbiters;
use crate::hub::bridge::BridgeHandle;
use crate::hub::delivery::Delivery;
use crate::hub::fanout::FanoutMessage;
use crate::hub::journal::{Journal, Writer, WriterSettings};
use crate::hub::metrics::ACTORS_DOWN;
use crate::hub::presence::{Presence, PresenceSettings};
use crate::hub::registry::Registry;
use crate::hub::room::{Room, RoomHandle, RoomSettings, Stop};
use crate::hub::supervision::{ActorId, Down, Guard, Intensity};
use crate::hub::workers::Workers;
use crate::protocol::id::RoomId;
use crate::store::Store;

/// Requests that may wait for the hub.
const MAILBOX: usize = 16_384;

/// Reports of ended actors that may wait.
const REPORTS: usize = 4096;

/// Bounds of restarts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestartLimits {
    pub(crate) max: u32,
    pub(crate) window: Duration,
}

/// Everything that the hub actor starts actors with.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) journal: Journal,
    pub(crate) presence: Presence,
    pub(crate) bridge: BridgeHandle,
    pub(crate) workers: Workers,
    pub(crate) arbiters: Arc<Arbiters>,
    pub(crate) origin: Origin,
    pub(crate) room: RoomSettings,
    pub(crate) presence_settings: PresenceSettings,
    pub(crate) writer: WriterSettings,
    pub(crate) restarts: RestartLimits,
}

/// The way to the hub actor. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorHandle {
    addr: Addr<Hub>,
}

impl SupervisorHandle {
    /// Starts the hub actor on an arbiter of its own, and everything that there is one of.
    pub(crate) fn start(arbiter: &ArbiterHandle, parts: Parts) -> Self {
        let addr = Hub::start_in_arbiter(arbiter, |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let (reports, downs) = mpsc::channel(REPORTS);
            Hub {
                parts,
                reports,
                downs: Some(downs),
                intensities: HashMap::new(),
            }
        });
        Self { addr }
    }

    /// The room's actor, started if it is not there. None if the hub is going down or has far
    /// too much to do.
    pub(crate) async fn ensure_room(&self, room_id: RoomId) -> Option<RoomHandle> {
        self.addr.send(EnsureRoom { room_id }).await.ok().flatten()
    }

    /// Asks that a room without connections be ended.
    pub(crate) fn try_retire(&self, retire: Retire) -> bool {
        self.addr.try_send(retire).is_ok()
    }
}

/// Find or start a room's actor.
#[derive(Debug, Message)]
#[rtype(result = "Option<RoomHandle>")]
struct EnsureRoom {
    room_id: RoomId,
}

/// A room has had no connections for a while.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Retire {
    pub(crate) room_id: RoomId,
    pub(crate) addr: Addr<Room>,
}

/// The actor.
pub(crate) struct Hub {
    parts: Parts,
    reports: mpsc::Sender<Down>,
    downs: Option<mpsc::Receiver<Down>>,
    intensities: HashMap<&'static str, Intensity>,
}

impl Hub {
    fn start_writer(&self, number: usize) {
        let Some(slot) = self.parts.journal.slots().get(number) else {
            return;
        };
        let slot = Arc::clone(slot);
        let settings = self.parts.writer.clone();
        let delivery = Delivery::new(self.parts.registry.clone(), self.parts.bridge.clone());
        let reports = self.reports.clone();
        Writer::start_in_arbiter(self.parts.arbiters.by_number(number), |_| {
            Writer::new(slot, settings, delivery, reports)
        });
    }

    fn start_presence(&self, number: usize) {
        self.parts.presence.start_shard(
            number,
            self.parts.arbiters.by_number(number),
            self.parts.presence_settings,
            self.parts.registry.clone(),
            self.reports.clone(),
        );
    }

    fn start_bridge(&self) {
        self.parts.bridge.start(
            self.parts.arbiters.by_number(0),
            self.parts.origin.clone(),
            self.parts.registry.clone(),
            self.reports.clone(),
        );
    }

    fn start_room(&self, room_id: RoomId, ctx: &Context<Self>) -> RoomHandle {
        let supervisor = SupervisorHandle {
            addr: ctx.address(),
        };
        let handle = Room::start_on(
            self.parts.arbiters.of_room(room_id),
            room_id,
            self.parts.store.clone(),
            self.parts.room,
            supervisor,
            Guard::new(ActorId::Room(room_id), self.reports.clone()),
        );
        // Known before it reads its head: what is committed after the reading reaches it.
        self.parts.bridge.subscribe(room_id);
        self.parts.registry.insert(handle.clone());
        handle
    }

    fn went_down(&mut self, down: Down, ctx: &mut Context<Self>) {
        if let ActorId::Room(room_id) = down.id {
            self.parts.registry.remove(room_id, |room| !room.is_alive());
        }
        let kind = down.id.kind();
        ACTORS_DOWN.with_label_values(&[kind]).inc();
        tracing::error!(actor = ?down.id, "an actor ended unasked");
        let limits = self.parts.restarts;
        let intensity = self
            .intensities
            .entry(kind)
            .or_insert_with(|| Intensity::new(limits.max, limits.window));
        // A room costs nothing until somebody joins it again, and its connections must not wait.
        let is_room = matches!(down.id, ActorId::Room(_));
        if is_room || intensity.allow(Instant::now()) {
            self.restart(down.id);
        } else {
            tracing::error!(actor = ?down.id, "too many restarts; the next one waits");
            ctx.run_later(limits.window, move |this, _| this.restart(down.id));
        }
    }

    fn restart(&self, id: ActorId) {
        match id {
            // Its connections reconnect and resume, which starts it again from the log.
            ActorId::Room(room_id) => self.parts.workers.send(|| FanoutMessage::Resync(room_id)),
            ActorId::Presence(number) => self.start_presence(number),
            ActorId::Writer(number) => self.start_writer(number),
            ActorId::Bridge => self.start_bridge(),
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_bridge();
        for number in 0..self.parts.presence.len() {
            self.start_presence(number);
        }
        for number in 0..self.parts.journal.slots().len() {
            self.start_writer(number);
        }
        if let Some(mut downs) = self.downs.take() {
            ctx.add_stream(futures_util::stream::poll_fn(move |cx| downs.poll_recv(cx)));
        }
    }
}

impl StreamHandler<Down> for Hub {
    fn handle(&mut self, down: Down, ctx: &mut Self::Context) {
        self.went_down(down, ctx);
    }
}

impl Handler<EnsureRoom> for Hub {
    type Result = MessageResult<EnsureRoom>;

    fn handle(&mut self, message: EnsureRoom, ctx: &mut Self::Context) -> Self::Result {
        let room_id = message.room_id;
        let found = self.parts.registry.find(room_id);
        MessageResult(Some(found.unwrap_or_else(|| self.start_room(room_id, ctx))))
    }
}

impl Handler<Retire> for Hub {
    type Result = ();

    fn handle(&mut self, message: Retire, _: &mut Self::Context) {
        let Retire { room_id, addr } = message;
        if self
            .parts
            .registry
            .remove(room_id, |room| room.is_at(&addr))
        {
            self.parts.bridge.unsubscribe(room_id);
        }
        if let Err(SendError::Full(stop)) = addr.try_send(Stop) {
            actix_rt::spawn(async move { addr.send(stop).await.ok() });
        }
    }
}
