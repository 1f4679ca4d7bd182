//! The way from a room to its members' sockets: shared writes, order, and huge rooms beside small
//! ones.

use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::raw::{FIN, RawPeer, masked, opcode};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::{End, Socket};

struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
    huge: Room,
    small: Room,
}

async fn scene() -> Scene {
    scene_with(&[]).await
}

/// One thread, so that everything has to share it.
async fn scene_with(settings: &[(&str, &str)]) -> Scene {
    let database = postgres::database().await;
    let mut options = NodeOptions::on(&database.url).set("HUBBUB__HTTP__WORKERS", "1");
    for (name, value) in settings {
        options = options.set(name, value);
    }
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let huge = ada.create_room("huge").await;
    let small = ada.create_room("small").await;
    Scene {
        node,
        _database: database,
        ada,
        huge,
        small,
    }
}

impl Scene {
    async fn member_of(&self, room: &Room) -> Socket {
        let mut socket = Socket::connect(&self.node, &self.ada).await;
        socket.join(&room.id).await;
        socket
    }

    /// A member of the huge room that reads nothing from then on.
    async fn stalled(&self) -> RawPeer {
        let mut peer = RawPeer::upgraded(&self.node, &self.ada.token).await;
        let join = json!({ "id": 1, "cmd": "join", "room": self.huge.id }).to_string();
        peer.write(&masked(FIN | opcode::TEXT, join.as_bytes()))
            .await;
        let reply = peer.read_frame().await.expect("joined");
        assert!(reply.payload.starts_with(b"{\"id\":1,\"ok\""), "{reply:?}");
        peer
    }
}

fn seq(push: &Value) -> u64 {
    push["seq"].as_u64().expect("a message has a seq")
}

/// What comes while a thread is busy goes out with one write to each.
#[tokio::test]
async fn many_frames_go_in_one_write() {
    const MEMBERS: u64 = 20;
    const EVENTS: u64 = 50;
    let scene = scene().await;
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(scene.member_of(&scene.huge).await);
    }
    scene.node.fault("hub.fanout.apply", "sleep(10)").await;
    let delivered = scene.node.metric("hub_deliveries_total").await;
    let writes = scene.node.metric("hub_socket_writes_total").await;
    for n in 0..EVENTS {
        let event = json!({ "room": scene.huge.id, "name": "n", "data": n, "volatile": true });
        members[0].send_command("emit", event).await;
    }
    for _ in 0..EVENTS {
        members[0].reply().await.expect("it is open");
    }
    for member in &mut members {
        for n in 0..EVENTS {
            assert_eq!(member.push("event").await["data"], n);
        }
    }
    scene.node.fault("hub.fanout.apply", "off").await;
    let delivered = scene.node.metric("hub_deliveries_total").await - delivered;
    let writes = scene.node.metric("hub_socket_writes_total").await - writes;
    assert!(delivered >= MEMBERS * EVENTS, "{delivered}");
    assert!(
        writes < delivered / 4,
        "{writes} writes, {delivered} frames"
    );
}

/// A huge room whose members take nothing, with more for each than it can hold, is no hindrance to
/// a small one on the same thread.
#[tokio::test]
async fn a_huge_room_that_is_stuck_does_not_hold_up_a_small_one() {
    const PEERS: u64 = 200;
    let scene = scene().await;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(scene.stalled().await);
    }
    let mut flood = Socket::connect(&scene.node, &scene.ada).await;
    flood.join(&scene.huge.id).await;
    let (mut ada, mut bob) = (
        scene.member_of(&scene.small).await,
        scene.member_of(&scene.small).await,
    );
    let data = "x".repeat(60_000);
    let dropped = "hub_ephemeral_dropped_total{queue=\"outbox\"}";
    let mut said = 0;
    // Until every outbox is full, and still for a while.
    while scene.node.metric(dropped).await < 3 * PEERS {
        let event = json!({ "room": scene.huge.id, "name": "n", "data": data, "volatile": true });
        flood.ok("emit", event).await;
        said += 1;
        ada.publish(&scene.small.id, "hi", &said.to_string()).await;
        for socket in [&mut ada, &mut bob] {
            assert_eq!(seq(&socket.push("message").await), said);
        }
    }
    // What is durable ends those who do not take it, and nobody else.
    for n in 0..40 {
        flood.publish(&scene.huge.id, &data, &n.to_string()).await;
    }
    eventually("they are slow", async || {
        let name = "websocket_disconnects_total{reason=\"slow\"}";
        (scene.node.metric(name).await == PEERS).then_some(())
    })
    .await;
    ada.publish(&scene.small.id, "end", "end").await;
    assert_eq!(bob.push("message").await["body"], "end");
}

