//! Peers that read slowly, not at all, or are not there any more; and one that asks too much.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::raw::{FIN, RawPeer, masked, opcode};
use crate::harness::rest::{User, register};
use crate::harness::socket::Socket;

struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
    room: String,
}

async fn scene(settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    Scene {
        node,
        _database: database,
        ada,
        room,
    }
}

impl Scene {
    /// A peer that joins the room and reads nothing from then on.
    async fn stalled(&self) -> RawPeer {
        let mut peer = RawPeer::upgraded(&self.node, &self.ada.token).await;
        let join = json!({ "id": 1, "cmd": "join", "room": self.room }).to_string();
        peer.write(&masked(FIN | opcode::TEXT, join.as_bytes()))
            .await;
        let reply = peer.read_frame().await.expect("joined");
        assert!(reply.payload.starts_with(b"{\"id\":1,\"ok\""), "{reply:?}");
        peer
    }

    async fn closed_for(&self, reason: &str) -> u64 {
        let name = format!("websocket_disconnects_total{{reason=\"{reason}\"}}");
        self.node.metric(&name).await
    }
}

/// The queue is full: it is closed, its socket goes, and nobody else notices.
#[tokio::test]
pub(crate) async fn who_reads_nothing_goes_and_so_does_the_socket() {
    const PEERS: u64 = 10;
    let scene = scene(&[("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "1000")]).await;
    let mut reader = Socket::connect(&scene.node, &scene.ada).await;
    reader.join(&scene.room).await;
    let files = scene.node.open_files();
    let memory = scene.node.resident_bytes();
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(scene.stalled().await);
    }
    let body = "x".repeat(60_000);
    let (mut slowest, mut sent) = (Duration::ZERO, 0);
    while scene.closed_for("slow").await < PEERS {
        assert!(sent < 1000, "nobody is slow after {sent} messages");
        let begun = Instant::now();
        reader.publish(&scene.room, &body, &sent.to_string()).await;
        reader.push("message").await;
        slowest = slowest.max(begun.elapsed());
        sent += 1;
    }
    let grown = scene.node.resident_bytes().saturating_sub(memory);
    println!(
        "{sent} messages, the slowest {slowest:?}, memory grew by {} KiB",
        grown / 1024
    );
    // Each may have 1 MiB, and they share it.
    assert!(grown < 48 << 20, "{grown} bytes");
    eventually("the files are given back", async || {
        (scene.node.open_files() <= files).then_some(())
    })
    .await;
    // Also the kernel's part of it: the peers are told at once, whatever they have not read.
    for peer in &mut peers {
        while peer.read_frame().await.is_some() {}
    }
    reader.publish(&scene.room, "undisturbed", "end").await;
}

async fn next_message(peer: &mut RawPeer) -> Value {
    loop {
        let frame = peer.read_frame().await.expect("it is not slow");
        let push: Value = serde_json::from_slice(&frame.payload).expect("a push");
        if push["push"] == "message" {
            return push;
        }
    }
}

/// A burst of megabytes, given to the room faster than one of its members takes it: what does not fit
/// is read again when it has read on, out of the room's memory or the log.
async fn a_burst_beyond_the_outbox(memory_bytes: &str) {
    const MESSAGES: u64 = 100;
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
        ("HUBBUB__WEBSOCKET__NOTSENT_LOWAT_BYTES", "4096"),
        // However long this machine takes for the burst.
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_STALL_MS", "600000"),
        ("HUBBUB__HUB__ROOM_MEMORY_BYTES", memory_bytes),
    ])
    .await;
    let mut member = scene.stalled().await;
    let mut writer = Socket::connect(&scene.node, &scene.ada).await;
    // Each of its characters is two bytes in a frame.
    let body = "\"".repeat(40_000);
    for n in 0..MESSAGES {
        let client_id = n.to_string();
        let message = json!({ "room": scene.room, "body": body, "client_id": client_id });
        writer.send_command("publish", message).await;
    }
    for _ in 0..MESSAGES {
        writer.reply().await.expect("it is stored");
    }
    eventually("it is behind", async || {
        let behind = "hub_stragglers_total{fate=\"behind\"}";
        (scene.node.metric(behind).await > 0).then_some(())
    })
    .await;
    for seq in 1..=MESSAGES {
        let push = next_message(&mut member).await;
        assert_eq!(push["seq"], seq, "{}", push["push"]);
        assert_eq!(push["body"], body);
    }
    // It is among the others again.
    writer.publish(&scene.room, "live", "live").await;
    let push = next_message(&mut member).await;
    let live = (&json!(MESSAGES + 1), &json!("live"));
    assert_eq!((&push["seq"], &push["body"]), live);
    assert_eq!(scene.closed_for("slow").await, 0);
}

