//! Nodes whose clocks are an hour off, with one Redis: what they share is timed by the servers' clocks.

use std::time::Instant;

use super::sessions::{settle, told};
use super::{
    LIMITED, PATIENT, Scene, TEN, dripped, found, is_asked, logout, passing, shared_user, status,
};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::redis::Redis;
use crate::harness::rest::register;
use crate::harness::socket::Socket;

/// One node is an hour ahead, the other an hour behind.
async fn scene(redis: &Redis) -> Scene {
    let database = postgres::database().await;
    let options = |by: &str| {
        NodeOptions::on(&database.url)
            .set("REDIS_URL", &redis.url())
            .set(PATIENT.0, PATIENT.1)
            .set(LIMITED.0, LIMITED.1)
            .set(TEN.0, TEN.1)
            .set("HUBBUB__LIMITS__LOGINS_PER_MIN", "1000")
            .set("HUBBUB__NODE__LEASE_MS", "3000")
            .set("HUBBUB__NODE__REPORT_MS", "500")
            .with_clock_off_by(by)
    };
    let here = Node::start(options("+3600")).await;
    let there = Node::start(options("-3600")).await;
    let scene = Scene {
        here,
        there,
        database,
    };
    for node in [&scene.here, &scene.there] {
        is_asked(node).await;
        eventually("it knows the other", async || {
            let living = node.metric("hub_peers{state=\"living\"}").await;
            let bus = node.metric("hub_bus_state{state=\"redis\"}").await;
            (living == 1 && bus == 1).then_some(())
        })
        .await;
    }
    scene
}

#[tokio::test]
async fn nodes_an_hour_off_share_sessions_limits_and_tickets() {
    let redis = Redis::start().await;
    let scene = scene(&redis).await;
    let mut connection = redis.connect().await;
    settle(&scene, &mut connection).await;

    // Sessions that one has put into Redis are found there by the other, both ways.
    for (by, at, name) in [
        (&scene.here, &scene.there, "ada"),
        (&scene.there, &scene.here, "bob"),
    ] {
        let mut number = 0;
        eventually("a session is found in Redis", async || {
            number += 1;
            let name = format!("{name}{number}");
            let (user, _) = shared_user(by, &name, &mut connection).await;
            let hits = found(at, "hit").await;
            assert_eq!(status(at, &user).await, 200);
            (found(at, "hit").await > hits).then_some(())
        })
        .await;
        assert_eq!(found(at, "expired").await, 0);
    }
    let (eve, _) = shared_user(&scene.here, "eve", &mut connection).await;
    assert_eq!(status(&scene.there, &eve).await, 200);
    logout(&scene.there, &eve).await;
    told(&scene).await;
    for node in [&scene.here, &scene.there] {
        assert_eq!(status(node, &eve).await, 401);
    }

    // A limit is one for both, and what it says of the time is right.
    let carol = register(&scene.there, "carol").await;
    let began = Instant::now();
    let passed = passing(&[&scene.here, &scene.there], &carol, 18).await;
    assert!((10..=10 + dripped(began)).contains(&passed), "{passed}");
    for node in [&scene.here, &scene.there] {
        let answer = eventually("a write is refused", async || {
            let answer = super::write(node, &carol, 0).await;
            (answer.status == 429).then_some(answer)
        })
        .await;
        let wait = answer.header("retry-after").expect("a time");
        let wait: u64 = wait.parse().expect("seconds");
        // A block is 300 s.
        assert!((1..=300).contains(&wait), "{wait}");
        assert_eq!(node.metric("rate_limit_counters_bad_total").await, 0);
    }

    // Tickets, for which one asks the other by a sealed request, and events by Redis.
    let dave = register(&scene.here, "dave").await;
    let room = dave.create_room("room").await;
    let mut sockets = Vec::new();
    for (from, to) in [(&scene.here, &scene.there), (&scene.there, &scene.here)] {
        let ticket = dave.at(from).ticket().await;
        let socket = Socket::open(to, &format!("/ws?ticket={ticket}"), &[]).await;
        let mut socket = socket.expect("the ticket is good");
        socket.join(&room.id).await;
        sockets.push(socket);
    }
    let [there, here] = &mut sockets[..] else {
        unreachable!("two were opened")
    };
    here.publish(&room.id, "from the future", "c1").await;
    assert_eq!(there.push("message").await["body"], "from the future");
    there.publish(&room.id, "from the past", "c2").await;
    here.push("message").await;
    assert_eq!(here.push("message").await["body"], "from the past");

    // Nobody was taken for dead meanwhile.
    for node in [&scene.here, &scene.there] {
        assert_eq!(node.metric("hub_peers{state=\"living\"}").await, 1);
        let died = "hub_peer_events_total{event=\"died\"}";
        assert_eq!(node.metric(died).await, 0);
    }
}
