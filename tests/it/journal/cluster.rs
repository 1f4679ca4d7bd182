//! Several nodes on one database.

use futures_util::future::join_all;
use serde_json::json;
use tokio_postgres::Client;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, Room, User, http, register, send};
use crate::harness::socket::Socket;

pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    /// A connection of the test's own.
    pub(super) sql: Client,
    database: TestDatabase,
}

impl Cluster {
    /// Starts so many nodes; `settings` are keys of the section `journal` in capitals.
    pub(super) async fn start(count: usize, settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let nodes = (0..count).map(|n| {
            let options = NodeOptions::on(&database.url).set("HUBBUB__NODE__ID", &format!("n{n}"));
            let options = settings.iter().fold(options, |options, (key, value)| {
                options.set(&format!("HUBBUB__JOURNAL__{key}"), value)
            });
            Node::start(options)
        });
        Self {
            nodes: join_all(nodes).await,
            sql: database.connect().await,
            database,
        }
    }

    /// Signs up people of these names, on the first node.
    pub(super) async fn users<const N: usize>(&self, names: [&str; N]) -> [User; N] {
        let users = names.map(|name| register(&self.nodes[0], name));
        let users = join_all(users).await;
        users.try_into().expect("as many as names")
    }

    /// A public room with these members, the first of whom makes it.
    pub(super) async fn room(&self, name: &str, members: &[User]) -> Room {
        let room = members[0].create_room(name).await;
        for member in &members[1..] {
            member.join_room(&room).await;
        }
        room
    }

    /// A connection to the node with this number.
    pub(super) async fn socket(&self, node: usize, user: &User) -> Socket {
        Socket::connect(&self.nodes[node], user).await
    }

    /// Takes the lock on a room's head, as a node does while it writes.
    pub(super) async fn lock_head(&self, room: &Room) -> HeadLock {
        let client = self.database.connect().await;
        let locking = "SET lock_timeout = '10s'; BEGIN";
        client.batch_execute(locking).await.expect("it begins");
        let lock = "SELECT FROM room_heads WHERE room_id = $1::text::uuid FOR UPDATE";
        let locked = client.query_one(lock, &[&room.id]).await;
        locked.expect("the head is locked");
        HeadLock(client)
    }

    /// A metric of a node that counts something; 0 as long as it has none.
    pub(super) async fn metric(&self, node: usize, name: &str) -> u64 {
        let page = send(http().get(self.nodes[node].url("/metrics"))).await;
        assert_eq!(page.status, 200, "{page:?}");
        let value = page.text.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then(|| value.parse().expect("a number"))
        });
        value.unwrap_or_default()
    }

    /// Waits until a node's journal holds exactly so many entries.
    pub(super) async fn queued(&self, node: usize, entries: u64) {
        eventually(
            "the journal holds as many entries as were sent",
            async || {
                let queued = self.metric(node, "journal_queue_events").await;
                (queued == entries).then_some(())
            },
        )
        .await;
    }

    /// Where a room's log ends.
    pub(super) async fn last_seq(&self, room: &Room) -> i64 {
        let head = "SELECT last_seq FROM room_heads WHERE room_id = $1::text::uuid";
        let row = self.sql.query_one(head, &[&room.id]).await;
        row.expect("a head").get(0)
    }
}

/// The lock on a head, held until it is released or dropped.
pub(super) struct HeadLock(Client);

impl HeadLock {
    pub(super) async fn release(self) {
        self.0.batch_execute("ROLLBACK").await.expect("it ends");
    }
}

/// Makes somebody a member, or gives a member another role.
pub(super) async fn add(actor: &User, room: &Room, user: &User, role: &str) -> Answer {
    let path = format!("/api/rooms/{}/members", room.id);
    let body = json!({ "user_id": user.id, "role": role });
    actor.post(&path, &body).await
}

/// Removes a member.
pub(super) async fn remove(actor: &User, room: &Room, user: &User) -> Answer {
    let path = format!("/api/rooms/{}/members/{}", room.id, user.id);
    send(actor.request(reqwest::Method::DELETE, &path)).await
}
