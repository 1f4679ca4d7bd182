//! Others publish on the channels.

use redis::aio::MultiplexedConnection;

use super::{BUS_ALONE, Scene};
use crate::harness::eventually;
use crate::harness::redis::{Redis, RedisCluster};
use crate::harness::socket::Socket;

const STRICT: [(&str, &str); 2] = [BUS_ALONE, ("HUBBUB__REDIS__ENVELOPE_MAX_BYTES", "2097152")];

async fn publish(
    (connection, command): (&mut MultiplexedConnection, &str),
    channel: &str,
    payload: &[u8],
) {
    let mut command = redis::cmd(command);
    command.arg(channel).arg(payload);
    let receivers: redis::RedisResult<i64> = command.query_async(connection).await;
    assert_eq!(receivers.expect("it is published"), 2, "both nodes listen");
}

/// As `src/bus/redis/frame.rs` has it.
fn frame(version: u8, node: &str, room: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![version];
    frame.extend(7u64.to_be_bytes());
    frame.push(u8::try_from(node.len()).expect("a short name"));
    frame.extend(node.as_bytes());
    frame.extend(uuid::Uuid::parse_str(room).expect("an id").as_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test]
pub(crate) async fn garbage_on_the_channels_is_refused_and_counted() {
    let redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &STRICT).await;
    let sockets = scene.sockets().await;
    let connection = redis.connect().await;
    garbage_is_refused(&scene, sockets, (connection, "PUBLISH")).await;
}

/// The channels of a cluster are others, and so are the messages that come by them.
#[tokio::test]
async fn garbage_on_the_channels_of_a_cluster_is_refused_and_counted() {
    let cluster = RedisCluster::start().await;
    let scene = Scene::connected(&cluster.url(), &STRICT).await;
    let sockets = scene.sockets().await;
    let home = cluster.home_of(&scene.room.id).await;
    let connection = cluster.servers[home].connect().await;
    garbage_is_refused(&scene, sockets, (connection, "SPUBLISH")).await;
}

async fn garbage_is_refused(
    scene: &Scene,
    (mut ada, mut bob): (Socket, Socket),
    (mut connection, command): (MultiplexedConnection, &str),
) {
    scene.talk(&mut ada, &mut bob, "before").await;
    let room = &scene.room.id;
    let channel = format!("hubbub:room:{}", room.replace('-', ""));
    let other = uuid::Uuid::now_v7().to_string();
    let large = vec![1; 2_097_153];
    let (mut unreadable, mut deep) = (frame(1, "n", room, b"\xc1"), frame(1, "n", room, b""));
    unreadable.extend([0xff; 100]);
    deep.extend(vec![0x91; 100_000]);
    let garbage: Vec<(&str, Vec<u8>)> = vec![
        ("bad", Vec::new()),
        ("bad", vec![1]),
        ("bad", frame(1, "node", room, b"")[..20].to_vec()),
        ("bad", frame(1, "n", room, b"")),
        ("bad", unreadable),
        ("bad", deep),
        ("version", b"hello".to_vec()),
        ("version", frame(2, "n", room, b"")),
        ("misplaced", frame(1, "n", &other, b"")),
        ("too_large", large),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (fate, payload) in &garbage {
        publish((&mut connection, command), &channel, payload).await;
        *counts.entry(*fate).or_insert(0) += 1;
    }
    for (fate, count) in counts {
        let name = format!("hub_bus_envelopes_total{{fate=\"{fate}\"}}");
        for node in [&scene.here, &scene.there] {
            eventually(fate, async || {
                (node.metric(&name).await == count).then_some(())
            })
            .await;
        }
    }
    scene.talk(&mut ada, &mut bob, "after").await;
}

#[tokio::test]
pub(crate) async fn a_flood_of_garbage_is_logged_now_and_then() {
    let redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &[BUS_ALONE]).await;
    let (mut ada, mut bob) = scene.sockets().await;
    scene.talk(&mut ada, &mut bob, "before").await;
    let channel = format!("hubbub:room:{}", scene.room.id.replace('-', ""));
    let mut connection = redis.connect().await;
    for _ in 0..20 {
        let mut pipeline = redis::pipe();
        for _ in 0..500 {
            pipeline
                .cmd("PUBLISH")
                .arg(&channel)
                .arg("garbage")
                .ignore();
        }
        let done: redis::RedisResult<()> = pipeline.query_async(&mut connection).await;
        done.expect("they are published");
    }
    let name = "hub_bus_envelopes_total{fate=\"version\"}";
    eventually("all have come", async || {
        (scene.here.metric(name).await == 10_000).then_some(())
    })
    .await;
    scene.talk(&mut ada, &mut bob, "after").await;
    let log = scene.here.log().text();
    let lines = log
        .lines()
        .filter(|line| line.contains("is refused"))
        .count();
    assert!((1..=20).contains(&lines), "{lines} lines");
}
