//! What is below and beside the events: heartbeats, HEAD, HTTP/2, many streams and rooms.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::metric;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{register, send};
use crate::harness::stream::EventStream;
use crate::harness::{DEADLINE, eventually};

#[tokio::test]
pub(crate) async fn silence_is_broken_by_comments_and_whoever_takes_them_stays() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__WEBSOCKET__PING_INTERVAL_S", "1")
        .set("HUBBUB__WEBSOCKET__PING_TIMEOUT_S", "1")
        .set("HUBBUB__WEBSOCKET__IDLE_TIMEOUT_S", "1");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    // Without any room: a stream waits for what will be.
    let mut stream = EventStream::open(&ada, "/api/events", None).await;
    stream.comments(4).await;
    let room = ada.create_room("general").await;
    assert_eq!(stream.event("resumed").await.json()["room"], room.id);
    ada.say(&room.id, "hi", "1").await.ok();
    stream.event("message").await;
}

#[tokio::test]
pub(crate) async fn head_gets_the_head_and_the_connection_goes_on() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    for path in ["/api/events", "/api/rooms/general/events"] {
        let head = tokio::time::timeout(DEADLINE, send(ada.request(Method::HEAD, path)));
        let head = head.await.expect("an answer with an end");
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.text, "");
        ada.get("/api/users/me").await.ok();
    }
    eventually("nothing is left of it", async || {
        (metric(&node, "sse_active_streams").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
pub(crate) async fn http2_carries_several_streams_on_one_connection() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let room_path = format!("/api/rooms/{}/events", room.id);
    let paths = ["/api/events", &room_path, "/api/events"];
    let mut streams = EventStream::open_by_http2(&node, &ada, &paths).await;
    for stream in &mut streams {
        stream.event("resumed").await;
    }
    ada.say(&room.id, "hi", "1").await.ok();
    for stream in &mut streams {
        assert_eq!(stream.event("message").await.json()["body"], "hi");
    }
    streams.pop();
    eventually("one is gone", async || {
        (metric(&node, "sse_active_streams").await == 2).then_some(())
    })
    .await;
    ada.post("/api/auth/logout", &json!({})).await.ok();
    for stream in &mut streams {
        assert_eq!(stream.closed().await.0, 4101);
    }
}

#[tokio::test]
pub(crate) async fn two_hundred_streams_of_a_room_and_of_all_get_everything_in_order() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let path = format!("/api/rooms/{}/events", room.id);
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..200 {
        let path = if n % 4 == 0 { "/api/events" } else { &path };
        let mut stream = EventStream::open(&ada, path, None).await;
        stream.event("resumed").await;
        readers.spawn(async move {
            for n in 0..50 {
                let event = stream.event("message").await;
                assert_eq!(event.json()["body"], n.to_string());
            }
        });
    }
    assert_eq!(metric(&node, "sse_active_streams").await, 200);
    for n in 0..50 {
        ada.say(&room.id, &n.to_string(), &n.to_string()).await.ok();
    }
    tokio::time::timeout(DEADLINE, readers.join_all())
        .await
        .expect("all of them");
}

#[tokio::test]
async fn rooms_and_streams_are_bounded() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__WEBSOCKET__MAX_ROOMS", "2")
        .set("HUBBUB__HTTP__MAX_CONNECTIONS", "2");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    for name in ["one", "two"] {
        ada.create_room(name).await;
    }
    let mut all = EventStream::open(&ada, "/api/events", None).await;
    for _ in 0..2 {
        all.event("resumed").await;
    }
    // One room too many for a stream that is open: it is sent back to be told so.
    let third = ada.create_room("three").await;
    assert_eq!(all.closed().await, (4004, "resync".to_owned()));
    ada.get("/api/events").await.problem(400, "too_many_rooms");
    let three = ada.get("/api/events?rooms=one,two,three").await;
    three.problem(400, "too_many_rooms");
    // A stream of some rooms gets those, and none that come later.
    let mut some = EventStream::open(&ada, "/api/events?rooms=one,three,one", None).await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        rooms.push(some.event("resumed").await.json()["room"].clone());
    }
    assert!(rooms.contains(&json!(third.id)), "{rooms:?}");
    ada.say("two", "elsewhere", "1").await.ok();
    ada.say("three", "here", "1").await.ok();
    assert_eq!(some.event("message").await.json()["body"], "here");

    let _second = EventStream::open(&ada, "/api/rooms/one/events", None).await;
    let full = ada.get("/api/rooms/one/events").await;
    full.problem(503, "overloaded");
    assert_eq!(full.header("retry-after"), Some("1"));
    drop(some);
    eventually("there is a place again", async || {
        let request = EventStream::request(&ada, "/api/rooms/one/events");
        let answer = tokio::time::timeout(Duration::from_secs(5), request.send());
        let answer = answer.await.ok()?.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}
