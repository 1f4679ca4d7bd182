//! Pages by read replicas: as good as the primary's, or not given.

mod coherence;
mod faults;
mod strangers;

use std::sync::atomic::{AtomicU32, Ordering};

use super::messages;
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, Options, TestDatabase, TestServer};
use crate::harness::rest::{Room, User, http, send};

/// A primary and its replica. Nodes are started by the tests, and end before.
struct Scene {
    replica: TestServer,
    primary: TestServer,
    database: TestDatabase,
}

impl Scene {
    async fn new() -> Self {
        let primary = TestServer::start(Options { fsync: false }).await;
        let database = primary.database().await;
        let replica = postgres::replica_of(&primary).await;
        Self {
            replica,
            primary,
            database,
        }
    }

    /// The database, as the replica has it.
    fn replica_url(&self) -> String {
        self.database.url_on(&self.replica)
    }

    /// A node that has these replicas, and much time for them.
    async fn node_with(&self, replicas: &str) -> Node {
        let options = NodeOptions::on(&self.database.url)
            .set("HUBBUB__DATABASE__REPLICA_URLS", replicas)
            .set("HUBBUB__DATABASE__REPLICA_TIMEOUT_MS", "1500");
        Node::start(options).await
    }

    async fn node(&self) -> Node {
        self.node_with(&self.replica_url()).await
    }

    async fn catch_up(&self) {
        postgres::catch_up(&self.replica, &self.primary).await;
    }
}

/// Pages that hardly anybody has asked for before: the newest, one that may still grow, and one that is
/// full. Their lengths differ.
fn pages(room: &Room) -> [String; 3] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = messages(room);
    [
        format!("{path}?limit={}", 20 + n % 80),
        format!("{path}?before={}", 1_000_000 + n),
        format!("{path}?before=3&limit={}", 2 + n % 99),
    ]
}

/// How often asking a replica had this result.
async fn count(node: &Node, result: &str) -> u64 {
    let name = format!("cache_replica_pages_total{{result=\"{result}\"}}");
    node.metric(&name).await
}

/// Waits until pages of this room are read with this result.
async fn comes_to(result: &str, node: &Node, user: &User, room: &Room) {
    let before = count(node, result).await;
    eventually(&format!("a page is {result}"), async || {
        for path in pages(room) {
            user.at(node).get(&path).await.ok();
        }
        (count(node, result).await > before).then_some(())
    })
    .await;
}

/// What `/health/db` says of the replicas.
async fn health(node: &Node) -> Vec<serde_json::Value> {
    let answer = send(http().get(node.url("/health/db"))).await.ok();
    assert_eq!(answer["status"], "ok", "{answer}");
    let list = answer["replicas"].as_array();
    list.expect("it is told of replicas").clone()
}
