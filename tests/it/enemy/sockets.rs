//! What a socket can be made to hold, or to do after its end.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::raw::{FIN, RawPeer, masked, opcode};
use crate::harness::rest::{Room, User, login, register};
use crate::harness::socket::Socket;

const TEXT: u8 = FIN | opcode::TEXT;
const MIB: u64 = 1 << 20;

struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
    room: Room,
}

impl Scene {
    async fn with(settings: &[(&str, &str)]) -> Self {
        let (node, database) = Node::on_fresh_database_with(settings).await;
        let ada = register(&node, "ada").await;
        let room = ada.create_room("general").await;
        Self {
            node,
            database,
            ada,
            room,
        }
    }

    /// With a replay that fills every buffer, and is not over before its reader reads.
    async fn with_a_long_replay() -> Self {
        let scene = Self::with(&[
            ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
            ("HUBBUB__WEBSOCKET__OUTBOX_MAX_AGE_MS", "600000"),
        ])
        .await;
        let mut writer = Socket::connect(&scene.node, &scene.ada).await;
        let body = "x".repeat(60_000);
        for n in 0..REPLAYED {
            writer.publish(&scene.room.id, &body, &n.to_string()).await;
        }
        writer.close().await;
        scene
    }

    /// Ends the session of a peer, and reads up to its end. What its connection still had to do it
    /// has done then.
    async fn revoke(&self, user: &User, peer: &mut RawPeer) {
        user.post("/api/auth/logout", &json!({})).await;
        assert_eq!(peer.close_code().await, Some(4101));
    }

    /// Nothing but this bystander's word comes after what was there.
    async fn only_comes(&self, bystander: &mut Socket, messages: usize) {
        eventually("the other connection has ended", async || {
            let open = self.node.metric("websocket_active_connections").await;
            (open == 1).then_some(())
        })
        .await;
        // One writer serves the room: what was handed to it before is there now.
        bystander.publish(&self.room.id, "undisturbed", "end").await;
        let history = self.ada.history(&self.room.id).await;
        assert_eq!(history.len(), messages + 1);
        assert_eq!(history[messages]["client_id"], "end");
    }

    async fn send(&self, peer: &mut RawPeer, request: &Value) {
        peer.write(&masked(TEXT, request.to_string().as_bytes()))
            .await;
    }

    /// A peer whose replay has begun.
    async fn replaying(&self, user: &User) -> RawPeer {
        let mut peer = RawPeer::upgraded(&self.node, &user.token).await;
        let join = json!({ "id": 1, "cmd": "join", "room": self.room.id, "since": 0 });
        self.send(&mut peer, &join).await;
        let reply = peer.read_frame().await.expect("a reply");
        assert!(reply.payload.starts_with(b"{\"id\":1,\"ok\""), "{reply:?}");
        peer
    }
}

const REPLAYED: usize = 150;

/// Empty messages cost their sender next to nothing, and what waits for its turn is bounded.
#[tokio::test]
async fn a_flood_of_nothing_beside_a_replay() {
    let scene = Scene::with_a_long_replay().await;
    let mut bystander = Socket::connect(&scene.node, &scene.ada).await;
    let (_reader, mut writer) = scene.replaying(&scene.ada).await.into_split();
    let before = scene.node.resident_bytes();
    let flood = masked(TEXT, b"").repeat(10_000);
    let flooding = async {
        // More than both kernels hold.
        for _ in 0..1000 {
            writer.write_all(&flood).await.expect("it is open");
        }
    };
    tokio::select! {
        () = flooding => panic!("all of it was taken"),
        () = eventually("it is read no further", async || {
            (scene.node.metric("websocket_held_full_total").await > 0).then_some(())
        }) => {}
    }
    bystander.ping().await;
    let grown = scene.node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown}");
}

/// However much a connection has said at once, others have their turn in between.
#[tokio::test]
async fn a_read_full_of_commands_is_several_turns() {
    const COMMANDS: usize = 1500;
    let scene = Scene::with(&[]).await;
    let mut peer = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
    let before = scene.node.metric("websocket_turns_over_total").await;
    let commands: Vec<u8> = (0..COMMANDS)
        .flat_map(|n| {
            let request = json!({ "id": n, "cmd": "ping" });
            masked(TEXT, request.to_string().as_bytes())
        })
        .collect();
    assert!(commands.len() < 64 * 1024, "one read");
    // All of it is there before any of it is read.
    scene.node.freeze();
    peer.write(&commands).await;
    scene.node.thaw();
    for n in 0..COMMANDS {
        let reply = peer.read_frame().await.expect("a reply");
        let reply: Value = serde_json::from_slice(&reply.payload).expect("JSON");
        assert_eq!(reply, json!({ "id": n, "ok": {} }));
    }
    let turns = scene.node.metric("websocket_turns_over_total").await - before;
    assert!((1..=3).contains(&turns), "{turns}");
}

