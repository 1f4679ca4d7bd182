//! Replicas that go away, stand still, or are not there yet.

use super::{Scene, comes_to, count, health, pages};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::rest::{Room, User, http, register, send};

async fn room_of_messages(node: &Node) -> (User, Room) {
    let ada = register(node, "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=5 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    (ada, room)
}

/// Reads and writes go on as if there were no replica; what is new is seen at once.
async fn all_goes_on(node: &Node, ada: &User, room: &Room) {
    for _ in 0..10 {
        let id = format!("more {}", rand::random::<u64>());
        let said = ada.say(&room.id, "more", &id).await.ok();
        let [newest, open, full] = pages(room);
        for path in [newest, open] {
            let page = ada.get(&path).await.ok();
            assert_eq!(page["last_seq"], said["seq"], "{path}");
        }
        let page = ada.get(&full).await.ok();
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(2), "{full}");
    }
    let ready = send(http().get(node.url("/health/ready"))).await;
    assert_eq!(ready.ok()["ready"], true);
}

/// The node says that the replica is not asked, and why.
async fn is_told_of(node: &Node) {
    eventually("it is told of", async || {
        let told = health(node).await;
        (told[0]["status"] == "unavailable" && told[0]["error"].is_string()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_is_killed_is_missed_by_nobody_and_used_when_it_is_back() {
    let mut scene = Scene::new().await;
    let node = scene.node().await;
    let (ada, room) = room_of_messages(&node).await;
    comes_to("answered", &node, &ada, &room).await;
    scene.replica.kill9().await;
    all_goes_on(&node, &ada, &room).await;
    is_told_of(&node).await;
    comes_to("not_asked", &node, &ada, &room).await;
    scene.replica.restart().await;
    comes_to("answered", &node, &ada, &room).await;
}

#[tokio::test]
async fn a_frozen_replica_costs_one_wait_and_is_used_when_it_goes_on() {
    let scene = Scene::new().await;
    let node = scene.node().await;
    let (ada, room) = room_of_messages(&node).await;
    comes_to("answered", &node, &ada, &room).await;
    scene.replica.freeze();
    let before = count(&node, "unreachable").await;
    all_goes_on(&node, &ada, &room).await;
    comes_to("not_asked", &node, &ada, &room).await;
    // It was found out by a look, or by one read; whoever came then did not wait.
    assert!(count(&node, "unreachable").await <= before + 1);
    is_told_of(&node).await;
    scene.replica.thaw();
    comes_to("answered", &node, &ada, &room).await;
    assert_eq!(health(&node).await[0]["status"], "ok");
}

#[tokio::test]
async fn a_replica_that_comes_after_the_node_is_found() {
    let mut scene = Scene::new().await;
    scene.replica.stop().await;
    let node = scene.node().await;
    let (ada, room) = room_of_messages(&node).await;
    all_goes_on(&node, &ada, &room).await;
    is_told_of(&node).await;
    assert_eq!(count(&node, "unreachable").await, 0, "nobody waits for it");
    scene.replica.restart().await;
    comes_to("answered", &node, &ada, &room).await;
}
