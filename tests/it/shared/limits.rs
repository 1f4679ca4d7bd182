//! Limits of all nodes together.

use std::time::Instant;

use serde_json::json;

use super::{LIMITED, Scene, TEN, dripped, passing, write};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::redis::{Redis, RedisOptions};
use crate::harness::rest::{Answer, http, register, send};
use crate::harness::socket::{Socket, refusal};

#[tokio::test]
async fn a_limit_is_one_for_all_nodes_and_buckets_are_apart() {
    let redis = Redis::start().await;
    let scene = Scene::new(&redis.url(), &[LIMITED, TEN]).await;
    let (ada, bob) = (
        register(&scene.here, "ada").await,
        register(&scene.there, "bob").await,
    );
    let began = Instant::now();
    let passed = passing(&[&scene.here, &scene.there], &ada, 18).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    // Reading is another matter, and so is another user.
    for node in [&scene.here, &scene.there] {
        assert_eq!(super::status(node, &ada).await, 200);
    }
    let began = Instant::now();
    let passed = passing(&[&scene.there], &bob, 12).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
}

#[tokio::test]
async fn who_goes_on_is_blocked_everywhere() {
    let redis = Redis::start().await;
    let scene = Scene::new(&redis.url(), &[LIMITED, TEN]).await;
    let ada = register(&scene.here, "ada").await;
    let wait = |answer: &Answer| -> u64 {
        let wait = answer.header("retry-after").expect("a time");
        wait.parse().expect("seconds")
    };
    let mut number = 0;
    eventually("the block has begun", async || {
        number += 1;
        let answer = write(&scene.here, &ada, number).await;
        (answer.status == 429 && wait(&answer) > 200).then_some(())
    })
    .await;
    // The refusals are told as the rest is.
    eventually("the other node knows", async || {
        let answer = write(&scene.there, &ada, 0).await;
        (answer.status == 429 && wait(&answer) > 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn guesses_at_a_password_are_counted_on_all_nodes() {
    let redis = Redis::start().await;
    let settings = [LIMITED, ("HUBBUB__LIMITS__LOGINS_PER_MIN", "3")];
    let scene = Scene::new(&redis.url(), &settings).await;
    let guess = async |node: &Node, number: usize| {
        let request = http().post(node.url("/api/auth/login"));
        let body = json!({ "login": "ada", "password": format!("guess number {number}") });
        send(request.json(&body)).await.status
    };
    register(&scene.here, "ada").await;
    let began = Instant::now();
    let mut wrong = 0;
    for number in 0..8 {
        let node = [&scene.here, &scene.there][number % 2];
        match guess(node, number).await {
            401 => wrong += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    let dripped = usize::try_from(began.elapsed().as_secs() / 20 + 1).expect("not so long");
    assert!((3..=3 + dripped).contains(&wrong), "{wrong}");
}

/// Publishes do not wait for Redis; together they pass the limit by no more than what a node has not
/// told yet.
#[tokio::test]
async fn publishes_of_two_nodes_have_one_limit_and_keep_their_order() {
    let redis = Redis::start().await;
    let settings = [
        LIMITED,
        ("HUBBUB__LIMITS__PUBLISHES_PER_MIN", "100"),
        ("HUBBUB__LIMITS__SHARE_PERCENT", "5"),
    ];
    let scene = Scene::new(&redis.url(), &settings).await;
    let ada = register(&scene.here, "ada").await;
    let room = ada.create_room("room").await;
    let mut sockets = [
        Socket::connect(&scene.here, &ada).await,
        Socket::connect(&scene.there, &ada).await,
    ];
    for socket in &mut sockets {
        socket.join(&room.id).await;
    }
    let began = Instant::now();
    let (mut passed, mut last) = (0, [0, 0]);
    for number in 0..90 {
        for (at, socket) in sockets.iter_mut().enumerate() {
            let body = format!("{at} {number}");
            let fields = json!({ "room": room.id, "body": body, "client_id": body });
            let reply = socket.request("publish", fields).await;
            if refusal(&reply).is_none() {
                let seq = reply["ok"]["seq"].as_u64().expect("a number");
                assert!(seq > last[at], "{reply}");
                last[at] = seq;
                passed += 1;
            }
        }
    }
    let dripped = began.elapsed().as_secs() * 100 / 60 + 1;
    // A twentieth of the limit on each node, and what passes while it is told, which on a slow machine
    // is more.
    let most = 100 + dripped + 2 * 5 + 30;
    assert!((95..=most).contains(&passed), "{passed} of {most}");
}

#[tokio::test]
async fn without_redis_each_node_counts_on_and_then_they_count_together_again() {
    let mut redis = Redis::start().await;
    let scene = Scene::new(&redis.url(), &[LIMITED, TEN]).await;
    let ada = register(&scene.here, "ada").await;
    let bob = register(&scene.here, "bob").await;
    let began = Instant::now();
    assert_eq!(passing(&[&scene.here], &ada, 5).await, 5);
    redis.kill9();
    // What was counted is counted still.
    let passed = 5 + passing(&[&scene.here], &ada, 10).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    let began = Instant::now();
    let passed = passing(&[&scene.here], &bob, 10).await;
    assert_eq!(passed, 10);
    redis.restart().await;
    // It comes back empty, and is told. The other node admits nothing beyond what has dripped.
    eventually("it is told", async || {
        let limits = "redis_calls_total{outcome=\"ok\",purpose=\"limits\"}";
        let mut connection = redis.connect().await;
        let told = super::keys(&mut connection, "limit:writes").await.len() >= 2;
        (told && scene.here.metric(limits).await > 0).then_some(())
    })
    .await;
    super::is_asked(&scene.there).await;
    let passed = passing(&[&scene.there], &bob, 10).await;
    assert!(passed <= dripped(began), "{passed}");
}

#[tokio::test]
async fn a_frozen_redis_holds_nobody_up() {
    let redis = Redis::start().await;
    let settings = [
        LIMITED,
        TEN,
        ("HUBBUB__REDIS__CALL_TIMEOUT_MS", "200"),
        ("HUBBUB__REDIS__BREAKER_TIMEOUTS", "2"),
    ];
    let scene = Scene::new(&redis.url(), &settings).await;
    let ada = register(&scene.here, "ada").await;
    redis.freeze();
    let began = Instant::now();
    let passed = passing(&[&scene.here], &ada, 15).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    eventually("its breaker is open", async || {
        (scene.here.metric("redis_breaker_open").await == 1).then_some(())
    })
    .await;
    let away = "redis_calls_total{outcome=\"timeout\",purpose=\"limits\"}";
    assert!(scene.here.metric(away).await >= 1);
    redis.thaw();
    for node in [&scene.here, &scene.there] {
        super::is_asked(node).await;
    }
    let bob = register(&scene.there, "bob").await;
    let began = Instant::now();
    let passed = passing(&[&scene.here, &scene.there], &bob, 18).await;
    // A call that takes too long on this machine is counted by the node alone.
    assert!((10..=20 + dripped(began)).contains(&passed), "{passed}");
}

#[tokio::test]
async fn whatever_is_found_under_a_counters_key_lifts_no_limit_and_blocks_nobody() {
    let redis = Redis::start().await;
    let scene = Scene::new(&redis.url(), &[LIMITED, TEN]).await;
    let ada = register(&scene.here, "ada").await;
    assert_eq!(passing(&[&scene.here], &ada, 1).await, 1);
    let mut connection = redis.connect().await;
    let found = super::keys(&mut connection, "limit:writes").await;
    let [key] = &found[..] else {
        panic!("{found:?}")
    };
    for (number, plant) in [
        format!("SET {key} garbage"),
        format!("SET {key} 99999999999999999999_0_0"),
        format!("LPUSH {key} a"),
        format!("SETRANGE {key} 1000000 x"),
    ]
    .iter()
    .enumerate()
    {
        redis.run(&format!("DEL {key}")).await.expect("deleted");
        redis.run(plant).await.expect("planted");
        let began = scene.there.metric("rate_limit_counters_bad_total").await;
        // A node that has not heard of the user: it believes Redis.
        assert_eq!(
            passing(&[&scene.there], &ada, 1).await,
            1,
            "{plant} {number}"
        );
        let bad = scene.there.metric("rate_limit_counters_bad_total").await;
        assert_eq!(bad, began + 1, "{plant}");
    }
    let began = Instant::now();
    let passed = passing(&[&scene.here, &scene.there], &ada, 15).await;
    assert!(passed <= 9 + dripped(began), "{passed}");
}

/// Numbers that are well written and cannot be: of years from now.
#[tokio::test]
async fn counters_that_are_far_too_large_block_nobody() {
    let redis = Redis::start().await;
    let many = ("HUBBUB__LIMITS__LOGINS_PER_MIN", "1000");
    let scene = Scene::new(&redis.url(), &[LIMITED, TEN, many]).await;
    let mut connection = redis.connect().await;
    let far = "9007199254740991";
    let plants = [
        format!("{far} 0 0"),
        format!("0 {far} 0"),
        format!("0 0 {far}"),
        format!("{far} {far} {far}"),
        format!("{far}0000 0 0"),
        "-1 0 0".to_owned(),
        "1 2 3 4".to_owned(),
        "nan inf 0x10".to_owned(),
    ];
    for (number, plant) in plants.iter().enumerate() {
        let user = register(&scene.here, &format!("user{number}")).await;
        let before = super::keys(&mut connection, "limit:writes").await;
        assert_eq!(passing(&[&scene.here], &user, 1).await, 1);
        let now = super::keys(&mut connection, "limit:writes").await;
        let new: Vec<_> = now.iter().filter(|key| !before.contains(key)).collect();
        let [key] = new[..] else { panic!("{new:?}") };
        let bad = scene.there.metric("rate_limit_counters_bad_total").await;
        let mut set = redis::cmd("SET");
        let set = connection.send_packed_command(set.arg(key).arg(plant));
        set.await.expect("planted");
        // A node that has not heard of the user goes by what Redis says.
        assert_eq!(passing(&[&scene.there], &user, 3).await, 3, "{plant}");
        let after = scene.there.metric("rate_limit_counters_bad_total").await;
        assert_eq!(after, bad + 1, "{plant}");
        // And the limit is one all the same, but for the first, which was overwritten.
        let began = Instant::now();
        let passed = 4 + passing(&[&scene.here, &scene.there], &user, 16).await;
        assert!((10..=11 + dripped(began)).contains(&passed), "{passed}");
    }
}

/// A Redis that throws counters away all the time: each node knows what it has counted, and says so.
#[tokio::test]
async fn counters_that_are_evicted_lift_no_limit() {
    let options = RedisOptions::new()
        .set("maxmemory", "2mb")
        .set("maxmemory-policy", "allkeys-lru");
    let redis = Redis::start_with(options).await;
    let scene = Scene::new(&redis.url(), &[LIMITED, TEN]).await;
    let ada = register(&scene.here, "ada").await;
    let mut connection = redis.connect().await;
    let began = Instant::now();
    let mut passed = 0;
    for round in 0..20 {
        passed += passing(&[&scene.here], &ada, 1).await;
        for number in 0..200 {
            let mut fill = redis::cmd("SET");
            fill.arg(format!("other:{round}:{number}"))
                .arg([b'x'; 16 << 10].as_slice());
            let filled = connection.send_packed_command(&fill).await;
            filled.expect("another key goes for it");
        }
    }
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    let stats = redis.run("INFO stats").await.expect("an answer");
    let stats: String = redis::from_redis_value(stats).expect("a text");
    assert!(!stats.contains("evicted_keys:0"), "{stats}");
    // The other node counts, too, whatever it is told.
    let began = Instant::now();
    let passed = passing(&[&scene.there], &ada, 15).await;
    assert!(passed <= 10 + dripped(began), "{passed}");
}