/// What was held when the session ended is not run for it.
#[tokio::test]
async fn commands_that_are_held_die_with_the_session() {
    let scene = Scene::with_a_long_replay().await;
    let mut bystander = Socket::connect(&scene.node, &scene.ada).await;
    let doomed = login(&scene.node, "ada").await;
    let mut peer = scene.replaying(&doomed).await;
    let publish = json!({
        "id": 2, "cmd": "publish", "room": scene.room.id, "body": "late", "client_id": "late",
    });
    scene.send(&mut peer, &publish).await;
    peer.write(&masked(FIN | opcode::PING, b"held")).await;
    let mut messages = 0;
    loop {
        let frame = peer.read_frame().await.expect("the replay goes on");
        if frame.first == FIN | opcode::PONG {
            break;
        }
        messages += 1;
    }
    assert!(messages < REPLAYED / 2, "{messages}: the replay goes on");
    scene.revoke(&doomed, &mut peer).await;
    scene.only_comes(&mut bystander, REPLAYED).await;
}

/// Nor is what waited for a room to be looked up.
#[tokio::test]
async fn commands_that_wait_for_a_room_die_with_the_session() {
    let scene = Scene::with(&[]).await;
    let mut bystander = Socket::connect(&scene.node, &scene.ada).await;
    let doomed = login(&scene.node, "ada").await;
    let mut peer = RawPeer::upgraded(&scene.node, &doomed.token).await;
    let sql = scene.database.connect().await;
    sql.batch_execute("BEGIN; LOCK TABLE rooms")
        .await
        .expect("it is locked");
    let publish = json!({
        "id": 1, "cmd": "publish", "room": scene.room.slug, "body": "late", "client_id": "late",
    });
    scene.send(&mut peer, &publish).await;
    let watch = scene.database.connect().await;
    eventually("the room is looked up", async || {
        let sql = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'rooms'::regclass";
        let waiting = watch.query(sql, &[]).await.expect("locks can be read");
        (!waiting.is_empty()).then_some(())
    })
    .await;
    doomed.post("/api/auth/logout", &json!({})).await;
    let farewell = peer.read_frame().await.expect("a close frame");
    assert_eq!(farewell.payload[..2], 4101_u16.to_be_bytes());
    sql.batch_execute("COMMIT").await.expect("it is unlocked");
    peer.write(&masked(FIN | opcode::CLOSE, &4101_u16.to_be_bytes()))
        .await;
    scene.only_comes(&mut bystander, 0).await;
}

/// Answers of a few bytes each are bounded by the memory that they take, not by those bytes.
#[tokio::test]
async fn a_flood_of_small_answers_to_peers_that_read_nothing() {
    const PEERS: usize = 8;
    const COMMANDS: usize = 40_000;
    let scene = Scene::with(&[
        ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
        ("HUBBUB__WEBSOCKET__OUTBOX_MAX_AGE_MS", "600000"),
    ])
    .await;
    let mut bystander = Socket::connect(&scene.node, &scene.ada).await;
    let flood = masked(TEXT, br#"{"id":1,"cmd":"ping"}"#).repeat(COMMANDS);
    let answers = COMMANDS * br#"..{"id":1,"ok":{}}"#.len();
    assert!(
        answers < 1 << 20,
        "{answers}: the bytes alone would have room"
    );
    let before = scene.node.resident_bytes();
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = RawPeer::upgraded(&scene.node, &scene.ada.token).await;
        peer.write(&flood).await;
        peers.push(peer);
    }
    eventually("all are slow", async || {
        let slow = "websocket_disconnects_total{reason=\"slow\"}";
        (scene.node.metric(slow).await == PEERS as u64).then_some(())
    })
    .await;
    let grown = scene.node.resident_bytes().saturating_sub(before);
    assert!(grown < 3 * MIB * PEERS as u64, "{grown}");
    bystander.ping().await;
}
