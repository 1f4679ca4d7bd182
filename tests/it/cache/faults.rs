//! Redis and Postgres away.

use std::time::Duration;

use super::{Cluster, cached, messages};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{Options, TestServer};
use crate::harness::redis::Redis;
use crate::harness::rest::{Room, User, register};
use crate::harness::tcp_proxy::{Target, TcpProxy, Way};

/// A node with a Redis, and a room of ten messages.
async fn scene(redis: &str) -> (Cluster, User, Room) {
    let cluster = Cluster::new(1, &[("REDIS_URL", redis)]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=10 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    (cluster, ada, room)
}

/// Pages that nobody has asked for before, one after the other.
async fn reads_go_on(ada: &User, room: &Room) {
    for n in 1..=10 {
        let page = ada.get(&format!("{}?before={n}", messages(room))).await;
        let count = page.ok()["messages"].as_array().unwrap().len();
        assert_eq!(count, n - 1);
        // And what is new is seen at once.
        let said = ada.say(&room.id, "more", &format!("more {n}")).await.ok();
        let newest = ada.get(&messages(room)).await.ok();
        assert_eq!(newest["last_seq"], said["seq"]);
    }
}

/// Pages are looked for in Redis, with this outcome.
async fn redis_says(node: &Node, ada: &User, room: &Room, result: &str) {
    let metric = format!("cache_shared_total{{result=\"{result}\"}}");
    let before = node.metric(&metric).await;
    eventually("Redis is asked", async || {
        let n = rand::random_range(1000..1_000_000);
        let page = ada.get(&format!("{}?before={n}", messages(room))).await;
        page.ok();
        (node.metric(&metric).await > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_redis_fails_no_read() {
    let redis = Redis::start().await;
    let (cluster, ada, room) = scene(&redis.url()).await;
    redis.freeze();
    reads_go_on(&ada, &room).await;
    redis.thaw();
    redis_says(&cluster.nodes[0], &ada, &room, "miss").await;
}

#[tokio::test]
async fn a_redis_that_has_gone_fails_no_read() {
    let mut redis = Redis::start().await;
    let (cluster, ada, room) = scene(&redis.url()).await;
    redis.kill9();
    reads_go_on(&ada, &room).await;
    redis.restart().await;
    redis_says(&cluster.nodes[0], &ada, &room, "miss").await;
}

#[tokio::test]
async fn a_full_redis_fails_no_read() {
    let redis = Redis::start().await;
    let (cluster, ada, room) = scene(&redis.url()).await;
    redis
        .run("CONFIG SET maxmemory 1")
        .await
        .expect("it is full");
    redis.run("SET a b").await.expect_err("it takes nothing");
    reads_go_on(&ada, &room).await;
    // Nothing is found there, as nothing can be put there.
    redis_says(&cluster.nodes[0], &ada, &room, "miss").await;
}

#[tokio::test]
async fn a_slow_redis_fails_no_read() {
    let redis = Redis::start().await;
    let way = TcpProxy::to(Target::Tcp(([127, 0, 0, 1], redis.port).into()));
    let (cluster, ada, room) = scene(&format!("redis://{}", way.address)).await;
    // Longer than anybody waits for it.
    way.set(Way::Delayed(Duration::from_secs(2)));
    reads_go_on(&ada, &room).await;
    redis_says(&cluster.nodes[0], &ada, &room, "unreachable").await;
    way.heal();
    redis_says(&cluster.nodes[0], &ada, &room, "miss").await;
}

#[tokio::test]
async fn without_postgres_copies_are_given_and_marked() {
    let mut server = TestServer::start(Options { fsync: false }).await;
    let database = server.database().await;
    // Who asks is remembered for as long as the test takes.
    let options = NodeOptions::on(&database.url).set("HUBBUB__HUB__CONTROL_STALE_MS", "600000");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "1").await.ok();
    let paths = [
        messages(&room),
        format!("/api/rooms/{}", room.id),
        format!("/api/rooms/{}/members", room.id),
        format!("/api/users/{}", ada.id),
    ];
    for path in &paths {
        ada.get(path).await.ok();
    }
    server.kill9().await;
    for path in &paths {
        eventually("it is given as stale", async || {
            let answer = ada.get(path).await;
            let page = answer.ok();
            assert!(page.is_object(), "{page}");
            (cached(&answer) == "STALE").then_some(())
        })
        .await;
    }
    // What there is no copy of cannot be had.
    let answer = ada.get(&format!("{}?before=1", messages(&room))).await;
    answer.problem(503, "unavailable");
    server.restart().await;
    for path in &paths {
        eventually("it is fresh again", async || {
            let answer = ada.get(path).await;
            (answer.status == 200 && cached(&answer) != "STALE").then_some(())
        })
        .await;
    }
}
