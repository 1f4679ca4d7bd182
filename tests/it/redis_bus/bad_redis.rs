//! A Redis that does not do what it should.

use serde_json::json;

use super::exchange::everything_travels;
use super::{BUS_ALONE, Scene, is};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::redis::{Redis, RedisOptions};
use crate::harness::rest::register;
use crate::harness::socket::Socket;

/// Nobody but Redis is to see it.
const PASSWORD: &str = "open-sesame";

/// A node that starts with this address serves on the fallback, and says why.
async fn is_refused(url: &str, settings: &[(&str, &str)], why: &str) -> Node {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("REDIS_URL", url);
    let set = |options: NodeOptions, (name, value): &(&str, &str)| options.set(name, value);
    let node = Node::start(settings.iter().fold(options, set)).await;
    eventually(why, async || {
        let health = is(&node, "fallback").await;
        let error = health["last_error"].as_str()?;
        assert!(!health.to_string().contains(PASSWORD), "{health}");
        error.contains(why).then_some(())
    })
    .await;
    assert_eq!(
        node.metric("hub_bus_state{state=\"fallback\"}").await,
        1,
        "{why}"
    );
    let failed = "hub_bus_connects_total{connection=\"publish\",outcome=\"failed\"}";
    assert!(node.metric(failed).await > 0, "{why}");
    let ada = register(&node, "ada").await;
    let room = ada.create_room("room").await;
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room.id).await;
    socket.publish(&room.id, "still", "still").await;
    assert_eq!(socket.push("message").await["body"], "still");
    assert!(!node.log().text().contains(PASSWORD));
    node
}

#[tokio::test]
pub(crate) async fn a_wrong_password_is_told_and_not_shown() {
    let redis = Redis::start_with(RedisOptions::new().with_password("right")).await;
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port);
    is_refused(&url, &[], "WRONGPASS").await;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    is_refused(&url, &[], "NOAUTH").await;
}

#[tokio::test]
pub(crate) async fn a_certificate_that_is_not_trusted_is_refused() {
    let redis = Redis::start_with(RedisOptions::new().with_tls()).await;
    is_refused(&redis.url(), &[], "certificate").await;
}

#[tokio::test]
pub(crate) async fn who_may_not_publish_has_no_bus() {
    let redis = Redis::start().await;
    redis
        .run(&format!("ACL SETUSER hub on >{PASSWORD} +@all ~* &other:*"))
        .await
        .expect("a user");
    let url = format!("redis://hub:{PASSWORD}@127.0.0.1:{}", redis.port);
    is_refused(&url, &[], "no permissions").await;
    redis
        .run("ACL SETUSER hub &hubbub:*")
        .await
        .expect("a permission");
    let scene = Scene::connected(&url, &[BUS_ALONE]).await;
    everything_travels(&scene).await;
}

/// What is published on a replica comes to those alone who listen to that replica.
#[tokio::test]
pub(crate) async fn a_read_only_replica_is_no_bus() {
    let master = Redis::start().await;
    let replica = Redis::start().await;
    let follow = format!("REPLICAOF 127.0.0.1 {}", master.port);
    replica.run(&follow).await.expect("it follows");
    let node = is_refused(&replica.url(), &[], "it is a replica").await;
    replica.run("REPLICAOF NO ONE").await.expect("it leads");
    is(&node, "redis").await;
    // It is noticed, too, of one that is made a replica while it is in use.
    replica.run(&follow).await.expect("it follows");
    is(&node, "fallback").await;
}

/// A Redis that has no memory left takes messages: it keeps none.
#[tokio::test]
pub(crate) async fn a_full_redis_carries_messages() {
    let options = RedisOptions::new()
        .set("maxmemory", "1")
        .set("maxmemory-policy", "noeviction");
    let redis = Redis::start_with(options).await;
    let full = redis.run("SET key value").await.expect_err("it is full");
    assert_eq!(full.code(), Some("OOM"));
    let scene = Scene::connected(&redis.url(), &[BUS_ALONE]).await;
    everything_travels(&scene).await;
}

