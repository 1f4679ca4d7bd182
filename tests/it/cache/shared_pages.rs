//! What nodes share by Redis.

use redis::Value;

use super::{Cluster, cached, messages, queries};
use crate::harness::eventually;
use crate::harness::redis::Redis;
use crate::harness::rest::register;

const FILL: &str = include_str!("../../../src/cache/fill.lua");
const FORGET: &str = include_str!("../../../src/cache/forget.lua");

/// The name of the newest page, of fifty messages, among its room's.
const NEWEST: &str = "1:n:50:0:";

/// Nodes that have time for Redis.
async fn cluster(redis: &Redis, nodes: usize) -> Cluster {
    let url = redis.url();
    let settings = [
        ("REDIS_URL", url.as_str()),
        ("HUBBUB__REDIS__CALL_TIMEOUT_MS", "10000"),
    ];
    Cluster::new(nodes, &settings).await
}

#[tokio::test]
async fn what_one_node_has_read_another_need_not() {
    let redis = Redis::start().await;
    let cluster = cluster(&redis, 2).await;
    let [here, there] = [&cluster.nodes[0], &cluster.nodes[1]];
    let ada = register(here, "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "1").await.ok();
    let path = messages(&room);
    let hits = "cache_shared_total{result=\"hit\"}";
    // Not what is still on its way to Redis, and not as long as the other node may have missed
    // something, as when it has just started.
    eventually("what one has read the other takes", async || {
        let path = format!("{path}?limit={}", rand::random_range(1..=100));
        let page = ada.get(&path).await.ok();
        let before = (
            queries(there, "messages/before").await,
            there.metric(hits).await,
        );
        assert_eq!(ada.at(there).get(&path).await.ok(), page);
        let after = (
            queries(there, "messages/before").await,
            there.metric(hits).await,
        );
        (after == (before.0, before.1 + 1)).then_some(())
    })
    .await;
    ada.get(&path).await.ok();
    eventually("it is shared", async || {
        let found = redis
            .run(&format!(
                "HEXISTS hubbub:cache:messages:{} {NEWEST}",
                room.id
            ))
            .await;
        (found.ok()? == Value::Int(1)).then_some(())
    })
    .await;
    // What is older than what this node knows is not believed.
    ada.at(there).say(&room.id, "more", "2").await.ok();
    let page = ada.at(there).get(&path).await.ok();
    assert_eq!(page["messages"].as_array().unwrap().len(), 2);
    assert!(there.metric("cache_shared_total{result=\"older\"}").await > 0);
}

#[tokio::test]
async fn nonsense_in_redis_is_a_miss() {
    let redis = Redis::start().await;
    let cluster = cluster(&redis, 1).await;
    let node = &cluster.nodes[0];
    let ada = register(node, "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "1").await.ok();
    let key = format!("hubbub:cache:messages:{}", room.id);
    let long = "9".repeat(400_000);
    for (n, value) in ["", "short", &"9".repeat(30), &"x".repeat(99), &long]
        .into_iter()
        .enumerate()
    {
        let n = n + 2;
        let field = format!("1:b{n}:50:0:");
        redis
            .run(&format!("HSET {key} {field} {value}"))
            .await
            .expect("set");
        let page = ada.get(&format!("{}?before={n}", messages(&room))).await;
        assert_eq!(page.ok()["messages"].as_array().unwrap().len(), 1);
    }
    redis.run(&format!("DEL {key}")).await.expect("deleted");
    redis.run(&format!("SET {key} text")).await.expect("set");
    let answer = ada.get(&messages(&room)).await;
    assert_eq!(cached(&answer), "MISS");
    assert_eq!(answer.ok()["last_seq"], 1);
}

/// The same cases as of the copies in the process, see `src/cache/version.rs`.
#[tokio::test]
async fn the_script_refuses_an_older_for_a_newer() {
    let redis = Redis::start().await;
    let mut connection = redis.connect().await;
    let digits = |(epoch, seq): (i32, u64)| format!("{epoch:010}{seq:020}");
    let mut fill = async |version: (i32, u64), page: &str| {
        let mut command = redis::cmd("EVAL");
        command.arg(FILL).arg(1).arg("room").arg("page");
        command.arg(digits(version)).arg(page).arg(60_000).arg(4);
        connection.send_packed_command(&command).await.expect("run")
    };
    let huge = 1 << 53;
    for (old, new, verdict) in [
        (None, (1, 0), 1),
        (Some((1, 5)), (1, 6), 1),
        (Some((1, 5)), (1, 5), 1),
        (Some((1, 5)), (1, 4), 0),
        (Some((1, 9)), (1, 10), 1),
        (Some((1, 10)), (1, 9), 0),
        (Some((1, huge)), (1, huge + 1), 1),
        (Some((1, huge + 1)), (1, huge), 0),
        (Some((1, i64::MAX as u64)), (1, 7), 0),
        (Some((1, 5)), (2, 6), 2),
        (Some((2, 5)), (1, 4), 2),
        (Some((i32::MAX, 0)), (i32::MAX, 0), 1),
    ] {
        redis.run("DEL room").await.expect("deleted");
        if let Some(old) = old {
            assert_eq!(fill(old, "old").await, Value::Int(1));
        }
        assert_eq!(
            fill(new, "new").await,
            Value::Int(verdict),
            "{old:?} {new:?}"
        );
        let left = redis.run("HGET room page").await.expect("read");
        let expected = match verdict {
            1 => Some(format!("{}new", digits(new))),
            0 => old.map(|old| format!("{}old", digits(old))),
            _ => None,
        };
        let expected = expected.map_or(Value::Nil, |it| Value::BulkString(it.into()));
        assert_eq!(left, expected, "{old:?} {new:?}");
    }
    // After a deletion nothing of before comes back, and what is from then on does.
    redis.run("DEL room").await.expect("deleted");
    assert_eq!(fill((1, 5), "old").await, Value::Int(1));
    let mut forget = redis::cmd("EVAL");
    forget
        .arg(FORGET)
        .arg(1)
        .arg("room")
        .arg(digits((1, 7)))
        .arg(60_000);
    let mut connection = redis.connect().await;
    connection.send_packed_command(&forget).await.expect("run");
    let mut command = redis::cmd("HGET");
    command.arg("room").arg("page");
    let left = connection.send_packed_command(&command).await;
    assert_eq!(left.expect("read"), Value::Nil);
    assert_eq!(fill((1, 6), "older").await, Value::Int(0));
    assert_eq!(fill((1, 7), "newer").await, Value::Int(1));
    let left = redis.run("PTTL room").await.expect("read");
    assert!(matches!(left, Value::Int(1..=60_000)), "{left:?}");
}
