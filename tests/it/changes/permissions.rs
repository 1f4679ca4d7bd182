//! Who may do what, over the socket and over REST.

use serde_json::{Value, json};

use super::scene::{Scene, about, scene, unique};
use crate::harness::rest::{User, text};
use crate::harness::socket::Socket;

/// What is done, as a command with its fields.
fn actions() -> [(&'static str, Value); 4] {
    [
        ("message.edit", json!({ "body": unique() })),
        ("message.react", json!({ "emoji": "+1" })),
        ("message.pin", json!({ "pinned": true })),
        ("message.delete", json!({})),
    ]
}

/// The code that each action on a message of bob's gets, over both ways; "ok" if it is done.
async fn attempts(scene: &Scene, user: &User) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut socket = Socket::connect(&scene.node, user).await;
    for (command, fields) in actions() {
        let message = scene.said(&scene.bob, "bob's").await;
        let reply = socket
            .request(command, about(&scene.room, &message, fields))
            .await;
        let by_socket = if let Some(err) = reply.get("err") {
            text(&err["code"])
        } else {
            assert!(reply["ok"]["seq"].is_u64(), "{reply}");
            "ok".to_owned()
        };
        let message = scene.said(&scene.bob, "bob's").await;
        let answer = match command {
            "message.edit" => scene.edit(user, &message, &unique()).await,
            "message.react" => scene.react(user, &message, "+1").await,
            "message.pin" => scene.pin(user, &message).await,
            _ => scene.delete(user, &message).await,
        };
        let by_rest = if answer.status == 200 {
            assert!(answer.json()["seq"].is_u64(), "{answer:?}");
            "ok".to_owned()
        } else {
            text(&answer.json()["code"])
        };
        assert_eq!(by_socket, by_rest, "{command} by {}", user.name);
        let shown = scene.shown(&message).await;
        let is_changed = shown["body"] != "bob's"
            || ["reactions", "pinned_at", "deleted"]
                .iter()
                .any(|it| shown.get(it).is_some());
        assert_eq!(is_changed, by_rest == "ok", "{shown}");
        outcomes.push(by_rest);
    }
    outcomes
}

#[tokio::test]
async fn who_may_do_what() {
    let scene = scene().await;
    let (no, ok) = ("forbidden", "ok");
    for (user, [edit, react, pin, delete]) in [
        (&scene.bob, [ok, ok, no, ok]),
        (&scene.eve, [no, ok, no, no]),
        (&scene.mo, [no, ok, ok, ok]),
        (&scene.ada, [no, ok, ok, ok]),
        (&scene.stranger, ["not_a_member"; 4]),
    ] {
        let outcomes = attempts(&scene, user).await;
        assert_eq!(outcomes, [edit, react, pin, delete], "{}", user.name);
    }
}

#[tokio::test]
async fn who_is_muted_can_only_listen() {
    let scene = scene().await;
    let message = scene.said(&scene.bob, "bob's").await;
    let mute = |user: &User, until: &str| {
        format!(
            "UPDATE room_members SET muted_until = {until} WHERE user_id = '{}'",
            user.id
        )
    };
    for user in [&scene.eve, &scene.mo] {
        scene.execute(&mute(user, "'9999-12-31'")).await;
        let outcomes = attempts(&scene, user).await;
        assert_eq!(outcomes, ["muted"; 4], "{}", user.name);
        let answer = user.say(&scene.room.id, "hello", &unique()).await;
        answer.problem(403, "muted");
        let mut socket = scene.socket(user).await;
        let fields = json!({ "room": scene.room.id, "name": "n", "data": 1 });
        assert_eq!(socket.err("emit", fields).await["code"], "muted");
    }
    // It ends by itself.
    scene
        .execute(&mute(&scene.eve, "now() - interval '1 ms'"))
        .await;
    scene.react(&scene.eve, &message, "+1").await.ok();
    scene.said(&scene.eve, "hello").await;
}

