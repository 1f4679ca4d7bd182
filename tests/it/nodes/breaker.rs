//! While Postgres is away nobody waits for a time-out.

use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::options;
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::{Options, TestServer};
use crate::harness::rest::{http, register, send};
use crate::harness::socket::Socket;

#[tokio::test]
async fn a_frozen_postgres_is_refused_at_once_after_the_first_moment() {
    let server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let settings = [("HUBBUB__DATABASE__SUSPECT_AFTER_MS", "200")];
    let node = Node::start(options(&database.url, &settings)).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("room").await;
    let (mut here, mut there) = (
        Socket::connect(&node, &ada).await,
        Socket::connect(&node, &ada).await,
    );
    here.join(&room.id).await;
    there.join(&room.id).await;

    server.freeze();
    // Far more callers than the pool has connections.
    let asking = (0..40).map(|_| {
        let (ada, path) = (ada.clone(), format!("/api/rooms/{}/messages", room.id));
        tokio::spawn(async move { ada.get(&path).await.status })
    });
    let asking: Vec<_> = asking.collect();
    eventually("it counts as away", async || {
        (node.metric("database_breaker_open").await == 1).then_some(())
    })
    .await;
    for _ in 0..20 {
        let asked = Instant::now();
        let page = ada.get(&format!("/api/rooms/{}/messages", room.id)).await;
        page.problem(503, "unavailable");
        // The statement's own limit is five seconds.
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{:?}",
            asked.elapsed()
        );
    }
    let health = send(http().get(node.url("/health/db"))).await;
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["breaker"], "open");
    // What needs no database goes on.
    here.ok("typing", json!({ "room": room.id, "typing": true }))
        .await;
    there.push("typing").await;

    server.thaw();
    eventually("it answers again", async || {
        let page = ada.get(&format!("/api/rooms/{}/messages", room.id)).await;
        (page.status == 200).then_some(())
    })
    .await;
    let health = send(http().get(node.url("/health/db"))).await;
    assert_eq!(health.json()["breaker"], "closed");
    assert!(node.metric("database_breaker_opened_total").await >= 1);
    for status in asking {
        let status = status.await.expect("an answer");
        assert!([200, 503].contains(&status), "{status}");
    }
    eventually("messages are stored again", async || {
        let answer = ada.say(&room.id, "again", "c").await;
        (answer.status < 300).then_some(())
    })
    .await;
    assert_eq!(there.push("message").await["body"], "again");
}
