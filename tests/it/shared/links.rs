//! The way to a Redis that is locked, encrypted, or does not let us do what we want.

use std::time::Instant;

use super::sessions::{settle, told};
use super::{LIMITED, PATIENT, Scene, TEN, dripped, found, logout, passing, shared_user, status};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::redis::{Redis, RedisOptions};
use crate::harness::rest::register;

const PASSWORD: &str = "open-sesame";

/// Everybody here comes from one address.
const MANY: (&str, &str) = ("HUBBUB__LIMITS__LOGINS_PER_MIN", "1000");

/// An end on one node is one on the other.
async fn logged_out_everywhere(scene: &Scene) {
    let eve = register(&scene.here, "eve").await;
    assert_eq!(status(&scene.there, &eve).await, 200);
    logout(&scene.here, &eve).await;
    told(scene).await;
    assert_eq!(status(&scene.there, &eve).await, 401);
}

/// Sessions are found and limits counted together.
async fn everything_is_shared(redis: &Redis, settings: &[(&str, &str)]) {
    let mut all = vec![LIMITED, TEN, MANY];
    all.extend(settings);
    let scene = Scene::new(&redis.url(), &all).await;
    let mut connection = redis.connect().await;
    settle(&scene, &mut connection).await;
    let (ada, _) = shared_user(&scene.here, "ada", &mut connection).await;
    let hits = found(&scene.there, "hit").await;
    assert_eq!(status(&scene.there, &ada).await, 200);
    assert_eq!(found(&scene.there, "hit").await, hits + 1);
    let began = Instant::now();
    let passed = passing(&[&scene.here, &scene.there], &ada, 18).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    logged_out_everywhere(&scene).await;
    for node in [&scene.here, &scene.there] {
        assert!(!node.log().text().contains(PASSWORD));
    }
}

#[tokio::test]
async fn with_a_password() {
    let redis = Redis::start_with(RedisOptions::new().with_password(PASSWORD)).await;
    everything_is_shared(&redis, &[]).await;
}

#[tokio::test]
async fn by_tls_with_a_password() {
    let options = RedisOptions::new().with_tls().with_password(PASSWORD);
    let redis = Redis::start_with(options).await;
    let ca = redis.ca_file().display().to_string();
    everything_is_shared(&redis, &[("HUBBUB__REDIS__TLS_CA", &ca)]).await;
}

/// Two nodes that are not let in: each goes on by itself and by Postgres.
async fn everything_goes_on_without(url: &str, settings: &[(&str, &str)], why: &str) {
    let database = postgres::database().await;
    let options = || {
        let options = NodeOptions::on(&database.url)
            .set("REDIS_URL", url)
            .set(PATIENT.0, PATIENT.1)
            .set(LIMITED.0, LIMITED.1)
            .set(TEN.0, TEN.1)
            .set(MANY.0, MANY.1);
        let set = |options: NodeOptions, (name, value): &(&str, &str)| options.set(name, value);
        settings.iter().fold(options, set)
    };
    let here = Node::start(options()).await;
    let there = Node::start(options()).await;
    for node in [&here, &there] {
        eventually(why, async || node.log().text().contains(why).then_some(())).await;
    }
    let scene = Scene {
        here,
        there,
        database,
    };
    let ada = register(&scene.here, "ada").await;
    assert_eq!(status(&scene.there, &ada).await, 200);
    for node in [&scene.here, &scene.there] {
        let began = Instant::now();
        let passed = passing(&[node], &ada, 15).await;
        assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    }
    logged_out_everywhere(&scene).await;
    for node in [&scene.here, &scene.there] {
        assert_eq!(node.metric("redis_breaker_open").await, 1);
        let ok = "redis_calls_total{outcome=\"ok\",purpose=\"limits\"}";
        assert_eq!(node.metric(ok).await, 0);
        assert!(!node.log().text().contains(PASSWORD));
    }
}

#[tokio::test]
async fn a_wrong_password_and_none() {
    let redis = Redis::start_with(RedisOptions::new().with_password("right")).await;
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port);
    everything_goes_on_without(&url, &[], "WRONGPASS").await;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    everything_goes_on_without(&url, &[], "NOAUTH").await;
}

#[tokio::test]
async fn a_certificate_of_nobody_known() {
    let redis = Redis::start_with(RedisOptions::new().with_tls()).await;
    everything_goes_on_without(&redis.url(), &[], "certificate").await;
}

/// A replica answers, and takes nothing.
#[tokio::test]
async fn a_redis_that_is_read_only() {
    let master = Redis::start().await;
    let replica = Redis::start().await;
    let scene = Scene::new(&replica.url(), &[LIMITED, TEN, MANY]).await;
    let follow = format!("REPLICAOF 127.0.0.1 {}", master.port);
    replica.run(&follow).await.expect("it follows");
    let ada = register(&scene.here, "ada").await;
    assert_eq!(status(&scene.there, &ada).await, 200);
    for node in [&scene.here, &scene.there] {
        let began = Instant::now();
        let passed = passing(&[node], &ada, 15).await;
        assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
        let refused = "redis_calls_total{outcome=\"refused\",purpose=\"limits\"}";
        assert!(node.metric(refused).await > 0);
    }
    logged_out_everywhere(&scene).await;
    // When it is a master again all is well.
    replica.run("REPLICAOF NO ONE").await.expect("it leads");
    let bob = register(&scene.here, "bob").await;
    let began = Instant::now();
    let passed = passing(&[&scene.here, &scene.there], &bob, 18).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
}
