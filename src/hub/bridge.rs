//! The bridge: between the node's rooms and the bus. An actor for each lane, so that encoding and
//! decoding are spread over the arbiters; a room's events go by one lane, in their order. What is
//! ephemeral takes a shorter way ([`short_way`]).

mod short_way;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::prelude::*;
use parking_lot::RwLock;
use tokio::sync::watch;

use self::short_way::ShortWay;
use crate::bus::envelope::{Envelope, Origin, Payload, PayloadError};
use crate::bus::{Arrival, Bus, BusState, ENVELOPES, IN, Inbox, lane_of, presence};
use crate::fault;
use crate::hub::anti_entropy::AntiEntropy;
use crate::hub::arbiters::start_on;
use crate::hub::changes::{Changes, Loss};
use crate::hub::encoded::{Ephemeral, SharedEvent, SharedPush};
use crate::hub::metrics::OVERFLOWS;
use crate::hub::presence::Presence;
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;
use crate::protocol::id::RoomId;
use crate::protocol::touched::Touched;
use crate::stall::Activity;

/// What may wait to be published, in each lane.
const MAILBOX: usize = 4096;

/// Arrivals handled in one go.
const INBOX_BATCH: usize = 256;

/// The way to the bridge, whichever actors it has now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BridgeHandle {
    bus: Arc<dyn Bus>,
    /// This node.
    origin: Origin,
    lanes: Arc<[RwLock<Option<Addr<Bridge>>>]>,
}

/// What a lane's actor works with.
pub(crate) struct BridgeParts {
    /// This node.
    pub(crate) origin: Origin,
    /// Its rooms.
    pub(crate) registry: Registry,
    /// What looks for what the bus has lost.
    pub(crate) anti_entropy: AntiEntropy,
    /// Who is present, also on other nodes.
    pub(crate) presence: Presence,
    /// Who is told what was touched elsewhere.
    pub(crate) changes: Changes,
}

impl BridgeHandle {
    pub(crate) fn new(bus: Arc<dyn Bus>, origin: Origin) -> Self {
        let lanes = (0..bus.lanes()).map(|_| RwLock::default()).collect();
        Self { bus, origin, lanes }
    }

    /// How many actors there are to be.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Starts a lane's actor, or starts it again.
    pub(crate) fn start(
        &self,
        arbiter: &ArbiterHandle,
        number: usize,
        parts: BridgeParts,
        guard: Guard,
    ) {
        let registry = parts.registry.clone();
        self.bus.set_express(Arc::new(ShortWay { registry }));
        let bus = Arc::clone(&self.bus);
        let addr = start_on(arbiter, Activity::Bridge, MAILBOX, move || Bridge {
            inbox: bus.take_inbox(number),
            number,
            bus,
            parts,
            _guard: guard,
        });
        if let Some(lane) = self.lanes.get(number) {
            *lane.write() = Some(addr);
        }
    }

    /// Tells other nodes of committed events. What is lost here they find in Postgres.
    pub(crate) fn events(&self, room_id: RoomId, events: &[Arc<SharedEvent>]) {
        if self.bus.has_listeners(room_id) {
            self.send(room_id, Content::Events(events.into()));
        }
    }

    /// Tells other nodes something ephemeral.
    pub(crate) fn ephemeral(&self, push: &Ephemeral) {
        short_way::tell(&*self.bus, &self.origin, push);
    }

    /// Tells other nodes who is present here, on a channel of presence.
    pub(crate) fn presence(&self, channel: RoomId, said: Payload) {
        if self.bus.has_listeners(channel) {
            self.send(channel, Content::Plain(said));
        }
    }

    /// Tells other nodes what was touched in which rooms, as their batch of this number.
    pub(crate) fn touched(&self, number: u64, rooms: Vec<Touched>) {
        let channel = presence::touched_channel();
        if self.bus.has_listeners(channel) {
            let said = Payload::Touched { number, rooms };
            self.send(channel, Content::Plain(said));
        }
    }

    /// Whether anybody may want what is published there.
    pub(crate) fn has_listeners(&self, channel: RoomId) -> bool {
        self.bus.has_listeners(channel)
    }

    /// Which way other nodes are told things now, and when that changes.
    pub(crate) fn states(&self) -> watch::Receiver<BusState> {
        self.bus.states()
    }

    /// This node wants what others publish for a room.
    pub(crate) fn subscribe(&self, room: RoomId) {
        self.bus.subscribe(room);
    }

    /// No longer.
    pub(crate) fn unsubscribe(&self, room: RoomId) {
        self.bus.unsubscribe(room);
    }

    fn send(&self, room_id: RoomId, content: Content) {
        let lane = self.lanes.get(lane_of(room_id, self.lanes.len()));
        let addr = lane.and_then(|lane| lane.read().clone());
        let sent = addr.map(|addr| addr.try_send(Publish { room_id, content }));
        if !matches!(sent, Some(Ok(()))) {
            OVERFLOWS.with_label_values(&["bridge"]).inc();
        }
    }
}

/// Publish this.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Publish {
    room_id: RoomId,
    content: Content,
}

