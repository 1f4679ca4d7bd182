//! In step, behind, and beside a deletion.

use hubbub::protocol::cursor::{self, Position};
use hubbub::protocol::event::Epoch;
use hubbub::protocol::id::RoomId;

use super::{Scene, comes_to, count, health, pages};
use crate::cache::get_with;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::redis::Redis;
use crate::harness::rest::{Room, register, text};
use crate::harness::{eventually, postgres};

#[tokio::test]
async fn what_is_in_step_answers_as_the_primary_does() {
    let scene = Scene::new().await;
    let plain = Node::start(NodeOptions::on(&scene.database.url)).await;
    let node = scene.node().await;
    let ada = register(&plain, "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=10 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    scene.catch_up().await;
    let before = count(&node, "answered").await;
    eventually("the replica answers every kind of page", async || {
        for path in pages(&room) {
            let (expected, found) = (ada.get(&path).await, ada.at(&node).get(&path).await);
            assert_eq!(found.ok(), expected.ok());
            assert_eq!(found.header("etag"), expected.header("etag"), "{path}");
        }
        (count(&node, "answered").await >= before + 3).then_some(())
    })
    .await;
    assert_eq!(count(&plain, "answered").await, 0);
    let told = health(&node).await;
    assert_eq!(told[0]["status"], "ok", "{told:?}");
    assert_eq!(node.metric("database_replicas_asked").await, 1);
}

/// What was seen of several rooms.
fn seen(positions: &[(&Room, u64)]) -> String {
    let position = |&(room, seq): &(&Room, u64)| Position {
        room_id: RoomId(room.id.parse().unwrap()),
        epoch: Epoch(i32::try_from(room.epoch).unwrap()),
        seq,
    };
    let positions: Vec<_> = positions.iter().map(position).collect();
    cursor::encode(&positions).unwrap()
}

#[tokio::test]
async fn what_is_behind_is_given_to_nobody_who_has_seen_or_was_told_more() {
    let scene = Scene::new().await;
    let nodes = [scene.node().await, scene.node().await];
    let ada = register(&nodes[0], "ada").await;
    let mut rooms = Vec::new();
    for name in ["general", "random"] {
        let room = ada.create_room(name).await;
        for n in 1..=5 {
            ada.say(&room.id, "hello", &n.to_string()).await.ok();
        }
        rooms.push(room);
    }
    scene.catch_up().await;
    for node in &nodes {
        for room in &rooms {
            comes_to("answered", node, &ada, room).await;
        }
    }
    postgres::pause(&scene.replica).await;
    let mut last = [0, 0];
    for round in 0..5 {
        let body = format!("said in round {round}");
        for (room, last) in rooms.iter().zip(&mut last) {
            let said = ada.say(&room.id, &body, &body).await.ok();
            *last = said["seq"].as_u64().expect("an event");
        }
        let cursors = [
            seen(&[(&rooms[0], last[0]), (&rooms[1], last[1])]),
            seen(&[(&rooms[1], last[1])]),
        ];
        for (at, node) in nodes.iter().enumerate() {
            for (n, (room, last)) in rooms.iter().zip(last).enumerate() {
                for path in pages(room) {
                    // The second cursor says nothing of the first room.
                    let header = ("hubbub-min-cursor", cursors[n].as_str());
                    let page = get_with(&ada.at(node), &path, &[header]).await.ok();
                    assert!(page["last_seq"].as_u64() >= Some(last), "{path}: {page}");
                    if !path.contains("before=3&") {
                        let list = page["messages"].as_array().expect("messages");
                        assert_eq!(list.last().expect("one")["body"], body, "{path}");
                    }
                }
                // The node that has committed it was told of it.
                for path in pages(room).iter().filter(|_| at == 0) {
                    let page = ada.get(path).await.ok();
                    assert!(page["last_seq"].as_u64() >= Some(last), "{path}: {page}");
                }
            }
        }
    }
    for node in &nodes {
        assert!(count(node, "behind").await > 0);
    }
    // What the other one has been told once it does not forget.
    for (room, last) in rooms.iter().zip(last) {
        let mut is_told = false;
        for _ in 0..3 {
            eventually("the other node is told", async || {
                let page = ada.at(&nodes[1]).get(&pages(room)[0]).await.ok();
                let is_new = page["last_seq"].as_u64() >= Some(last);
                assert!(is_new || !is_told, "it has forgotten: {page}");
                is_new.then_some(())
            })
            .await;
            is_told = true;
        }
    }
    postgres::resume(&scene.replica).await;
    scene.catch_up().await;
    comes_to("answered", &nodes[1], &ada, &rooms[0]).await;
}

#[tokio::test]
async fn a_deleted_message_does_not_come_back() {
    const SECRET: &str = "unspeakable";
    let scene = Scene::new().await;
    let redis = Redis::start().await;
    let start = async || {
        let options = NodeOptions::on(&scene.database.url)
            .set("REDIS_URL", &redis.url())
            .set("HUBBUB__DATABASE__REPLICA_URLS", &scene.replica_url())
            .set("HUBBUB__DATABASE__REPLICA_TIMEOUT_MS", "1500");
        Node::start(options).await
    };
    let nodes = [start().await, start().await];
    let ada = register(&nodes[0], "ada").await;
    let room = ada.create_room("general").await;
    let said = text(&ada.say(&room.id, SECRET, "1").await.ok()["id"]);
    for n in 2..=6 {
        ada.say(&room.id, "harmless", &n.to_string()).await.ok();
    }
    scene.catch_up().await;
    for node in &nodes {
        comes_to("answered", node, &ada, &room).await;
    }
    postgres::pause(&scene.replica).await;
    let path = format!("{}/{said}", super::messages(&room));
    ada.delete(&path).await.ok();
    let late = start().await;
    eventually("the other node is told", async || {
        let page = ada.at(&nodes[1]).get(&pages(&room)[0]).await;
        (!page.text.contains(SECRET)).then_some(())
    })
    .await;
    let behind = count(&nodes[1], "behind").await;
    for _ in 0..10 {
        for node in nodes.iter().chain([&late]) {
            for path in pages(&room) {
                let page = ada.at(node).get(&path).await;
                page.ok();
                assert!(!page.text.contains(SECRET), "{path}");
            }
        }
    }
    assert!(count(&nodes[1], "behind").await > behind);
    postgres::resume(&scene.replica).await;
    scene.catch_up().await;
    for node in nodes.iter().chain([&late]) {
        comes_to("answered", node, &ada, &room).await;
        for path in pages(&room) {
            assert!(!ada.at(node).get(&path).await.text.contains(SECRET));
        }
    }
}
