//! Who lives: by leases, which Postgres's clock alone decides.

use std::time::Duration;

use super::scene::{Pair, a_while, living, options, peer_events};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::{Options, TestServer};

const SHORT: [(&str, &str); 2] = [
    ("HUBBUB__NODE__LEASE_MS", "3000"),
    ("HUBBUB__NODE__REPORT_MS", "500"),
];

/// Nobody learns of it before the lease of the dead one is over, by Postgres's clock.
#[tokio::test]
async fn a_killed_node_is_dead_when_its_lease_is_over_and_not_before() {
    let mut pair = Pair::start(&SHORT).await;
    let sql = pair.database.connect().await;
    peer_events(&pair.a, "joined", 1).await;
    pair.b.kill9();
    let left = "SELECT extract(epoch FROM max(lease_until) - clock_timestamp())::float8 FROM nodes
        WHERE id = (SELECT id FROM nodes ORDER BY started_at DESC LIMIT 1)";
    let died = "hub_peer_events_total{event=\"died\"}";
    eventually("it is dead", async || {
        // First the metric, then the clock: a death that is seen must come after the lease.
        let is_dead = pair.a.metric(died).await == 1;
        let row = sql.query_one(left, &[]).await.expect("an answer");
        let left: f64 = row.get(0);
        assert!(!is_dead || left <= 0.0, "{left} s of its lease were left");
        is_dead.then_some(())
    })
    .await;
    living(&pair.a, 0).await;
    pair.b.restart().await;
    peer_events(&pair.a, "joined", 2).await;
    living(&pair.a, 1).await;
}

#[tokio::test]
async fn a_node_that_stops_in_order_leaves_at_once() {
    // A lease that no test waits for.
    let settings = [("HUBBUB__NODE__LEASE_MS", "600000")];
    let mut pair = Pair::start(&settings).await;
    pair.b.terminate();
    pair.b.wait_exit().await;
    peer_events(&pair.a, "left", 1).await;
    living(&pair.a, 0).await;
    assert_eq!(
        pair.a.metric("hub_peer_events_total{event=\"died\"}").await,
        0
    );
}

/// A killed node that is started again before its lease is over is another life.
#[tokio::test]
async fn a_new_life_ends_the_one_before() {
    let settings = [("HUBBUB__NODE__LEASE_MS", "600000")];
    let mut pair = Pair::start(&settings).await;
    peer_events(&pair.a, "joined", 1).await;
    pair.b.kill9();
    pair.b.restart().await;
    peer_events(&pair.a, "died", 1).await;
    peer_events(&pair.a, "joined", 2).await;
    living(&pair.a, 1).await;
}

/// All leases run out while nobody can renew theirs.
#[tokio::test]
async fn nobody_dies_of_a_frozen_postgres() {
    let server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let mut settings = SHORT.to_vec();
    settings.push(("HUBBUB__DATABASE__STATEMENT_TIMEOUT_MS", "1000"));
    let a = Node::start(options(&database.url, &settings)).await;
    let mut b = Node::start(options(&database.url, &settings)).await;
    for node in [&a, &b] {
        living(node, 1).await;
    }
    server.freeze();
    // Longer than a lease: it is this that must do no harm.
    a_while(Duration::from_secs(5)).await;
    server.thaw();
    for node in [&a, &b] {
        eventually("leases are renewed again", async || {
            node.log()
                .text()
                .contains("lease is renewed again")
                .then_some(())
        })
        .await;
    }
    // One that does not come back is dead a lease later, and only that one ever was.
    for node in [&a, &b] {
        assert_eq!(
            node.metric("hub_peer_events_total{event=\"died\"}").await,
            0
        );
        assert!(node.metric("hub_lease_renewals_failed_total").await > 0);
    }
    a_while(Duration::from_secs(4)).await;
    for node in [&a, &b] {
        assert_eq!(
            node.metric("hub_peer_events_total{event=\"died\"}").await,
            0
        );
        living(node, 1).await;
    }
    b.kill9();
    peer_events(&a, "died", 1).await;
}