/// Who joins and leaves while a room pours gets every event between the two, once and in order.
#[tokio::test]
async fn whoever_comes_and_goes_in_the_middle_gets_every_event_in_between() {
    const MEMBERS: usize = 30;
    const ROUNDS: usize = 15;
    let scene = scene().await;
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(scene.member_of(&scene.huge).await);
    }
    let mut guest = Socket::connect(&scene.node, &scene.ada).await;
    let mut said = 0;
    for _ in 0..ROUNDS {
        // In one go each, so that joins and leaves meet events on their way.
        for _ in 0..20 {
            said += 1;
            let client_id = said.to_string();
            let message = json!({ "room": scene.huge.id, "body": "x", "client_id": client_id });
            members[0].send_command("publish", message).await;
        }
        let joined = guest.join(&scene.huge.id).await;
        let mut position = joined["last_seq"].as_u64().expect("a seq");
        for _ in 0..20 {
            members[0].reply().await.expect("it is open");
        }
        guest.ok("leave", json!({ "room": scene.huge.id })).await;
        let pushes = guest.take_pushes();
        for push in pushes.iter().filter(|push| push["push"] == "message") {
            position += 1;
            assert_eq!(seq(push), position);
        }
    }
    for member in &mut members {
        for expected in 1..=said {
            assert_eq!(seq(&member.push("message").await), expected);
        }
    }
}

/// What is said in two rooms, each within its bound and both together more than an outbox holds,
/// is written at once: members who read are no slow ones.
#[tokio::test]
async fn a_burst_in_two_rooms_ends_nobody_who_reads() {
    const EACH: u64 = 5;
    // Rooms that were walked a moment ago wait for what else may come.
    let scene = scene_with(&[("HUBBUB__WEBSOCKET__COALESCE_MS", "1000")]).await;
    let rooms = [&scene.huge, &scene.small];
    let mut writer = Socket::connect(&scene.node, &scene.ada).await;
    let mut members = [
        scene.member_of(&scene.huge).await,
        scene.member_of(&scene.huge).await,
    ];
    for member in &mut members {
        member.join(&scene.small.id).await;
    }
    for room in rooms {
        writer.publish(&room.id, "!", "first").await;
        for member in &mut members {
            member.push("message").await;
        }
    }
    // Each of its characters is two bytes in a frame.
    let body = "\"".repeat(55_000);
    for n in 0..EACH {
        for room in rooms {
            let client_id = n.to_string();
            let message = json!({ "room": room.id, "body": body, "client_id": client_id });
            writer.send_command("publish", message).await;
        }
    }
    for _ in 0..2 * EACH {
        writer.reply().await.expect("it is open");
    }
    for member in &mut members {
        let mut said = std::collections::BTreeMap::<String, u64>::new();
        while said.values().sum::<u64>() < 2 * EACH {
            let push = member.push("message").await;
            let room = push["room"].as_str().expect("a room").to_owned();
            let count = said.entry(room).or_default();
            *count += 1;
            assert_eq!(seq(&push), 1 + *count);
        }
    }
}

/// What finds a thread's inbox full is made up for, also if nothing comes after it.
#[tokio::test]
async fn what_an_idle_thread_could_not_be_told_is_made_up_for() {
    let scene = scene().await;
    let mut socket = scene.member_of(&scene.huge).await;
    // Nothing else is on its way.
    socket.push("presence").await;
    scene.node.fault("hub.fanout.inbox", "return").await;
    scene.ada.post("/api/auth/logout", &json!({})).await.ok();
    eventually("it was told twice in vain", async || {
        let name = "hub_queue_overflows_total{queue=\"fanout\"}";
        (scene.node.metric(name).await >= 2).then_some(())
    })
    .await;
    scene.node.fault("hub.fanout.inbox", "off").await;
    let end = socket.closed().await;
    assert!(matches!(end, End::Closed { code: 4101, .. }), "{end:?}");
}
