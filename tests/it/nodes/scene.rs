//! Nodes on one database.

use std::time::Duration;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;
use crate::harness::{eventually, rest};

/// Nothing but notices brings an event to another node before this, twice as long as any test
/// waits for something.
pub(super) const SELDOM: (&str, &str) = ("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000");

/// A node on a database, with these settings.
pub(super) fn options(url: &str, settings: &[(&str, &str)]) -> NodeOptions {
    let set = |options: NodeOptions, (key, value): &(&str, &str)| options.set(key, value);
    settings.iter().fold(NodeOptions::on(url), set)
}

/// Two nodes that know of each other.
pub(super) struct Pair {
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) database: TestDatabase,
}

impl Pair {
    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let a = Node::start(options(&database.url, settings)).await;
        let b = Node::start(options(&database.url, settings)).await;
        for node in [&a, &b] {
            living(node, 1).await;
        }
        Self { a, b, database }
    }

    /// A room with a member at each node.
    pub(super) async fn room(&self) -> Shared {
        let ada = register(&self.a, "ada").await;
        let bob = register(&self.a, "bob").await.at(&self.b);
        let room = ada.create_room("room").await;
        bob.join_room(&room).await;
        let mut at_a = Socket::connect(&self.a, &ada).await;
        let mut at_b = Socket::connect(&self.b, &bob).await;
        at_a.join(&room.id).await;
        at_b.join(&room.id).await;
        Shared {
            room,
            ada,
            at_a,
            at_b,
        }
    }
}

/// A room with somebody at each node.
pub(super) struct Shared {
    pub(super) room: Room,
    pub(super) ada: User,
    pub(super) at_a: Socket,
    pub(super) at_b: Socket,
}

/// Waits until a node takes so many others for living.
pub(super) async fn living(node: &Node, count: u64) {
    eventually("it knows who lives", async || {
        let living = node.metric("hub_peers{state=\"living\"}").await;
        (living == count).then_some(())
    })
    .await;
}

/// Waits until a node has had so many events of a kind among the others.
pub(super) async fn peer_events(node: &Node, event: &str, count: u64) {
    let metric = format!("hub_peer_events_total{{event=\"{event}\"}}");
    eventually("it hears of the others", async || {
        (node.metric(&metric).await == count).then_some(())
    })
    .await;
}

/// The bodies of a room's next messages, until one is `last`.
pub(super) async fn bodies_until(socket: &mut Socket, last: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let push = socket.push("message").await;
        let body = rest::text(&push["body"]);
        let is_last = body == last;
        bodies.push(body);
        if is_last {
            return bodies;
        }
    }
}

/// Some time, in which something must not happen.
pub(super) async fn a_while(time: Duration) {
    tokio::time::sleep(time).await;
}