/// What is published.
#[derive(Debug)]
enum Content {
    /// Events, as the room here has them.
    Events(Box<[Arc<SharedEvent>]>),
    /// Who is present, or what was touched.
    Plain(Payload),
}

impl Content {
    fn encode(&self) -> Result<bytes::Bytes, PayloadError> {
        match self {
            Self::Events(events) => Payload::encode_events(events.iter().map(|it| &it.event)),
            Self::Plain(payload) => payload.encode(),
        }
    }
}

/// The actor of one lane.
struct Bridge {
    bus: Arc<dyn Bus>,
    number: usize,
    inbox: Option<Inbox>,
    parts: BridgeParts,
    /// Dropped with it.
    _guard: Guard,
}

impl Bridge {
    fn arrived(&self, arrival: &Arrival) {
        let envelope = match arrival {
            Arrival::Envelope(envelope) => envelope,
            Arrival::Subscribed(room) if *room == presence::touched_channel() => {
                self.parts.changes.lost(Loss::Bus);
                return;
            }
            Arrival::Subscribed(room) => {
                // The room may have read its head before others' events came here.
                if let Some(room) = self.parts.registry.find(*room) {
                    room.look_again();
                }
                return;
            }
        };
        IN.inc();
        if let Err(error) = self.receive(envelope) {
            ENVELOPES.with_label_values(&["bad"]).inc();
            tracing::debug!(%error, room = %envelope.room_id, node = %envelope.origin.node, "an envelope cannot be read");
        }
    }

    fn receive(&self, envelope: &Envelope) -> Result<(), PayloadError> {
        if envelope.origin == self.parts.origin {
            return Ok(());
        }
        let room_id = envelope.room_id;
        if let Some(shard) = presence::shard_of(room_id) {
            let said = Payload::decode(room_id, &envelope.payload)?;
            self.parts.presence.hear(shard, &envelope.origin, said);
            return Ok(());
        }
        if room_id == presence::touched_channel() {
            if let Payload::Touched { number, rooms } = Payload::decode(room_id, &envelope.payload)?
            {
                fault::point!("hub.changes.heard");
                fault::point!("hub.changes.deaf", Ok(()));
                self.parts.changes.hear(&envelope.origin, number, &rooms);
            }
            return Ok(());
        }
        let Some(room) = self.parts.registry.find(room_id) else {
            return Ok(());
        };
        match Payload::decode(room_id, &envelope.payload)? {
            Payload::Events(events) => {
                let shared = |event| SharedEvent::new(event, None);
                room.committed(events.into_iter().map(shared).collect());
            }
            other => match short_way::push_of(room_id, other) {
                Some(push) => room.broadcast(SharedPush::new(push), None),
                // These have channels of their own.
                None => ENVELOPES.with_label_values(&["misplaced"]).inc(),
            },
        }
        Ok(())
    }

    /// Has all rooms compare their heads whenever the bus has come back: what was published
    /// meanwhile did not come. One lane does it for all.
    fn watch_state(&self, ctx: &mut Context<Self>) {
        let mut states = self.bus.states();
        let anti_entropy = self.parts.anti_entropy.clone();
        let changes = self.parts.changes.clone();
        let watching = async move {
            while states.changed().await.is_ok() {
                changes.lost(Loss::Bus);
                if *states.borrow_and_update() == BusState::Redis {
                    anti_entropy.hint();
                }
            }
        };
        ctx.spawn(watching.into_actor(self));
    }
}

impl Actor for Bridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(mut inbox) = self.inbox.take() {
            ctx.add_stream(futures_util::stream::poll_fn(move |cx| {
                inbox.poll_batch(cx, INBOX_BATCH)
            }));
        }
        if self.number == 0 {
            self.watch_state(ctx);
        }
    }
}

impl StreamHandler<Vec<Arrival>> for Bridge {
    fn handle(&mut self, mut batch: Vec<Arrival>, _: &mut Self::Context) {
        fault::point!("hub.bridge.receive");
        fault::point!("hub.bridge.deaf", ());
        if fault::asked!("hub.bridge.reverse") {
            batch.reverse();
        }
        for arrival in &batch {
            self.arrived(arrival);
            if fault::asked!("hub.bridge.double") {
                self.arrived(arrival);
            }
        }
    }
}

impl Handler<Publish> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Publish, _: &mut Self::Context) {
        fault::point!("hub.bridge.publish");
        fault::point!("hub.bridge.lose", ());
        let Publish { room_id, content } = message;
        publish(&*self.bus, &self.parts.origin, room_id, content.encode());
    }
}

/// Hands what was encoded to the bus.
fn publish(
    bus: &dyn Bus,
    origin: &Origin,
    room_id: RoomId,
    encoded: Result<bytes::Bytes, PayloadError>,
) {
    let payload = match encoded {
        Ok(payload) => payload,
        Err(error) => {
            tracing::error!(%error, room = %room_id, "an envelope cannot be written");
            return;
        }
    };
    let published = bus.publish(Envelope {
        origin: origin.clone(),
        room_id,
        payload,
    });
    if let Err(error) = published {
        ENVELOPES.with_label_values(&["lost"]).inc();
        tracing::debug!(%error, room = %room_id, "an envelope was lost; the rooms will notice");
    }
}
