//! Clients of a node that was killed go on at another, with sockets and streams alike.

use serde_json::json;

use super::Cluster;
use crate::harness::rest::register;
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

#[tokio::test]
async fn they_resume_at_another_node_without_a_hole() {
    let mut cluster = Cluster::start(2, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let room = ada.create_room("room").await;
    let path = format!("/api/rooms/{}/events", room.id);
    let mut socket = Socket::connect(&cluster.nodes[0], &ada).await;
    socket.join(&room.id).await;
    let mut one = EventStream::open(&ada, &path, None).await;
    let mut all = EventStream::open(&ada, "/api/events", None).await;
    // Live from here on.
    one.event("resumed").await;
    all.event("resumed").await;
    let mut last = 0;
    for n in 0..5 {
        let ack = socket
            .publish(&room.id, &format!("before {n}"), &format!("b{n}"))
            .await;
        last = ack["seq"].as_u64().expect("a seq");
    }
    for _ in 0..5 {
        socket.push("message").await;
        one.event("message").await;
        all.event("message").await;
    }
    cluster.nodes[0].kill9();
    socket.closed().await;
    one.ended().await;
    all.ended().await;

    let b = &cluster.nodes[1];
    let there = ada.at(b);
    for n in 0..5 {
        there
            .say(&room.id, &format!("after {n}"), &format!("a{n}"))
            .await
            .ok();
    }
    let mut socket = Socket::connect(b, &there).await;
    let fields = json!({ "room": room.id, "since": last, "epoch": room.epoch });
    socket.ok("join", fields).await;
    let mut one = EventStream::open(&there, &path, Some(one.last_event_id())).await;
    let mut all = EventStream::open(&there, "/api/events", Some(all.last_event_id())).await;
    for n in 0..5 {
        let expected = format!("after {n}");
        assert_eq!(socket.push("message").await["body"], expected);
        assert_eq!(one.event("message").await.json()["body"], expected);
        assert_eq!(all.event("message").await.json()["body"], expected);
    }
}
