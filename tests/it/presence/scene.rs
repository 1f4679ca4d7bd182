//! Nodes on one database, whose leases and digests are short.

use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::node::{DataFolder, Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::redis::Redis;
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) database: TestDatabase,
    options: NodeOptions,
    has_redis: bool,
}

impl Cluster {
    pub(super) async fn start(
        redis: Option<&Redis>,
        nodes: usize,
        settings: &[(&str, &str)],
    ) -> Self {
        let database = postgres::database().await;
        let mut options = NodeOptions::on(&database.url)
            .set("HUBBUB__NODE__LEASE_MS", "3000")
            .set("HUBBUB__NODE__REPORT_MS", "500")
            .set("HUBBUB__HUB__PRESENCE_DIGEST_MS", "500")
            .set("HUBBUB__HUB__ONLINE_EVERY_MS", "100");
        if let Some(redis) = redis {
            options = options.set("REDIS_URL", &redis.url());
        }
        for (name, value) in settings {
            options = options.set(name, value);
        }
        let mut cluster = Self {
            nodes: Vec::new(),
            database,
            options,
            has_redis: redis.is_some(),
        };
        for _ in 0..nodes {
            cluster.add().await;
        }
        cluster
    }

    /// Another node, which knows the others, and they it.
    pub(super) async fn add(&mut self) {
        // Each has a data folder, and with it a name of its own.
        let options = self.options.clone().in_folder(&DataFolder::new());
        self.nodes.push(Node::start(options).await);
        self.know_each_other().await;
    }

    /// Waits until all know of all, and have the bus.
    pub(super) async fn know_each_other(&self) {
        let others = self.nodes.len() as u64 - 1;
        for node in &self.nodes {
            eventually("it knows the others", async || {
                let living = node.metric("hub_peers{state=\"living\"}").await;
                let has_bus =
                    !self.has_redis || node.metric("hub_bus_state{state=\"redis\"}").await == 1;
                (living == others && has_bus).then_some(())
            })
            .await;
        }
    }

    /// Signs people up.
    pub(super) async fn people<const N: usize>(&self, names: [&str; N]) -> [User; N] {
        let mut users = Vec::new();
        for name in names {
            users.push(register(&self.nodes[0], name).await);
        }
        users
            .try_into()
            .unwrap_or_else(|_| panic!("as many as names"))
    }

    /// A room with these members.
    pub(super) async fn room(&self, owner: &User, members: &[&User]) -> Room {
        let room = owner.create_room("room").await;
        for user in members {
            user.join_room(&room).await;
        }
        room
    }
}

/// Two people in a room, each on a node of their own.
pub(super) struct Two {
    pub(super) ann: User,
    pub(super) bob: User,
    pub(super) room: Room,
    pub(super) at_a: Socket,
    pub(super) at_b: Socket,
}

impl Two {
    /// Ann joins on the first node, then Bob on the second.
    pub(super) async fn meet(cluster: &Cluster) -> Self {
        let [ann, bob] = cluster.people(["ann", "bob"]).await;
        let room = cluster.room(&ann, &[&bob]).await;
        let mut at_a = Socket::connect(&cluster.nodes[0], &ann).await;
        at_a.join(&room.id).await;
        let mut at_b = Socket::connect(&cluster.nodes[1], &bob).await;
        at_b.join(&room.id).await;
        Self {
            ann,
            bob,
            room,
            at_a,
            at_b,
        }
    }
}

/// Whether a presence push names a user among those who came (`joins`) or went (`leaves`).
pub(super) fn named(push: &Value, side: &str, user: &User) -> bool {
    let users = push[side].as_array();
    push["push"] == "presence" && users.is_some_and(|users| users.contains(&json!(user.id)))
}

/// What a node says of a room.
pub(super) async fn asked(socket: &mut Socket, room: &Room) -> Value {
    let reply = socket.request("presence", json!({ "room": room.id })).await;
    reply.get("ok").cloned().unwrap_or_default()
}

fn ids(users: &[&User]) -> Vec<Value> {
    let mut ids: Vec<_> = users.iter().map(|user| user.id.clone()).collect();
    ids.sort_unstable();
    ids.into_iter().map(Value::from).collect()
}

/// Waits until these are present, nobody else, and that is certain.
pub(super) async fn present(socket: &mut Socket, room: &Room, users: &[&User]) {
    let expected = json!({ "room": room.id, "count": users.len(), "users": ids(users) });
    let mut last = Value::Null;
    eventually(&format!("present are {expected}"), async || {
        last = asked(socket, room).await;
        (last == expected).then_some(())
    })
    .await;
}

/// These are said to be present now, and that this may be out of date.
pub(super) async fn stale(socket: &mut Socket, room: &Room, users: &[&User]) {
    let here = asked(socket, room).await;
    assert_eq!(here["users"], Value::from(ids(users)), "{here}");
    assert_eq!(here["stale"], true, "{here}");
}

/// Waits until what the connection has done is told to the other nodes.
pub(super) async fn ready(socket: &mut Socket, room: &Room) {
    eventually("it is present", async || {
        let here = asked(socket, room).await;
        (here["count"].as_u64() > Some(0)).then_some(())
    })
    .await;
}

/// Takes pushes until all of these have been named.
pub(super) async fn told(socket: &mut Socket, side: &str, users: &[&User]) {
    let mut left = users.to_vec();
    while !left.is_empty() {
        let is_news = |push: &Value| left.iter().any(|user| named(push, side, user));
        let push = socket.next_push(side, is_news).await;
        left.retain(|user| !named(&push, side, user));
    }
}