#[tokio::test]
async fn messages_that_are_not_there() {
    let scene = scene().await;
    let other = scene.ada.create_room("other").await;
    scene.bob.join_room(&other).await;
    let elsewhere = text(&scene.bob.say(&other.id, "there", "k").await.ok()["id"]);
    let private = json!({ "name": "p", "slug": "p", "is_private": true });
    let private = scene.ada.create_room_with(&private).await;
    let hidden = text(&scene.ada.say(&private.id, "there", "k").await.ok()["id"]);
    let mut bob = scene.socket(&scene.bob).await;
    for message in [elsewhere.as_str(), hidden.as_str(), &unique()] {
        for (command, fields) in actions() {
            let err = bob.err(command, about(&scene.room, message, fields)).await;
            assert_eq!(err["code"], "message_not_found", "{command}");
            assert_eq!(err["retry"], false);
        }
        let not_found = |answer: crate::harness::rest::Answer| {
            answer.problem(404, "message_not_found");
        };
        not_found(scene.edit(&scene.bob, message, "x").await);
        not_found(scene.delete(&scene.ada, message).await);
        not_found(scene.react(&scene.ada, message, "x").await);
        not_found(scene.unreact(&scene.ada, message, "x").await);
        not_found(scene.pin(&scene.ada, message).await);
        not_found(scene.unpin(&scene.ada, message).await);
        let path = format!("/api/rooms/room/messages/{message}");
        not_found(scene.ada.get(&path).await);
    }
    scene
        .edit(&scene.bob, "no-id", "x")
        .await
        .problem(404, "message_not_found");
    // A room that one may not know of is not there, whatever the message.
    let err = bob
        .err(
            "message.react",
            about(&private, &hidden, json!({ "emoji": "x" })),
        )
        .await;
    assert_eq!(err["code"], "room_not_found");
    let path = format!("/api/rooms/{}/messages/{hidden}/pin", private.id);
    let answer = scene.bob.request(reqwest::Method::PUT, &path);
    crate::harness::rest::send(answer)
        .await
        .problem(404, "room_not_found");
    // And an event that is no message is none.
    let fields = json!({ "room": scene.room.id, "name": "n", "data": 1 });
    let event = text(&bob.ok("emit", fields).await["id"]);
    let err = bob
        .err("message.delete", about(&scene.room, &event, json!({})))
        .await;
    assert_eq!(err["code"], "message_not_found");
}

#[tokio::test]
async fn what_a_member_may_not_see_is_not_there() {
    let scene = scene().await;
    let old = scene.said(&scene.ada, "old").await;
    scene.pin(&scene.ada, &old).await.ok();
    let floor = scene.shown(&old).await["seq"].clone();
    let new = scene.said(&scene.ada, "new").await;
    scene.pin(&scene.ada, &new).await.ok();
    scene
        .execute(&format!(
            "UPDATE room_members SET history_floor = {floor} WHERE user_id = '{}'",
            scene.bob.id
        ))
        .await;
    let mut bob = scene.socket(&scene.bob).await;
    for query in ["", "?after=0", "?before=1000", "?limit=1&after=0"] {
        let page = scene.bob.page(&scene.room.id, query).await;
        let messages = page["messages"].as_array().expect("messages");
        assert_eq!(messages.len(), 1, "{query}: {page}");
        assert_eq!(messages[0]["body"], "new");
        assert_eq!(page["next"], Value::Null);
    }
    let page = bob
        .ok("history", json!({ "room": scene.room.id, "before": 1000 }))
        .await;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1));
    let pins = scene.bob.get("/api/rooms/room/pins").await.ok();
    assert_eq!(pins["messages"].as_array().map(Vec::len), Some(1));
    let path = format!("/api/rooms/room/messages/{old}");
    scene.bob.get(&path).await.problem(404, "message_not_found");
    scene
        .react(&scene.bob, &old, "x")
        .await
        .problem(404, "message_not_found");
    let reply = json!({ "body": "b", "client_id": "k", "thread": old });
    let answer = scene.bob.post("/api/rooms/room/messages", &reply).await;
    answer.problem(404, "message_not_found");
    scene.react(&scene.bob, &new, "x").await.ok();
}
