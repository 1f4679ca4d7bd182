//! What goes out and what comes in, over the bus within a process.

use super::*;
use crate::bus::local::LocalBus;
use crate::hub::changes::Unwatched;
use crate::hub::presence::elsewhere::{Asker, Asking, NodeSilent, PresenceElsewhere};
use crate::hub::supervision::ActorId;
use crate::protocol::id::UserId;
use crate::protocol::presence::{
    PresenceDigest, PresenceDigests, PresencePage, PresencePull, PresenceStands,
};

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

fn parts(bridge: &BridgeHandle) -> BridgeParts {
    BridgeParts {
        changes: Changes::new(Arc::new(Unwatched), bridge.clone()),
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
    let bridge = BridgeHandle::new(here, origin("here"));
    let guard = Guard::new(ActorId::Bridge(0), 1, reports);
    bridge.start(&Arbiter::current(), 0, parts(&bridge), guard);
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
    let channel = presence::channel(0);
    there.subscribe(channel);
    let (reports, mut downs) = tokio::sync::mpsc::channel(2);
    let bridge = BridgeHandle::new(Arc::clone(&here) as Arc<dyn Bus>, origin("here"));
    let start = |life| {
        let guard = Guard::new(ActorId::Bridge(0), life, reports.clone());
        bridge.start(&Arbiter::current(), 0, parts(&bridge), guard);
    };
    let say = || {
        let (version, hash) = (1, 2);
        let digest = Payload::PresenceDigest(PresenceDigest { version, hash });
        bridge.presence(channel, digest);
    };
    start(1);
    fail::cfg("hub.bridge.publish", "1*panic").unwrap();
    say();
    assert_eq!(downs.recv().await.map(|down| down.life), Some(1));
    start(2);
    say();
    let mut inbox = there.take_inbox(0).unwrap();
    let batch = std::future::poll_fn(|cx| inbox.poll_batch(cx, 2)).await;
    assert_eq!(
        batch.unwrap().len(),
        1,
        "the first was lost with its bridge"
    );
    assert!(here.take_inbox(0).is_none(), "the second bridge has it");
}

#[test]
fn what_is_ephemeral_takes_the_short_way_and_nothing_else() {
    let registry = Registry::default();
    let express = ShortWay { registry };
    let (room_id, user_id) = (RoomId::generate(), UserId::generate());
    let take_on = |room_id: RoomId, payload: Payload| {
        use crate::bus::Express as _;
        express.take(&Envelope {
            origin: origin("there"),
            room_id,
            payload: payload.encode().unwrap(),
        })
    };
    let take = |payload: Payload| take_on(room_id, payload);
    for payload in [
        Payload::Typing {
            user_id,
            typing: true,
        },
        Payload::Read {
            user_id,
            msg_no: u64::MAX,
        },
        Payload::Custom {
            user_id,
            name: "".into(),
            data: serde_json::from_str("null").unwrap(),
        },
    ] {
        assert!(take(payload.clone()));
        for channel in [presence::channel(0), presence::touched_channel()] {
            assert!(!take_on(channel, payload.clone()), "it is misplaced");
        }
    }
    for payload in [
        Payload::Events(Vec::new()),
        Payload::PresenceDiff {
            version: 1,
            changes: Vec::new(),
        },
        Payload::PresenceDigest(PresenceDigest {
            version: 1,
            hash: 2,
        }),
        Payload::Touched {
            number: 1,
            rooms: Vec::new(),
        },
    ] {
        assert!(!take(payload));
    }
}
