//! Presence after panics.

use serde_json::{Value, json};

use super::crowd::{Scene, until};
use crate::harness::socket::{End, Socket};

/// The ids of some users, in order.
fn ids(scene: &Scene, users: impl IntoIterator<Item = usize>) -> Vec<String> {
    let mut ids: Vec<_> = users
        .into_iter()
        .map(|n| scene.users[n].id.clone())
        .collect();
    ids.sort_unstable();
    ids
}

fn sorted(ids: &Value) -> Vec<String> {
    let mut ids: Vec<String> = serde_json::from_value(ids.clone()).expect("ids");
    ids.sort_unstable();
    ids
}

/// Waits until those users are present, and nobody else.
async fn present(scene: &Scene, socket: &mut Socket, users: impl IntoIterator<Item = usize>) {
    let expected = ids(scene, users);
    let asked = ("presence", json!({ "room": scene.room.id }));
    until("presence is right", socket, asked, |reply| {
        let ok = reply.get("ok")?;
        let is_right = sorted(&ok["users"]) == expected && ok["count"] == expected.len();
        is_right.then_some(())
    })
    .await;
}

/// Waits for the push that tells everybody.
async fn reset(scene: &Scene, socket: &mut Socket, users: impl IntoIterator<Item = usize>) {
    let expected = ids(scene, users);
    let push = socket
        .next_push("presence with reset", |push| push["reset"] == true)
        .await;
    assert_eq!(push["push"], "presence");
    assert_eq!(sorted(&push["joins"]), expected, "{push}");
    assert_eq!(push["leaves"], json!([]));
    assert_eq!(push["count"], expected.len());
}

#[tokio::test]
async fn a_shard_that_panics_learns_who_is_here() {
    let scene = Scene::new(5).await;
    let mut sockets = Vec::new();
    for user in 0..4 {
        sockets.push(scene.joined(user).await);
    }
    // A second device of one of them.
    let second = scene.joined(3).await;
    let mut ann = sockets.remove(0);
    present(&scene, &mut ann, 0..4).await;
    ann.take_pushes();
    scene.node.fault("hub.presence.move", "1*panic").await;
    // Whose arrival is the last thing that the shard hears.
    let eve = scene.joined(4).await;
    scene.down("presence", 1).await;
    reset(&scene, &mut ann, 0..5).await;
    present(&scene, &mut ann, 0..5).await;
    // The count is right: those who go now are gone with their last connection.
    second.close().await;
    present(&scene, &mut ann, 0..5).await;
    eve.close().await;
    present(&scene, &mut ann, 0..4).await;
    for socket in sockets {
        socket.close().await;
    }
    present(&scene, &mut ann, [0]).await;
}

#[tokio::test]
async fn moves_while_a_shard_is_away_are_not_lost() {
    let scene = Scene::new(6).await;
    let mut ann = scene.joined(0).await;
    for round in 1..=5 {
        let mut others = Vec::new();
        scene.node.fault("hub.presence.move", "1*panic").await;
        for user in 1..6 {
            others.push(scene.joined(user).await);
        }
        scene.down("presence", round).await;
        let stays = others.pop().expect("the last one");
        scene.node.fault("hub.presence.move", "off").await;
        for socket in others {
            socket.close().await;
        }
        present(&scene, &mut ann, [0, 5]).await;
        stays.close().await;
        present(&scene, &mut ann, [0]).await;
    }
}

#[tokio::test]
async fn a_room_that_panics_is_told_who_is_here() {
    let scene = Scene::new(3).await;
    let mut ann = scene.joined(0).await;
    let _bob = scene.joined(1).await;
    present(&scene, &mut ann, 0..2).await;
    ann.take_pushes();
    scene.node.fault("hub.room.accept", "1*panic").await;
    scene.users[0].say(&scene.room.id, "boom", "c1").await.ok();
    reset(&scene, &mut ann, 0..2).await;
    // As a move after that is.
    let cid = scene.joined(2).await;
    let joins = json!([scene.users[2].id]);
    ann.next_push("the arrival", |push| push["joins"] == joins)
        .await;
    cid.close().await;
    let leaves = json!([scene.users[2].id]);
    ann.next_push("the departure", |push| push["leaves"] == leaves)
        .await;
}

#[tokio::test]
async fn those_of_a_fanout_that_panicked_are_gone() {
    let scene = Scene::with(4, |options| options.set("HUBBUB__HTTP__WORKERS", "1")).await;
    let mut sockets = Vec::new();
    for user in 0..3 {
        sockets.push(scene.joined(user).await);
    }
    present(&scene, &mut sockets[0], 0..3).await;
    scene.node.fault("hub.fanout.deliver", "1*panic").await;
    scene.users[0].say(&scene.room.id, "boom", "c1").await.ok();
    for socket in &mut sockets {
        assert!(matches!(socket.closed().await, End::Broken(_)));
    }
    let mut ann = scene.joined(3).await;
    present(&scene, &mut ann, [3]).await;
    assert_eq!(scene.metric("websocket_active_connections").await, 1);
}
