//! The bridge: between the node's rooms and the bus. An actor for each lane, so that encoding and
//! decoding are spread over the arbiters; all of a room goes by one lane, in its order.

use std::sync::Arc;

use actix::prelude::*;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::bus::envelope::{Envelope, Origin, Payload, PayloadError};
use crate::bus::{Arrival, Bus, BusState, ENVELOPES, IN, Inbox, lane_of, presence};
use crate::fault;
use crate::hub::anti_entropy::AntiEntropy;
use crate::hub::arbiters::start_on;
use crate::hub::encoded::{Ephemeral, SharedEvent, SharedPush};
use crate::hub::metrics::OVERFLOWS;
use crate::hub::presence::Presence;
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;
use crate::protocol::id::RoomId;
use crate::stall::Activity;

/// What may wait to be published, in each lane.
const MAILBOX: usize = 4096;

/// Arrivals handled in one go.
const INBOX_BATCH: usize = 256;

/// The way to the bridge, whichever actors it has now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BridgeHandle {
    bus: Arc<dyn Bus>,
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
}

impl BridgeHandle {
    pub(crate) fn new(bus: Arc<dyn Bus>) -> Self {
        let lanes = (0..bus.lanes()).map(|_| RwLock::default()).collect();
        Self { bus, lanes }
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

    /// Tells other nodes something ephemeral. What rooms are told of presence each node tells its own.
    pub(crate) fn ephemeral(&self, push: &Ephemeral) {
        let room_id = push.room_id();
        if !self.bus.has_listeners(room_id) {
            return;
        }
        let payload = match push {
            Ephemeral::Typing {
                user_id, typing, ..
            } => Payload::Typing {
                user_id: *user_id,
                typing: *typing,
            },
            Ephemeral::Custom {
                user_id,
                name,
                data,
                ..
            } => Payload::Custom {
                user_id: *user_id,
                name: name.clone(),
                data: data.clone(),
            },
            Ephemeral::Read {
                user_id, msg_no, ..
            } => Payload::Read {
                user_id: *user_id,
                msg_no: *msg_no,
            },
            Ephemeral::Presence { .. } => return,
        };
        self.send(room_id, Content::Ephemeral(payload));
    }

    /// Tells other nodes who is present here, on a channel of presence.
    pub(crate) fn presence(&self, channel: RoomId, said: Payload) {
        if self.bus.has_listeners(channel) {
            self.send(channel, Content::Ephemeral(said));
        }
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
    /// Something that is worth no row.
    Ephemeral(Payload),
}

impl Content {
    fn encode(&self) -> Result<bytes::Bytes, PayloadError> {
        match self {
            Self::Events(events) => Payload::encode_events(events.iter().map(|it| &it.event)),
            Self::Ephemeral(payload) => payload.encode(),
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
        let Some(room) = self.parts.registry.find(room_id) else {
            return Ok(());
        };
        let ephemeral = match Payload::decode(room_id, &envelope.payload)? {
            Payload::Events(events) => {
                let shared = |event| SharedEvent::new(event, None);
                room.committed(events.into_iter().map(shared).collect());
                return Ok(());
            }
            Payload::Typing { user_id, typing } => Ephemeral::Typing {
                room_id,
                user_id,
                typing,
            },
            Payload::Read { user_id, msg_no } => Ephemeral::Read {
                room_id,
                user_id,
                msg_no,
            },
            Payload::Custom {
                user_id,
                name,
                data,
            } => Ephemeral::Custom {
                room_id,
                user_id,
                name,
                data,
            },
            // These have channels of their own.
            Payload::PresenceDiff { .. } | Payload::PresenceDigest(_) => {
                ENVELOPES.with_label_values(&["misplaced"]).inc();
                return Ok(());
            }
        };
        room.broadcast(SharedPush::new(ephemeral), None);
        Ok(())
    }

    /// Has all rooms compare their heads whenever the bus has come back: what was published
    /// meanwhile did not come. One lane does it for all.
    fn watch_state(&self, ctx: &mut Context<Self>) {
        let mut states = self.bus.states();
        let anti_entropy = self.parts.anti_entropy.clone();
        let watching = async move {
            while states.changed().await.is_ok() {
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
        let room_id = message.room_id;
        let payload = match message.content.encode() {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(%error, room = %room_id, "an envelope cannot be written");
                return;
            }
        };
        let published = self.bus.publish(Envelope {
            origin: self.parts.origin.clone(),
            room_id,
            payload,
        });
        if let Err(error) = published {
            ENVELOPES.with_label_values(&["lost"]).inc();
            tracing::debug!(%error, room = %room_id, "an envelope was lost; the rooms will notice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::local::LocalBus;
    use crate::hub::presence::elsewhere::{Asker, Asking, NodeSilent, PresenceElsewhere};
    use crate::hub::supervision::ActorId;
    use crate::protocol::id::UserId;
    use crate::protocol::presence::{PresenceDigests, PresencePage, PresencePull, PresenceStands};

    struct Nobody;

    impl PresenceElsewhere for Nobody {
        fn page<'a>(&'a self, _: &'a Origin, _: PresencePull) -> Asking<'a, PresencePage> {
            Box::pin(std::future::ready(Err(NodeSilent)))
        }

        fn stands<'a>(&'a self, _: &'a Origin, _: PresenceStands) -> Asking<'a, PresenceDigests> {
            Box::pin(std::future::ready(Err(NodeSilent)))
        }
    }

    fn origin(node: &str) -> Origin {
        Origin {
            node: node.into(),
            incarnation: 1,
        }
    }

    fn parts() -> BridgeParts {
        BridgeParts {
            origin: origin("here"),
            registry: Registry::default(),
            anti_entropy: AntiEntropy::new(std::time::Duration::from_secs(1)),
            presence: Presence::new(Asker::new(Arc::new(Nobody), 0), BusState::Local),
        }
    }

    #[actix_rt::test]
    async fn what_one_node_publishes_arrives_at_the_other() {
        let bus = LocalBus::default();
        let (here, there) = (Arc::new(bus.attach()), bus.attach());
        let room_id = RoomId::generate();
        there.subscribe(room_id);
        let (reports, _downs) = tokio::sync::mpsc::channel(1);
        let bridge = BridgeHandle::new(here);
        let guard = Guard::new(ActorId::Bridge(0), 1, reports);
        bridge.start(&Arbiter::current(), 0, parts(), guard);
        let typing = Ephemeral::Typing {
            room_id,
            user_id: UserId::generate(),
            typing: true,
        };
        bridge.ephemeral(&typing);
        let mut inbox = there.take_inbox(0).unwrap();
        let batch = std::future::poll_fn(|cx| inbox.poll_batch(cx, 1)).await;
        let Some(Arrival::Envelope(envelope)) = batch.unwrap().pop() else {
            panic!("something else came");
        };
        assert_eq!(envelope.origin, origin("here"));
        assert!(matches!(
            Payload::decode(room_id, &envelope.payload),
            Ok(Payload::Typing { typing: true, .. })
        ));
        #[cfg(feature = "failpoints")]
        panics_and_is_recreated().await;
    }

    /// Not a test of its own: the fault would hit the other one.
    #[cfg(feature = "failpoints")]
    async fn panics_and_is_recreated() {
        let bus = LocalBus::default();
        let (here, there) = (Arc::new(bus.attach()), bus.attach());
        let room_id = RoomId::generate();
        there.subscribe(room_id);
        let (reports, mut downs) = tokio::sync::mpsc::channel(2);
        let bridge = BridgeHandle::new(Arc::clone(&here) as Arc<dyn Bus>);
        let start = |life| {
            let guard = Guard::new(ActorId::Bridge(0), life, reports.clone());
            bridge.start(&Arbiter::current(), 0, parts(), guard);
        };
        let typing = Ephemeral::Typing {
            room_id,
            user_id: UserId::generate(),
            typing: true,
        };
        start(1);
        fail::cfg("hub.bridge.publish", "1*panic").unwrap();
        bridge.ephemeral(&typing);
        assert_eq!(downs.recv().await.map(|down| down.life), Some(1));
        start(2);
        bridge.ephemeral(&typing);
        let mut inbox = there.take_inbox(0).unwrap();
        let batch = std::future::poll_fn(|cx| inbox.poll_batch(cx, 2)).await;
        assert_eq!(
            batch.unwrap().len(),
            1,
            "the first was lost with its bridge"
        );
        assert!(here.take_inbox(0).is_none(), "the second bridge has it");
    }
}
