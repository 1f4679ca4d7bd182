//! What travels by the bus when nothing fails.

use serde_json::json;

use super::{BUS_ALONE, Scene, health, is};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::redis::{Redis, RedisOptions};
use crate::harness::socket::Socket;

/// Messages, typing and emits in both directions, and no node has read any from Postgres.
pub(super) async fn everything_travels(scene: &Scene) {
    let (mut ada, mut bob) = scene.sockets().await;
    let room = &scene.room.id;
    scene.talk(&mut ada, &mut bob, "hello").await;
    // The first message may have been published while the subscriptions were on their way.
    let before = (gaps(&scene.here).await, gaps(&scene.there).await);
    scene.talk(&mut ada, &mut bob, "again").await;
    bob.ok("typing", json!({ "room": room, "typing": true }))
        .await;
    let typing = ada.push("typing").await;
    assert_eq!(typing["user_id"], scene.bob.id);
    let data = json!({ "x": [1, "two"] });
    let emit = json!({ "room": room, "name": "cursor", "data": data, "volatile": true });
    ada.ok("emit", emit).await;
    let event = bob.push("event").await;
    assert_eq!(
        (&event["data"], &event["user_id"]),
        (&data, &json!(scene.ada.id))
    );
    let after = (gaps(&scene.here).await, gaps(&scene.there).await);
    assert_eq!(before, after, "read from Postgres");
    let fate = |fate: &str| format!("hub_bus_envelopes_total{{fate=\"{fate}\"}}");
    assert!(scene.here.metric(&fate("out")).await >= 5);
    assert!(scene.there.metric(&fate("in")).await >= 3);
    for fate in [fate("bad"), fate("lost"), fate("overflow"), fate("failed")] {
        assert_eq!(scene.there.metric(&fate).await, 0, "{fate}");
    }
}

async fn gaps(node: &Node) -> u64 {
    node.metric("hub_room_gaps_total").await
}

#[tokio::test]
pub(crate) async fn two_nodes_hear_of_each_other_by_redis() {
    let redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &[BUS_ALONE]).await;
    let line = scene.here.log().text();
    let said = format!("bus: Redis at 127.0.0.1:{}", redis.port);
    assert!(line.contains(&said), "{line}");
    everything_travels(&scene).await;
    let health = health(&scene.here).await;
    assert_eq!(
        (&health["servers"], &health["servers_up"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(health["rooms"], 1);
}

#[tokio::test]
pub(crate) async fn a_password_and_tls_are_no_obstacle_and_not_told() {
    let options = RedisOptions::new().with_password("s,zame").with_tls();
    let redis = Redis::start_with(options).await;
    let ca = redis.ca_file().display().to_string();
    let settings = [BUS_ALONE, ("HUBBUB__REDIS__TLS_CA", ca.as_str())];
    let scene = Scene::connected(&redis.url(), &settings).await;
    everything_travels(&scene).await;
    for node in [&scene.here, &scene.there] {
        assert!(!node.log().text().contains("zame"));
        assert!(!health(node).await.to_string().contains("zame"));
    }
}

#[tokio::test]
pub(crate) async fn a_channel_is_subscribed_to_while_its_room_is_in_use() {
    let redis = Redis::start().await;
    let settings = [BUS_ALONE, ("HUBBUB__HUB__ROOM_IDLE_S", "1")];
    let scene = Scene::connected(&redis.url(), &settings).await;
    let channel = format!("hubbub:room:{}", scene.room.id.replace('-', ""));
    assert_eq!(redis.channels().await, Vec::<String>::new());
    let mut socket = Socket::connect(&scene.here, &scene.ada).await;
    for _ in 0..2 {
        socket.join(&scene.room.id).await;
        let wanted = std::slice::from_ref(&channel);
        eventually("subscribed", async || {
            (redis.channels().await == wanted).then_some(())
        })
        .await;
        socket.ok("leave", json!({ "room": scene.room.id })).await;
        eventually("unsubscribed", async || {
            redis.channels().await.is_empty().then_some(())
        })
        .await;
    }
    // A room that comes and goes ends as it was left.
    for _ in 0..20 {
        socket.join(&scene.room.id).await;
        socket.ok("leave", json!({ "room": scene.room.id })).await;
    }
    socket.join(&scene.room.id).await;
    let mut bob = Socket::connect(&scene.there, &scene.bob).await;
    bob.join(&scene.room.id).await;
    scene.talk(&mut socket, &mut bob, "still").await;
}

#[tokio::test]
pub(crate) async fn two_deployments_share_a_redis_by_their_prefix() {
    let redis = Redis::start().await;
    let prefix = ("HUBBUB__REDIS__CHANNEL_PREFIX", "blue:");
    let scene = Scene::connected(&redis.url(), &[BUS_ALONE, prefix]).await;
    let (mut ada, mut bob) = scene.sockets().await;
    scene.talk(&mut ada, &mut bob, "blue").await;
    let channels = redis.channels().await;
    assert!(
        channels.iter().all(|name| name.starts_with("blue:room:")),
        "{channels:?}"
    );
}

#[tokio::test]
pub(crate) async fn without_redis_a_node_says_that_it_is_local() {
    let (node, _database) = Node::on_fresh_database().await;
    let health = is(&node, "local").await;
    assert_eq!(
        (&health["servers"], &health["last_error"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(node.metric("hub_bus_state{state=\"local\"}").await, 1);
    assert!(node.log().text().contains("bus: in-process"));
}

/// A node that starts while Redis is away serves, and takes to it when it comes.
#[tokio::test]
pub(crate) async fn a_redis_that_is_away_does_not_keep_a_node_from_starting() {
    let mut redis = Redis::start().await;
    redis.kill9();
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("REDIS_URL", &redis.url());
    let node = Node::start(options).await;
    let health = is(&node, "fallback").await;
    assert_eq!(health["servers_up"], 0);
    redis.restart().await;
    is(&node, "redis").await;
    assert_eq!(node.metric("hub_bus_state{state=\"redis\"}").await, 1);
    assert_eq!(node.metric("hub_bus_state{state=\"fallback\"}").await, 0);
}
