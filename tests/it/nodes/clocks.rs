//! Nodes whose clocks are wrong: only Postgres's counts.

use std::time::{Duration, SystemTime};

use super::scene::{a_while, living, options, peer_events};
use crate::harness::node::Node;
use crate::harness::postgres;
use crate::harness::rest::{http, login, register, send};
use crate::harness::socket::Socket;

/// A node whose clock is off by so much.
async fn shifted(url: &str, by: &str) -> Node {
    let settings = [
        ("HUBBUB__NODE__LEASE_MS", "3000"),
        ("HUBBUB__NODE__REPORT_MS", "500"),
        super::scene::SELDOM,
    ];
    Node::start(options(url, &settings).with_clock_off_by(by)).await
}

/// The node's time by its own clock, seconds from ours.
async fn off_by(node: &Node) -> i64 {
    let answer = send(http().get(node.url("/health/live"))).await;
    let date = answer.header("date").expect("a date").to_owned();
    let date = jiff::fmt::rfc2822::parse(&date).expect("a time");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("a time");
    date.timestamp().as_second() - now
}

#[tokio::test]
async fn clocks_that_are_an_hour_off_change_nothing() {
    let database = postgres::database().await;
    let ahead = shifted(&database.url, "+3600").await;
    let mut behind = shifted(&database.url, "-3600").await;
    assert!((3500..3700).contains(&off_by(&ahead).await));
    assert!((-3700..-3500).contains(&off_by(&behind).await));
    for node in [&ahead, &behind] {
        living(node, 1).await;
        let off = node.metric("hub_clock_off_seconds").await;
        assert!((3500..3700).contains(&off), "{off}");
        let log = node.log().text();
        let lines = log.matches("clock is not Postgres's").count();
        assert_eq!(lines, 1, "{log}");
    }
    let mut right = shifted(&database.url, "+0").await;
    living(&right, 2).await;
    assert!(right.metric("hub_clock_off_seconds").await < 30);
    assert!(!right.log().text().contains("clock is not Postgres's"));
    right.terminate();
    assert!(right.wait_exit().await.success());
    // Sessions made by one are good at the other, in both directions, for sockets and REST.
    let ada = register(&ahead, "ada").await;
    let bob = register(&behind, "bob").await;
    let room = ada.at(&behind).create_room("room").await;
    bob.at(&ahead).join_room(&room).await;
    let mut at_behind = Socket::connect(&behind, &ada).await;
    let mut at_ahead = Socket::connect(&ahead, &bob).await;
    at_behind.join(&room.id).await;
    at_ahead.join(&room.id).await;
    at_behind.publish(&room.id, "from the past", "c1").await;
    assert_eq!(at_ahead.push("message").await["body"], "from the past");
    at_ahead.publish(&room.id, "from the future", "c2").await;
    at_behind.push("message").await;
    assert_eq!(at_behind.push("message").await["body"], "from the future");
    let ticket = login(&ahead, "ada").await.ticket().await;
    let path = format!("/ws?ticket={ticket}");
    let mut by_ticket = Socket::open(&ahead, &path, &[]).await.expect("it is good");
    by_ticket.ping().await;

    // Longer than a lease: nobody dies of another's clock, and who is killed dies by its lease.
    a_while(Duration::from_secs(4)).await;
    for node in [&ahead, &behind] {
        assert_eq!(
            node.metric("hub_peer_events_total{event=\"died\"}").await,
            0
        );
        living(node, 1).await;
    }
    at_ahead.ping().await;
    at_behind.ping().await;
    behind.kill9();
    peer_events(&ahead, "died", 1).await;
}
