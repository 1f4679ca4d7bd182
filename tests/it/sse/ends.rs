//! How streams end, and rooms within them.

use serde_json::json;

use super::metric;
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::register;
use crate::harness::stream::EventStream;
use reqwest::Method;

#[tokio::test]
async fn the_end_of_a_membership_ends_the_rooms_stream_and_not_that_of_all() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    let own = bob.create_room("own").await;
    bob.join_room(&room).await;
    let path = format!("/api/rooms/{}/events", room.id);
    let mut one = EventStream::open(&bob, &path, None).await;
    let mut all = EventStream::open(&bob, "/api/events", None).await;
    let mut hers = EventStream::open(&ada, &path, None).await;
    one.event("resumed").await;
    hers.event("resumed").await;
    for _ in 0..2 {
        all.event("resumed").await;
    }
    let member = format!("/api/rooms/{}/members/{}", room.id, bob.id);
    let removed = ada.request(Method::DELETE, &member).send().await;
    assert!(removed.expect("an answer").status().is_success());
    assert_eq!(one.closed().await, (1000, "normal".to_owned()));
    let told: Vec<_> = one.take().into_iter().map(|event| event.name).collect();
    assert!(
        told.ends_with(&["member".to_owned(), "removed".to_owned()]),
        "{told:?}"
    );
    bob.get(&path).await.problem(403, "not_a_member");

    assert_eq!(all.event("removed").await.json()["room"], room.id);
    ada.say(&room.id, "not for bob", "1").await.ok();
    bob.say(&own.id, "for bob", "1").await.ok();
    assert_eq!(all.event("message").await.json()["body"], "for bob");
    assert_eq!(hers.event("message").await.json()["body"], "not for bob");

    // And back again: the open stream of all rooms gets it.
    bob.join_room(&room).await;
    let resumed = all.event("resumed").await.json();
    assert_eq!(resumed["room"], room.id);
    assert_eq!(resumed["replayed"], 0);
    ada.say(&room.id, "for bob again", "2").await.ok();
    assert_eq!(all.event("message").await.json()["body"], "for bob again");
    let new = bob.create_room("new").await;
    assert_eq!(all.event("resumed").await.json()["room"], new.id);
}

/// That somebody has become a member is told twice on the node where it was done: at once, and by the
/// control log.
#[tokio::test]
async fn a_room_that_begins_is_joined_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let mut stream = EventStream::open(&bob, "/api/events", None).await;
    for number in 0..20 {
        let room = ada.create_room(&format!("room-{number}")).await;
        bob.join_room(&room).await;
        assert_eq!(stream.event("resumed").await.json()["room"], room.id);
    }
    let last = bob.create_room("last").await;
    // The next one: none of those before has come twice.
    assert_eq!(stream.event("resumed").await.json()["room"], last.id);
}

#[tokio::test]
pub(crate) async fn the_end_of_a_session_ends_its_streams() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let other = crate::harness::rest::login(&node, "ada").await;
    ada.create_room("general").await;
    let mut stream = EventStream::open(&ada, "/api/events", None).await;
    let mut others = EventStream::open(&other, "/api/events", None).await;
    stream.event("resumed").await;
    others.event("resumed").await;
    ada.post("/api/auth/logout", &json!({})).await.ok();
    assert_eq!(stream.closed().await, (4101, "session_ended".to_owned()));
    ada.get("/api/events").await.problem(401, "unauthenticated");
    other.say("general", "still here", "1").await.ok();
    others.event("message").await;
}

#[tokio::test]
pub(crate) async fn a_client_that_goes_is_noticed_at_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let mut stream = EventStream::open(&ada, "/api/events", None).await;
    stream.event("resumed").await;
    assert_eq!(metric(&node, "sse_active_streams").await, 1);
    assert_eq!(metric(&node, "websocket_active_connections").await, 0);
    drop(stream);
    eventually("the stream is gone", async || {
        (metric(&node, "sse_active_streams").await == 0).then_some(())
    })
    .await;
    ada.say(&room.id, "hello?", "1").await.ok();
}

#[tokio::test]
pub(crate) async fn a_node_that_goes_tells_its_streams_and_ends_in_time() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__DRAIN_MS", "500")
        .set("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "10000");
    let mut node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let path = format!("/api/rooms/{}/events", room.id);
    let mut streams = Vec::new();
    for n in 0..6 {
        let path = if n % 2 == 0 { "/api/events" } else { &path };
        let mut stream = EventStream::open(&ada, path, None).await;
        stream.event("resumed").await;
        streams.push((path.to_owned(), stream));
    }
    ada.say(&room.id, "last words", "1").await.ok();
    for (_, stream) in &mut streams {
        stream.event("message").await;
    }
    let begun = std::time::Instant::now();
    node.terminate();
    let mut cursors = Vec::new();
    for (path, mut stream) in streams {
        assert_eq!(stream.closed().await, (4000, "drain".to_owned()));
        let drain = stream.event("drain").await.json();
        assert!(drain["after_ms"].as_u64().expect("a time") < 500, "{drain}");
        let retry_ms = stream.retry_ms().expect("a time to come back after");
        assert!((250..1000).contains(&retry_ms), "{retry_ms}");
        let cursor = drain["cursor"].as_str().expect("a cursor").to_owned();
        cursors.push((path, cursor, stream.last_event_id().to_owned()));
    }
    let status = node.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());

    node.restart().await;
    let ada = ada.at(&node);
    ada.say(&room.id, "first words", "2").await.ok();
    for (path, cursor, id) in cursors {
        for id in [cursor, id] {
            let mut stream = EventStream::open(&ada, &path, Some(&id)).await;
            let first = stream.event("message").await.json();
            assert_eq!(first["body"], "first words");
        }
    }
}