#[tokio::test]
async fn a_burst_is_given_on_out_of_memory_to_those_who_read() {
    a_burst_beyond_the_outbox("100000000").await;
}

#[tokio::test]
async fn a_burst_is_given_on_out_of_the_log_to_those_who_read() {
    a_burst_beyond_the_outbox("100000").await;
}

/// The queue is not full, and what is in it gets old.
#[tokio::test]
pub(crate) async fn what_waits_too_long_makes_a_slow_peer() {
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_AGE_MS", "2000"),
        ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
        ("HUBBUB__WEBSOCKET__NOTSENT_LOWAT_BYTES", "4096"),
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "100000000"),
        ("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "1000"),
    ])
    .await;
    let mut reader = Socket::connect(&scene.node, &scene.ada).await;
    reader.join(&scene.room).await;
    let files = scene.node.open_files();
    let mut peer = scene.stalled().await;
    // More than both kernels hold.
    let begun = Instant::now();
    let body = "x".repeat(60_000);
    for n in 0..200 {
        reader.publish(&scene.room, &body, &n.to_string()).await;
        reader.push("message").await;
    }
    eventually("it is slow", async || {
        (scene.closed_for("slow").await == 1).then_some(())
    })
    .await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2), "too early: {took:?}");
    eventually("the file is given back", async || {
        (scene.node.open_files() <= files).then_some(())
    })
    .await;
    while peer.read_frame().await.is_some() {}
    reader.ping().await;
}

/// A replay is paced by its reader: one that takes its time is not slow, one that takes nothing is.
#[tokio::test]
async fn a_replay_waits_for_its_reader_but_not_for_ever() {
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_AGE_MS", "2000"),
        ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
        ("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "1"),
    ])
    .await;
    let mut writer = Socket::connect(&scene.node, &scene.ada).await;
    let body = "x".repeat(60_000);
    for n in 0..200 {
        writer.publish(&scene.room, &body, &n.to_string()).await;
    }
    let mut patient = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    let mut stalled = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    let join = json!({ "id": 1, "cmd": "join", "room": scene.room, "since": 0 }).to_string();
    for peer in [&mut patient, &mut stalled] {
        peer.write(&masked(FIN | opcode::TEXT, join.as_bytes()))
            .await;
    }
    let mut messages = 0;
    while messages < 200 {
        let frame = patient.read_frame().await.expect("it is not slow");
        if frame.payload.starts_with(b"{\"push\":\"message\"") {
            messages += 1;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    eventually("the other is slow", async || {
        (scene.closed_for("slow").await == 1).then_some(())
    })
    .await;
    eventually("and goes", async || {
        let open = scene.node.metric("websocket_active_connections").await;
        (open == 2).then_some(())
    })
    .await;
}

/// The other end has gone without a word: no answer to a ping, and its socket goes.
#[tokio::test]
async fn a_dead_peer_goes_by_heartbeat() {
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__PING_INTERVAL_S", "1"),
        ("HUBBUB__WEBSOCKET__PING_TIMEOUT_S", "1"),
        ("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "1000"),
    ])
    .await;
    // It never reads again, which is all that the hub can see of a dead one.
    let mut peer = scene.stalled().await;
    let files = scene.node.open_files();
    eventually("it is given up", async || {
        (scene.closed_for("heartbeat_timeout").await == 1).then_some(())
    })
    .await;
    eventually("the file is given back", async || {
        (scene.node.open_files() < files).then_some(())
    })
    .await;
    assert_eq!(peer.close_code().await, Some(4002));
}

