//! Presence by several nodes.

mod bus;
mod crowds;
mod deaths;
mod online;
mod scene;

use std::time::Duration;

use serde_json::{Value, json};

use self::scene::{Cluster, Two, named, present, ready, told};
use crate::harness::redis::Redis;
use crate::harness::rest::register;
use crate::harness::socket::Socket;

#[tokio::test]
async fn two_nodes_see_each_other_and_two_devices_are_one() {
    let redis = Redis::start().await;
    let cluster = Cluster::start(Some(&redis), 2, &[]).await;
    let Two {
        ann,
        bob,
        room,
        mut at_a,
        mut at_b,
    } = Two::meet(&cluster).await;
    let push = at_a
        .next_push("bob comes", |push| named(push, "joins", &bob))
        .await;
    assert_eq!(push["count"], 2);
    for socket in [&mut at_a, &mut at_b] {
        present(socket, &room, &[&ann, &bob]).await;
    }
    // A second device of Bob's, on the other node.
    let mut second = Socket::connect(&cluster.nodes[0], &bob).await;
    second.join(&room.id).await;
    ready(&mut second, &room).await;
    at_b.ok("leave", json!({ "room": room.id })).await;
    present(&mut at_a, &room, &[&ann, &bob]).await;
    second.close().await;
    let push = at_a
        .next_push("bob goes", |push| named(push, "leaves", &bob))
        .await;
    assert_eq!(push["count"], 1);
    let about_bob = |push: &Value| named(push, "joins", &bob) || named(push, "leaves", &bob);
    assert!(
        !at_a.take_pushes().iter().any(about_bob),
        "he came and went once"
    );
}

#[tokio::test]
async fn nodes_without_redis_ask_each_other() {
    let cluster = Cluster::start(None, 2, &[]).await;
    let Two {
        ann,
        bob,
        room,
        mut at_a,
        mut at_b,
    } = Two::meet(&cluster).await;
    for socket in [&mut at_a, &mut at_b] {
        present(socket, &room, &[&ann, &bob]).await;
    }
    at_b.close().await;
    present(&mut at_a, &room, &[&ann]).await;
}

/// A page is loaded again: its connection is lost, and another one comes.
#[tokio::test]
async fn a_reload_is_seen_by_nobody() {
    let redis = Redis::start().await;
    let settings = [("HUBBUB__HUB__PRESENCE_GRACE_MS", "600000")];
    let cluster = Cluster::start(Some(&redis), 2, &settings).await;
    let [ann, bob] = cluster.people(["ann", "bob"]).await;
    let room = cluster.room(&ann, &[&bob]).await;
    let mut watcher = Socket::connect(&cluster.nodes[0], &ann).await;
    watcher.join(&room.id).await;
    let mut socket = Socket::connect(&cluster.nodes[0], &bob).await;
    socket.join(&room.id).await;
    told(&mut watcher, "joins", &[&bob]).await;
    for node in [1, 0, 1] {
        drop(socket);
        watcher.read_for(Duration::from_millis(300)).await;
        socket = Socket::connect(&cluster.nodes[node], &bob).await;
        socket.join(&room.id).await;
        present(&mut socket, &room, &[&ann, &bob]).await;
    }
    present(&mut watcher, &room, &[&ann, &bob]).await;
    let about_bob = |push: &Value| named(push, "joins", &bob) || named(push, "leaves", &bob);
    assert!(!watcher.take_pushes().iter().any(about_bob));
}

#[tokio::test]
async fn a_node_that_starts_later_knows_who_is_here() {
    let redis = Redis::start().await;
    let mut cluster = Cluster::start(Some(&redis), 1, &[]).await;
    let [ann] = cluster.people(["ann"]).await;
    let room = cluster.room(&ann, &[]).await;
    let mut at_a = Socket::connect(&cluster.nodes[0], &ann).await;
    at_a.join(&room.id).await;
    cluster.add().await;
    let bob = register(&cluster.nodes[1], "bob").await;
    bob.join_room(&room).await;
    let mut at_b = Socket::connect(&cluster.nodes[1], &bob).await;
    at_b.join(&room.id).await;
    present(&mut at_b, &room, &[&ann, &bob]).await;
}
