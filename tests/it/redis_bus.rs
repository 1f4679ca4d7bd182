//! Several nodes that hear of each other by Redis.

mod bad_redis;
mod cluster;
mod exchange;
mod faults;
mod foreign;
mod one_cut_off;

use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Room, User, http, register, send};
use crate::harness::socket::Socket;

/// Two nodes on one database and one bus, and two people who are members of a room.
struct Scene {
    here: Node,
    there: Node,
    _database: TestDatabase,
    ada: User,
    bob: User,
    room: Room,
}

/// Heads are compared so seldom that nothing but the bus brings a message in time.
const BUS_ALONE: (&str, &str) = ("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000");

impl Scene {
    async fn new(redis_url: &str, settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let options = || {
            let options = NodeOptions::on(&database.url).set("REDIS_URL", redis_url);
            let set = |options: NodeOptions, (name, value): &(&str, &str)| options.set(name, value);
            settings.iter().fold(options, set)
        };
        let here = Node::start(options()).await;
        let there = Node::start(options()).await;
        let ada = register(&here, "ada").await;
        let bob = register(&there, "bob").await;
        let room = ada.create_room("general").await;
        bob.join_room(&room).await;
        Self {
            here,
            there,
            _database: database,
            ada,
            bob,
            room,
        }
    }

    /// The same, once both nodes have the bus.
    async fn connected(redis_url: &str, settings: &[(&str, &str)]) -> Self {
        let scene = Self::new(redis_url, settings).await;
        scene.both_are("redis").await;
        scene
    }

    async fn both_are(&self, path: &str) {
        for node in [&self.here, &self.there] {
            is(node, path).await;
        }
    }

    /// Ada's connection here and Bob's there, both in the room.
    async fn sockets(&self) -> (Socket, Socket) {
        let mut ada = Socket::connect(&self.here, &self.ada).await;
        let mut bob = Socket::connect(&self.there, &self.bob).await;
        ada.join(&self.room.id).await;
        bob.join(&self.room.id).await;
        (ada, bob)
    }

    /// Each says something, and both hear it.
    async fn talk(&self, ada: &mut Socket, bob: &mut Socket, name: &str) {
        let room = &self.room.id;
        for (number, by_ada) in [(1, true), (2, false), (3, true), (4, false)] {
            let body = format!("{name} {number}");
            let speaker = if by_ada { &mut *ada } else { &mut *bob };
            speaker.publish(room, &body, &body).await;
            for socket in [&mut *ada, &mut *bob] {
                assert_eq!(socket.push("message").await["body"], body);
            }
        }
    }

    /// Something volatile that Ada emits comes to Bob: it has no other way than the bus. Each
    /// attempt is another one, as a lost one does not come again.
    async fn emits_arrive(&self, ada: &mut Socket, bob: &mut Socket) {
        let mut number = 0;
        eventually("an emit arrives by the bus", async || {
            number += 1;
            let fields = json!({
                "room": self.room.id, "name": "tick", "data": number, "volatile": true
            });
            ada.ok("emit", fields).await;
            bob.ping().await;
            let pushes = bob.take_pushes();
            let ticks = |push: &Value| push["push"] == "event" && push["data"] == number;
            pushes.iter().any(ticks).then_some(())
        })
        .await;
    }
}

/// What a node says of its bus.
async fn health(node: &Node) -> Value {
    let answer = send(http().get(node.url("/health/redis"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until a node's events go this way.
async fn is(node: &Node, path: &str) -> Value {
    let reached = eventually(path, async || {
        let health = health(node).await;
        (health["path"] == path).then_some(health)
    })
    .await;
    let status = if path == "fallback" { "degraded" } else { "ok" };
    assert_eq!(reached["status"], status);
    reached
}