/// What is ephemeral goes first, and what is durable comes whole.
#[tokio::test]
async fn ephemeral_pushes_are_dropped_first() {
    let scene = scene(&[
        ("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", "1024"),
        ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
        ("HUBBUB__WEBSOCKET__NOTSENT_LOWAT_BYTES", "4096"),
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "100000000"),
    ])
    .await;
    let mut talker = Socket::connect(&scene.node, &scene.ada).await;
    talker.join(&scene.room).await;
    let mut peer = scene.stalled().await;
    let dropped = "hub_ephemeral_dropped_total{queue=\"outbox\"}";
    let body = "x".repeat(60_000);
    let (mut messages, mut cursors) = (0, 0);
    while scene.node.metric(dropped).await < 20 {
        assert!(messages < 2000, "nothing is dropped");
        talker
            .publish(&scene.room, &body, &messages.to_string())
            .await;
        messages += 1;
        for _ in 0..5 {
            let fields =
                json!({ "room": scene.room, "name": "cursor", "data": 1, "volatile": true });
            talker.ok("emit", fields).await;
            cursors += 1;
        }
        talker.take_pushes();
    }
    let (mut seen_messages, mut seen_cursors) = (0, 0);
    while seen_messages < messages {
        let frame = peer.read_frame().await.expect("it is not closed");
        if frame.payload.starts_with(b"{\"push\":\"message\"") {
            seen_messages += 1;
        } else if frame.payload.starts_with(b"{\"push\":\"event\"") {
            seen_cursors += 1;
        }
    }
    println!("{messages} messages, all there; {seen_cursors} of {cursors} volatile events");
    assert!(seen_cursors < cursors, "{seen_cursors} of {cursors}");
    assert_eq!(scene.closed_for("slow").await, 0);
}

/// 10,000 joins by one connection: of one room, of rooms that are not there, and of more rooms than
/// it may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_joins_of_one_connection() {
    const JOINS: usize = 10_000;
    const ROOMS: usize = 20;
    let scene = scene(&[("HUBBUB__WEBSOCKET__MAX_ROOMS", "10")]).await;
    let mut rooms = vec![scene.room.clone()];
    for n in 1..ROOMS {
        rooms.push(scene.ada.create_room(&format!("room-{n}")).await.id);
    }
    let mut bystander = Socket::connect(&scene.node, &scene.ada).await;
    bystander.join(&scene.room).await;
    let memory = scene.node.resident_bytes();
    let mut greedy = Socket::connect(&scene.node, &scene.ada).await;
    let nowhere = uuid::Uuid::now_v7().to_string();
    let wanted = |n: usize| match n % 4 {
        0 => nowhere.as_str(),
        1 => "no-such-slug",
        2 => rooms[0].as_str(),
        _ => rooms[n / 4 % ROOMS].as_str(),
    };
    let begun = Instant::now();
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    let mut slowest = Duration::ZERO;
    for chunk in 0..JOINS / 500 {
        for n in 0..500 {
            let fields = json!({ "room": wanted(n + 500 * chunk), "since": 0 });
            greedy.send_command("join", fields).await;
        }
        let asked = Instant::now();
        let key = chunk.to_string();
        bystander.publish(&scene.room, "undisturbed", &key).await;
        slowest = slowest.max(asked.elapsed());
        for _ in 0..500 {
            let reply = greedy.reply().await.expect("the connection goes on");
            let code = reply["err"]["code"].as_str().unwrap_or("ok").to_owned();
            *codes.entry(code).or_default() += 1;
        }
        greedy.take_pushes();
        bystander.take_pushes();
    }
    let grown = scene.node.resident_bytes().saturating_sub(memory);
    println!(
        "{JOINS} joins in {:?}: {codes:?}; memory grew by {} KiB; the bystander's slowest ack {slowest:?}",
        begun.elapsed(),
        grown / 1024
    );
    assert_eq!(codes["room_not_found"], JOINS / 2);
    assert_eq!(codes.values().sum::<usize>(), JOINS);
    assert!(codes["ok"] >= JOINS / 4, "{codes:?}");
    assert!(codes["too_many_rooms"] >= JOINS / 10, "{codes:?}");
    assert_eq!(codes.len(), 3, "{codes:?}");
    assert!(grown < 32 << 20, "{grown} bytes");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
