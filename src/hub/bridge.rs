//! The bridge: one actor between the node's rooms and the bus.

use std::sync::Arc;

use actix::prelude::*;
use parking_lot::RwLock;

use crate::bus::envelope::{Envelope, Origin, Payload, PayloadError};
use crate::bus::{Bus, Inbox};
use crate::fault;
use crate::hub::arbiters::start_on;
use crate::hub::encoded::{Ephemeral, SharedEvent, SharedPush};
use crate::hub::metrics::{BUS_ENVELOPES, OVERFLOWS};
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;
use crate::protocol::id::RoomId;
use crate::stall::Activity;

/// What may wait to be published.
const MAILBOX: usize = 4096;

/// Envelopes taken from the inbox at once.
const INBOX_BATCH: usize = 256;

/// The way to the bridge. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BridgeHandle {
    bus: Arc<dyn Bus>,
    addr: Arc<RwLock<Option<Addr<Bridge>>>>,
}

impl BridgeHandle {
    pub(crate) fn new(bus: Arc<dyn Bus>) -> Self {
        Self {
            bus,
            addr: Arc::default(),
        }
    }

    /// Starts the actor, or starts it again.
    pub(crate) fn start(
        &self,
        arbiter: &ArbiterHandle,
        origin: Origin,
        registry: Registry,
        guard: Guard,
    ) {
        let bus = Arc::clone(&self.bus);
        let addr = start_on(arbiter, Activity::Bridge, MAILBOX, move || Bridge {
            inbox: bus.take_inbox(),
            bus,
            origin,
            registry,
            _guard: guard,
        });
        *self.addr.write() = Some(addr);
    }

    /// Tells other nodes of committed events. What is lost here they find in Postgres.
    pub(crate) fn events(&self, room_id: RoomId, events: &[Arc<SharedEvent>]) {
        if self.bus.has_listeners(room_id) {
            let events = events.iter().map(|shared| shared.event.clone()).collect();
            self.send(room_id, Payload::Events(events));
        }
    }

    /// Tells other nodes something ephemeral. Presence is told by each node for itself.
    pub(crate) fn ephemeral(&self, push: &Ephemeral) {
        let room_id = push.room_id();
        if !self.bus.has_listeners(room_id) {
            return;
        }
        match push {
            Ephemeral::Typing {
                user_id, typing, ..
            } => self.send(
                room_id,
                Payload::Typing {
                    user_id: *user_id,
                    typing: *typing,
                },
            ),
            Ephemeral::Custom {
                user_id,
                name,
                data,
                ..
            } => self.send(
                room_id,
                Payload::Custom {
                    user_id: *user_id,
                    name: name.clone(),
                    data: data.clone(),
                },
            ),
            Ephemeral::Read {
                user_id, msg_no, ..
            } => self.send(
                room_id,
                Payload::Read {
                    user_id: *user_id,
                    msg_no: *msg_no,
                },
            ),
            Ephemeral::Presence { .. } => {}
        }
    }

    /// This node wants what others publish for a room.
    pub(crate) fn subscribe(&self, room: RoomId) {
        self.bus.subscribe(room);
    }

    /// No longer.
    pub(crate) fn unsubscribe(&self, room: RoomId) {
        self.bus.unsubscribe(room);
    }

    fn send(&self, room_id: RoomId, payload: Payload) {
        let addr = self.addr.read().clone();
        let sent = addr.map(|addr| addr.try_send(Publish { room_id, payload }));
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
    payload: Payload,
}

/// The actor.
struct Bridge {
    bus: Arc<dyn Bus>,
    inbox: Option<Inbox>,
    origin: Origin,
    registry: Registry,
    /// Dropped with it.
    _guard: Guard,
}

impl Bridge {
    fn receive(&self, envelope: &Envelope) -> Result<(), PayloadError> {
        if envelope.origin == self.origin {
            return Ok(());
        }
        let room_id = envelope.room_id;
        let Some(room) = self.registry.find(room_id) else {
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
        };
        room.broadcast(SharedPush::new(ephemeral), None);
        Ok(())
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
    }
}

impl StreamHandler<Vec<Envelope>> for Bridge {
    fn handle(&mut self, batch: Vec<Envelope>, _: &mut Self::Context) {
        fault::point!("hub.bridge.receive");
        for envelope in batch {
            BUS_ENVELOPES.with_label_values(&["in"]).inc();
            if let Err(error) = self.receive(&envelope) {
                BUS_ENVELOPES.with_label_values(&["bad"]).inc();
                tracing::warn!(%error, room = %envelope.room_id, node = %envelope.origin.node, "an envelope cannot be read");
            }
        }
    }
}

impl Handler<Publish> for Bridge {
    type Result = ();

    fn handle(&mut self, message: Publish, _: &mut Self::Context) {
        fault::point!("hub.bridge.publish");
        let room_id = message.room_id;
        let payload = match message.payload.encode() {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(%error, room = %room_id, "an envelope cannot be written");
                return;
            }
        };
        let published = self.bus.publish(Envelope {
            origin: self.origin.clone(),
            room_id,
            payload,
        });
        let label = if published.is_ok() { "out" } else { "lost" };
        BUS_ENVELOPES.with_label_values(&[label]).inc();
        if let Err(error) = published {
            tracing::debug!(%error, room = %room_id, "an envelope was lost; the rooms will notice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::local::LocalBus;
    use crate::hub::supervision::ActorId;
    use crate::protocol::id::UserId;

    fn origin(node: &str) -> Origin {
        Origin {
            node: node.into(),
            incarnation: 1,
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
        bridge.start(
            &Arbiter::current(),
            origin("here"),
            Registry::default(),
            Guard::new(ActorId::Bridge, 1, reports),
        );
        let typing = Ephemeral::Typing {
            room_id,
            user_id: UserId::generate(),
            typing: true,
        };
        bridge.ephemeral(&typing);
        let mut inbox = there.take_inbox().unwrap();
        let batch = std::future::poll_fn(|cx| inbox.poll_batch(cx, 1)).await;
        let envelope = batch.unwrap().remove(0);
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
            let guard = Guard::new(ActorId::Bridge, life, reports.clone());
            let arbiter = Arbiter::current();
            bridge.start(&arbiter, origin("here"), Registry::default(), guard);
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
        let mut inbox = there.take_inbox().unwrap();
        let batch = std::future::poll_fn(|cx| inbox.poll_batch(cx, 2)).await;
        assert_eq!(
            batch.unwrap().len(),
            1,
            "the first was lost with its bridge"
        );
        assert!(here.take_inbox().is_none(), "the second bridge has it");
    }
}
