//! What a socket can be made to hold, or to do after its end.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::raw::{FIN, RawPeer, masked, opcode};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

const TEXT: u8 = FIN | opcode::TEXT;
const MIB: u64 = 1 << 20;

struct Scene {
    node: Node,
    _database: TestDatabase,
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
            _database: database,
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