/// Redis ends connections of its own accord: idle ones, or those of a client that is too slow.
#[tokio::test]
pub(crate) async fn a_connection_that_redis_ends_is_made_again() {
    let redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &[]).await;
    let (mut ada, mut bob) = scene.sockets().await;
    scene.talk(&mut ada, &mut bob, "before").await;
    for kind in ["pubsub", "normal"] {
        let kill = format!("CLIENT KILL TYPE {kind}");
        redis.run(&kill).await.expect("they are ended");
        let connection = if kind == "pubsub" {
            "subscribe"
        } else {
            "publish"
        };
        let name = format!("hub_bus_disconnects_total{{connection=\"{connection}\"}}");
        eventually("it is noticed", async || {
            (scene.here.metric(&name).await > 0 && scene.there.metric(&name).await > 0)
                .then_some(())
        })
        .await;
        scene.both_are("redis").await;
    }
    scene.talk(&mut ada, &mut bob, "after").await;
    scene.emits_arrive(&mut bob, &mut ada).await;
    let health = is(&scene.here, "redis").await;
    assert_eq!(health["servers_up"], json!(1));
}

/// A Redis that is full of other things and evicts keys all the time takes messages, too.
#[tokio::test]
pub(crate) async fn a_redis_that_evicts_keys_carries_messages() {
    let options = RedisOptions::new()
        .set("maxmemory", "3mb")
        .set("maxmemory-policy", "allkeys-lru");
    let redis = Redis::start_with(options).await;
    let evicted = async || {
        let stats = redis.run("INFO stats").await.expect("an answer");
        let stats: String = redis::from_redis_value(stats).expect("a text");
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("evicted_keys:"));
        line.expect("a count")
            .trim()
            .parse::<u64>()
            .expect("a number")
    };
    let scene = Scene::connected(&redis.url(), &[BUS_ALONE]).await;
    let mut connection = redis.connect().await;
    let filling = tokio::spawn(async move {
        for number in 0_u64.. {
            let mut set = redis::cmd("SET");
            set.arg(format!("filler-{number}"))
                .arg([b'x'; 10_000].as_slice());
            let set: redis::RedisResult<()> = set.query_async(&mut connection).await;
            set.expect("another key goes for it");
            // Beside the nodes, not instead of them.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let before = eventually("keys are evicted", async || {
        Some(evicted().await).filter(|evicted| *evicted > 0)
    })
    .await;
    everything_travels(&scene).await;
    assert!(evicted().await > before);
    assert!(!filling.is_finished());
    filling.abort();
    scene.both_are("redis").await;
    for node in [&scene.here, &scene.there] {
        for connection in ["publish", "subscribe"] {
            let name = format!("hub_bus_disconnects_total{{connection=\"{connection}\"}}");
            assert_eq!(node.metric(&name).await, 0);
        }
    }
}

/// Each of a link's two connections fails in its own way, again and again: what is known is not said
/// again with each attempt.
#[tokio::test]
pub(crate) async fn an_outage_is_not_a_line_for_each_attempt() {
    let redis = Redis::start().await;
    redis
        .run(&format!(
            "ACL SETUSER hub on >{PASSWORD} +@all -publish -subscribe ~* &*"
        ))
        .await
        .expect("a user");
    let url = format!("redis://hub:{PASSWORD}@127.0.0.1:{}", redis.port);
    let often = [
        ("HUBBUB__REDIS__RECONNECT_MIN_MS", "20"),
        ("HUBBUB__REDIS__RECONNECT_MAX_MS", "100"),
    ];
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("REDIS_URL", &url);
    let set = |options: NodeOptions, (name, value): &(&str, &str)| options.set(name, value);
    let node = Node::start(often.iter().fold(options, set)).await;
    // Somebody is in a room, or nothing would be subscribed to.
    let ada = register(&node, "ada").await;
    let room = ada.create_room("room").await;
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room.id).await;
    for failed in [
        "hub_bus_connects_total{connection=\"publish\",outcome=\"failed\"}",
        "hub_bus_disconnects_total{connection=\"subscribe\"}",
    ] {
        eventually("it is tried again", async || {
            (node.metric(failed).await >= 10).then_some(())
        })
        .await;
    }
    let log = node.log().text();
    let lines = log.matches("connection of the bus to Redis failed").count();
    assert!((1..=4).contains(&lines), "{lines} lines:\n{log}");
}
