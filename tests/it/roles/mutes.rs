//! Muted: reads on and says nothing, on sockets that are open as on those that come.

use serde_json::{Value, json};

use super::{Scene, mute, unmute};
use crate::harness::eventually;
use crate::harness::rest::Room;
use crate::harness::socket::Socket;

/// The codes of what a member may say; none for what was accepted.
async fn say_all(socket: &mut Socket, room: &Room, key: &str) -> Vec<Option<String>> {
    let mut codes = Vec::new();
    for (cmd, fields) in [
        (
            "publish",
            json!({ "room": room.id, "body": "x", "client_id": key }),
        ),
        (
            "emit",
            json!({ "room": room.id, "name": "n", "data": 1, "volatile": true }),
        ),
        ("emit", json!({ "room": room.id, "name": "n", "data": 1 })),
        ("typing", json!({ "room": room.id })),
    ] {
        let reply = socket.request(cmd, fields).await;
        codes.push(
            reply
                .pointer("/err/code")
                .and_then(Value::as_str)
                .map(str::to_owned),
        );
    }
    codes
}

#[tokio::test]
async fn a_muted_member_reads_and_says_nothing() {
    let scene = Scene::start().await;
    let (maker, target) = (&scene.maker, &scene.target);
    let room = scene.room("r", None, Some("member")).await;
    let mut open = Socket::connect(&scene.node, target).await;
    open.join(&room.id).await;
    let free = vec![None; 4];
    let silenced = vec![Some("muted".to_owned()); 4];
    assert_eq!(say_all(&mut open, &room, "a").await, free);

    let until = "2999-01-02T03:04:05.123456Z";
    let answer = mute(maker, &room, target, &json!({ "until": until })).await;
    let member = answer.ok();
    assert_eq!(
        (&member["muted"], &member["muted_until"]),
        (&json!(true), &json!(until))
    );
    let push = open.push("member").await;
    assert_eq!(
        (&push["change"], &push["until"]),
        (&json!("muted"), &json!(until))
    );
    assert_eq!(say_all(&mut open, &room, "b").await, silenced);
    target
        .say(&room.id, "by REST", "r")
        .await
        .problem(403, "muted");
    // One that comes after it, and one that joins again.
    let mut later = Socket::connect(&scene.node, target).await;
    later.join(&room.id).await;
    assert_eq!(say_all(&mut later, &room, "c").await, silenced);
    open.join(&room.id).await;
    assert_eq!(say_all(&mut open, &room, "d").await, silenced);
    maker.say(&room.id, "hear me", "m").await.ok();
    while open.push("message").await["body"] != "hear me" {}

    // For ever takes the place of a time; the same again is no event.
    let answer = mute(maker, &room, target, &json!({})).await.ok();
    assert_eq!(
        (&answer["muted"], &answer["muted_until"]),
        (&json!(true), &Value::Null)
    );
    let push = open.push("member").await;
    assert_eq!(
        (&push["change"], push.get("until")),
        (&json!("muted"), None)
    );
    mute(maker, &room, target, &json!({})).await.ok();
    assert_eq!(say_all(&mut open, &room, "e").await, silenced);
    let mut forever = Socket::connect(&scene.node, target).await;
    forever.join(&room.id).await;
    assert_eq!(say_all(&mut forever, &room, "f").await, silenced);

    assert_eq!(unmute(maker, &room, target).await.status, 204);
    assert_eq!(open.push("member").await["change"], "unmuted");
    assert_eq!(say_all(&mut open, &room, "g").await, free);
    later.push("member").await;
    forever.push("member").await;
    assert_eq!(say_all(&mut later, &room, "h").await, free);
}

#[tokio::test]
async fn nobody_gets_rid_of_a_mute_by_leaving() {
    let scene = Scene::start().await;
    let (maker, target) = (&scene.maker, &scene.target);
    let room = scene.room("r", None, Some("member")).await;
    let leave = format!("/api/rooms/{}/leave", room.id);
    mute(maker, &room, target, &json!({})).await.ok();
    for _ in 0..2 {
        target.post(&leave, &json!({})).await.ok();
        target.join_room(&room).await;
        let mut socket = Socket::connect(&scene.node, target).await;
        socket.join(&room.id).await;
        let silenced = vec![Some("muted".to_owned()); 4];
        assert_eq!(say_all(&mut socket, &room, "a").await, silenced);
    }
    assert_eq!(unmute(maker, &room, target).await.status, 204);
    target.post(&leave, &json!({})).await.ok();
    target.join_room(&room).await;
    target.say(&room.id, "free", "b").await.ok();
}

#[tokio::test]
async fn a_mute_ends_by_itself() {
    let scene = Scene::start().await;
    let (maker, target) = (&scene.maker, &scene.target);
    let room = scene.room("r", None, Some("member")).await;
    let mut socket = Socket::connect(&scene.node, target).await;
    socket.join(&room.id).await;
    mute(maker, &room, target, &json!({ "seconds": 1 }))
        .await
        .ok();
    socket.push("member").await;
    let refused = socket.err("typing", json!({ "room": room.id })).await;
    assert_eq!(refused["code"], "muted");
    let mut n = 0;
    eventually("the time is over", async || {
        n += 1;
        let codes = say_all(&mut socket, &room, &n.to_string()).await;
        codes.iter().all(Option::is_none).then_some(())
    })
    .await;
    eventually("the list says so", async || {
        let path = format!("/api/rooms/{}/members", room.id);
        let page = maker.get(&path).await.ok();
        let members = page["members"].as_array().expect("members");
        members.iter().all(|it| it["muted"] == false).then_some(())
    })
    .await;
}
