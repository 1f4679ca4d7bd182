//! A push is compressed once, and shared by everybody who takes it compressed.

use serde_json::json;

use crate::harness::node::Node;
use crate::harness::rest::register;
use crate::harness::socket::Socket;

#[tokio::test]
async fn a_push_is_compressed_once_for_everybody() {
    const MEMBERS: usize = 12;
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        // Every other one, on both threads.
        let mut socket = if n % 2 == 0 {
            Socket::deflated(&node, &ada).await
        } else {
            Socket::connect(&node, &ada).await
        };
        socket.join(&room.id).await;
        members.push(socket);
    }
    let shorter = "websocket_deflated_frames_total{outcome=\"shorter\"}";
    let body = "say it once, hear it everywhere. ".repeat(60);
    assert_eq!(node.metric(shorter).await, 0);
    members[0].publish(&room.id, &body, "long").await;
    for member in &mut members {
        assert_eq!(member.push("message").await["body"], body);
    }
    assert_eq!(node.metric(shorter).await, 1);
    // What is short goes out as it is.
    members[1].publish(&room.id, "short", "short").await;
    for member in &mut members {
        assert_eq!(member.push("message").await["body"], "short");
    }
    // So does a volatile event, and what is long of those is compressed once, too.
    let event = json!({ "room": room.id, "name": "cursor", "data": body, "volatile": true });
    members[3].ok("emit", event).await;
    for member in &mut members {
        assert_eq!(member.push("event").await["data"], body);
    }
    assert_eq!(node.metric(shorter).await, 2);
    // An answer is one connection's own.
    let history = members[0].ok("history", json!({ "room": room.id })).await;
    assert_eq!(history["messages"][0]["body"], body);
    assert_eq!(node.metric(shorter).await, 3);
    let inflated = "websocket_inflated_messages_total{outcome=\"ok\"}";
    assert!(node.metric(inflated).await >= MEMBERS as u64 / 2);
    let (before, after) = (
        node.metric("websocket_deflate_bytes_total").await,
        node.metric("websocket_deflated_bytes_total").await,
    );
    assert!(0 < after && after < before / 4, "{before} became {after}");
}

#[tokio::test]
async fn who_comes_back_is_sent_what_was_missed_compressed() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let body = "missed and found again ".repeat(100);
    for n in 0..50 {
        let answer = ada.say(&room.id, &body, &format!("m{n}")).await;
        assert_eq!(answer.status, 201);
    }
    let mut socket = Socket::deflated(&node, &ada).await;
    let joined = socket
        .ok(
            "join",
            json!({ "room": room.id, "since": 0, "epoch": room.epoch }),
        )
        .await;
    assert_eq!(joined["replayed"], 50);
    for n in 0..50 {
        let push = socket.push("message").await;
        assert_eq!(
            (&push["body"], &push["client_id"]),
            (&json!(body), &json!(format!("m{n}")))
        );
    }
    let shorter = "websocket_deflated_frames_total{outcome=\"shorter\"}";
    assert_eq!(node.metric(shorter).await, 50);
}
