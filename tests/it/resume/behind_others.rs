//! Coming back to a room while much that another room says waits for the client.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Scene, scene};
use crate::harness::eventually;
use crate::harness::raw::{FIN, RawPeer, masked, opcode};
use crate::harness::rest::send;

/// More than the kernels hold for a peer that does not read, and half of what may wait.
const SETTINGS: [(&str, &str); 4] = [
    ("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "10000000"),
    ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096"),
    ("HUBBUB__WEBSOCKET__NOTSENT_LOWAT_BYTES", "4096"),
    ("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "1"),
];
const BACKLOG: usize = 120;

async fn command(peer: &mut RawPeer, command: &Value) {
    let text = command.to_string();
    peer.write(&masked(FIN | opcode::TEXT, text.as_bytes()))
        .await;
}

async fn next(peer: &mut RawPeer) -> Value {
    let frame = peer.read_frame().await.expect("the connection goes on");
    serde_json::from_slice(&frame.payload).expect("JSON")
}

/// Bob, for whom more than half of what may wait does, of the second room.
async fn bob_behind(scene: &Scene) -> RawPeer {
    let other = &scene.rooms[1];
    let mut peer = RawPeer::upgraded(&scene.node, &scene.bob.token).await;
    command(
        &mut peer,
        &json!({ "id": 1, "cmd": "join", "room": other.id }),
    )
    .await;
    let reply = next(&mut peer).await;
    assert_eq!(reply["id"], 1, "{reply}");
    let body = "x".repeat(60_000);
    for n in 0..BACKLOG {
        scene.ada.say(&other.id, &body, &n.to_string()).await.ok();
    }
    peer
}

/// What was read for a replay is not sent when it has had to wait for long: it may have been deleted
/// since.
#[tokio::test]
async fn what_was_deleted_while_a_replay_waited_does_not_come() {
    let scene = scene(2, &SETTINGS).await;
    let room = &scene.rooms[0];
    let said = scene.ada.say(&room.id, "a secret", "s").await.ok();
    scene.ada.say(&room.id, "and more", "m").await.ok();
    let mut bob = bob_behind(&scene).await;
    let before = said["seq"].as_u64().expect("a seq") - 1;
    let join = json!({ "id": 2, "cmd": "join", "room": room.id, "since": before });
    command(&mut bob, &join).await;
    eventually("its page has been read", async || {
        let read = scene
            .node
            .metric("hub_replay_pages_total{how=\"read\"}")
            .await;
        let reading = scene.node.metric("hub_replay_pages_reading").await;
        (read > 0 && reading == 0).then_some(())
    })
    .await;
    let id = said["id"].as_str().expect("an id");
    let path = format!("/api/rooms/{}/messages/{id}", room.id);
    let deletion = scene.ada.request(reqwest::Method::DELETE, &path);
    send(deletion).await.ok();
    // What was read may be held for a second: the time itself is what is waited for.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let first = loop {
        let value = next(&mut bob).await;
        if value["room"] == room.id.as_str() && value["push"] == "message" {
            break value;
        }
    };
    assert_eq!(
        (&first["id"], &first["body"]),
        (&said["id"], &json!("")),
        "{first}"
    );
}

/// A position of another life of the log, told when there is room for it.
#[tokio::test]
async fn a_gap_waits_for_room_like_a_replay() {
    let scene = scene(2, &SETTINGS).await;
    let room = &scene.rooms[0];
    let mut bob = bob_behind(&scene).await;
    let join = json!({
        "id": 2, "cmd": "join", "room": room.id, "since": 1, "epoch": room.epoch + 1,
    });
    command(&mut bob, &join).await;
    let reply = loop {
        let value = next(&mut bob).await;
        if value["id"] == 2 {
            break value;
        }
    };
    assert_eq!(reply["ok"]["gap"]["reason"], "epoch", "{reply}");
}
