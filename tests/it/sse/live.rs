//! What a stream gives, and who gets one.

use serde_json::json;

use crate::harness::node::Node;
use crate::harness::rest::{register, send};
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

#[tokio::test]
pub(crate) async fn a_room_is_seen_in_order_whoever_speaks() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let path = format!("/api/rooms/{}/events", room.slug);
    let mut stream = EventStream::open(&ada, &path, None).await;
    let resumed = stream.event("resumed").await;
    assert_eq!(
        resumed.json(),
        json!({
            "push": "resumed", "room": room.id, "epoch": room.epoch, "last_seq": 0, "replayed": 0
        })
    );
    assert_eq!(resumed.last_event_id, format!("{}-0", room.epoch));
    let retry_ms = stream.retry_ms().expect("a time to come back after");
    assert!((500..2500).contains(&retry_ms), "{retry_ms}");

    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room.id).await;
    let bodies = [
        "plain",
        "two\nlines\r\nand\rmore",
        "\u{2028}naïve 🦀 data: x",
        " \n\n ",
    ];
    for (n, body) in bodies.into_iter().enumerate() {
        if n % 2 == 0 {
            socket.publish(&room.id, body, &n.to_string()).await;
        } else {
            ada.say(&room.id, body, &n.to_string()).await.ok();
        }
    }
    for (n, body) in bodies.into_iter().enumerate() {
        let event = stream.event("message").await;
        let seq = n + 1;
        assert_eq!(event.last_event_id, format!("{}-{seq}", room.epoch));
        let push = event.json();
        assert_eq!(push, socket.push("message").await, "the same object");
        assert_eq!((&push["body"], &push["seq"]), (&json!(body), &json!(seq)));
        assert!(!event.data.contains('\n'));
    }

    socket.ok("typing", json!({ "room": room.id })).await;
    let typing = stream.event("typing").await;
    assert_eq!(typing.json()["user_id"], ada.id);
    assert_eq!(typing.last_event_id, format!("{}-4", room.epoch));
    let volatile = json!({ "room": room.id, "name": "n", "data": { "x": 1 }, "volatile": true });
    socket.ok("emit", volatile).await;
    assert_eq!(
        stream.event("event").await.json()["data"],
        json!({ "x": 1 })
    );
}

#[tokio::test]
async fn only_members_with_credentials_get_one() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    let secret = json!({ "name": "secret", "slug": "secret", "is_private": true });
    ada.create_room_with(&secret).await;
    let path = format!("/api/rooms/{}/events", room.id);
    let http = crate::harness::rest::http();
    for path in [path.as_str(), "/api/events"] {
        let answer = send(http.get(node.url(path))).await;
        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let page = http
            .get(node.url(path))
            .header("cookie", &ada.cookie)
            .header("origin", "https://evil.example");
        send(page).await.problem(403, "origin_not_allowed");
        let own = http
            .get(node.url(path))
            .header("cookie", &ada.cookie)
            .header("sec-fetch-site", "same-origin");
        EventStream::of(own).await.event("resumed").await;
        let ticket = ada.ticket().await;
        let by_ticket = || http.get(node.url(&format!("{path}?ticket={ticket}")));
        EventStream::of(by_ticket()).await.event("resumed").await;
        send(by_ticket()).await.problem(401, "unauthenticated");
    }
    bob.get(&path).await.problem(403, "not_a_member");
    bob.get("/api/rooms/secret/events")
        .await
        .problem(404, "room_not_found");
    bob.get("/api/rooms/none/events")
        .await
        .problem(404, "room_not_found");
    bob.get("/api/events?rooms=general")
        .await
        .problem(403, "not_a_member");
    bob.get("/api/events?rooms=secret")
        .await
        .problem(404, "room_not_found");
    bob.get("/api/events?rooms=a&rooms=b")
        .await
        .problem(400, "invalid_request");
    bob.post(&path, &json!({}))
        .await
        .problem(405, "method_not_allowed");
}

/// A room that its user has become a member of is told of by whoever did it and by the control log,
/// and begins once.
#[tokio::test]
async fn a_new_room_begins_once() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("room").await;
    let mut stream = EventStream::open(&ada, "/api/events", None).await;
    stream.event("resumed").await;
    for n in 0..40 {
        let room = ada.create_room(&format!("room-{n}")).await;
        assert_eq!(stream.event("resumed").await.json()["room"], room.id);
        let leave = format!("/api/rooms/{}/leave", room.id);
        ada.post(&leave, &serde_json::json!({})).await;
        stream.event("removed").await;
        ada.join_room(&room).await;
        assert_eq!(stream.event("resumed").await.json()["room"], room.id, "{n}");
        ada.say(&room.id, "live", "1").await.ok();
        assert_eq!(stream.event("message").await.json()["room"], room.id);
    }
}

/// Who is removed and comes back at once, before the stream hears of the removal, is in the room
/// again.
#[tokio::test]
async fn a_room_that_was_left_for_a_moment_is_not_lost() {
    // What is lost on purpose is brought by nobody else.
    let settings = [("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let mut stream = EventStream::open(&bob, "/api/events", None).await;
    stream.event("resumed").await;
    // The room's own events are late, and the control log tells of both at once.
    node.fault("hub.room.accept", "return").await;
    node.fault("hub.control.read", "return").await;
    let path = format!("/api/rooms/{}/members/{}", room.id, bob.id);
    send(ada.request(reqwest::Method::DELETE, &path)).await.ok();
    bob.join_room(&room).await;
    node.fault("hub.control.read", "off").await;
    stream.event("removed").await;
    node.fault("hub.room.accept", "off").await;
    assert_eq!(stream.event("resumed").await.json()["room"], room.id);
    ada.say(&room.id, "live", "1").await.ok();
    assert_eq!(stream.event("message").await.json()["body"], "live");
}
