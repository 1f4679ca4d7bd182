//! The server's connections are divided among the nodes, and a shortage of them is told once.

use serde_json::Value;
use tokio_postgres::Client;

use super::scene::options;
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, Options, TestDatabase, TestServer};
use crate::harness::rest::{User, http, register, send};

/// As a node has it without the settings of the tests.
const DEFAULT: (&str, &str) = ("HUBBUB__DATABASE__POOL_MAX", "50");

/// A server with few connections, for nodes who are no administrators.
async fn small_server(connections: &str) -> (TestServer, TestDatabase) {
    let mut server = TestServer::start(Options { fsync: false }).await;
    let database = server.database().await;
    server.stop().await;
    let most = format!("max_connections={connections}");
    server.restart_with(&[&most]).await;
    (server, database)
}

async fn pool_max(node: &Node) -> Value {
    let answer = send(http().get(node.url("/health/db"))).await;
    answer.json()["pool_max"].clone()
}

fn lines(node: &Node, with: &str) -> usize {
    let text = node.log().text();
    text.lines().filter(|line| line.contains(with)).count()
}

/// What comes of so many reads at once.
async fn statuses(user: &User, reads: usize) -> Vec<u16> {
    let reads = (0..reads).map(|_| user.get("/api/rooms"));
    let answers = futures_util::future::join_all(reads).await;
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test]
async fn two_nodes_with_default_settings_serve_on_one_server() {
    let (_server, database) = small_server("60").await;
    let first = Node::start(options(&database.url, &[DEFAULT])).await;
    // 57 are for everybody, 3 of them for what is no node's, and 7 are each node's besides its pool.
    assert_eq!(pool_max(&first).await, 47);
    assert_eq!(lines(&first, "database.pool_max = 50"), 1);
    let second = Node::start(options(&database.url, &[DEFAULT])).await;
    assert_eq!(pool_max(&second).await, 20);
    eventually("the first node makes room", async || {
        (pool_max(&first).await == 20).then_some(())
    })
    .await;
    let ada = register(&first, "ada").await;
    let bob = register(&second, "bob").await;
    for _ in 0..5 {
        let (at_first, at_second) = tokio::join!(statuses(&ada, 60), statuses(&bob, 60));
        for status in at_first.into_iter().chain(at_second) {
            assert_eq!(status, 200);
        }
    }
    for node in [&first, &second] {
        assert!(lines(node, "max_connections") > 0);
        assert_eq!(lines(node, "no connection to Postgres"), 0);
        assert!(node.metric("database_pool_size").await <= 20);
    }
}

#[tokio::test]
async fn a_server_too_small_for_the_nodes_that_are_expected_is_refused() {
    let (_server, database) = small_server("60").await;
    let settings = [DEFAULT, ("HUBBUB__DATABASE__NODES_EXPECTED", "4")];
    let node = Node::start(options(&database.url, &settings)).await;
    assert_eq!(pool_max(&node).await, 6);
    let settings = [DEFAULT, ("HUBBUB__DATABASE__NODES_EXPECTED", "9")];
    let refused = Node::try_start(options(&database.url, &settings)).await;
    let refused = refused.err().expect("it does not start");
    for named in ["database.nodes_expected", "max_connections"] {
        assert!(refused.log.contains(named), "{}", refused.log);
    }
}

/// Takes every connection that is left.
async fn take_all(url: &str, taken: &mut Vec<Client>) {
    while let Ok(client) = postgres::try_connect(url).await {
        taken.push(client);
    }
}

#[tokio::test]
async fn a_shortage_of_connections_is_told_once() {
    let (_server, database) = small_server("40").await;
    let node = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&node, "ada").await;
    let own = database.connect().await;
    let mut taken = Vec::new();
    let refused = eventually("requests are refused", async || {
        take_all(&database.url, &mut taken).await;
        // Those of the pool, which are taken then.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'hubbub'";
        own.execute(end, &[]).await.expect("they are ended");
        take_all(&database.url, &mut taken).await;
        let statuses = statuses(&ada, 10).await;
        let refused = statuses.iter().filter(|status| **status == 503).count();
        (refused > 0).then_some(refused)
    })
    .await;
    for _ in 0..10 {
        statuses(&ada, 10).await;
    }
    assert!(refused > 0);
    assert_eq!(lines(&node, "no connection to Postgres for a request"), 1);
    assert_eq!(lines(&node, "does not answer"), 0, "it is full, not away");
    drop(taken);
    eventually("it is over", async || {
        statuses(&ada, 1).await;
        (lines(&node, "every request gets a connection") == 1).then_some(())
    })
    .await;
    assert_eq!(statuses(&ada, 20).await, [200; 20]);
    assert_eq!(lines(&node, "no connection to Postgres for a request"), 1);
}
