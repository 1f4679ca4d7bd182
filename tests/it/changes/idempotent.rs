//! The same thing twice is the same as once.

use futures_util::future::join_all;
use serde_json::json;

use super::scene::{about, scene};
use crate::harness::rest::{User, text};

#[tokio::test]
async fn what_is_so_already_changes_nothing() {
    let scene = scene().await;
    let room = &scene.room;
    let mut ada = scene.socket(&scene.ada).await;
    let message = scene.said(&scene.ada, "a").await;
    let nothing = json!({});
    let wanted = [
        ("message.edit", json!({ "body": "b" })),
        ("message.react", json!({ "emoji": "+1" })),
        ("message.react", json!({ "emoji": "+1", "remove": true })),
        ("message.pin", json!({ "pinned": true })),
        ("message.pin", json!({ "pinned": false })),
        ("message.delete", json!({})),
    ];
    for (command, fields) in wanted {
        let fields = about(room, &message, fields);
        let first = ada.ok(command, fields.clone()).await;
        assert!(first["seq"].is_u64(), "{command}: {first}");
        assert_eq!(ada.ok(command, fields).await, nothing, "{command}");
        let last = scene.ada.page(&room.id, "").await["last_seq"].clone();
        assert_eq!(last, first["seq"], "{command} is in the log once");
    }
    assert_eq!(scene.delete(&scene.ada, &message).await.ok(), nothing);

    let message = scene.said(&scene.ada, "a").await;
    assert_eq!(scene.edit(&scene.ada, &message, "a").await.ok(), nothing);
    assert_eq!(scene.unreact(&scene.ada, &message, "x").await.ok(), nothing);
    assert_eq!(scene.unpin(&scene.ada, &message).await.ok(), nothing);
    scene.pin(&scene.ada, &message).await.ok();
    assert_eq!(scene.pin(&scene.mo, &message).await.ok(), nothing);
}

#[tokio::test]
async fn a_deleted_message_stays_as_it_is() {
    let scene = scene().await;
    let message = scene.said(&scene.bob, "a").await;
    scene.delete(&scene.mo, &message).await.ok();
    let shown = scene.shown(&message).await;
    let gone = |answer: crate::harness::rest::Answer| answer.problem(410, "message_deleted");
    gone(scene.edit(&scene.bob, &message, "b").await);
    gone(scene.react(&scene.bob, &message, "b").await);
    gone(scene.unreact(&scene.bob, &message, "b").await);
    gone(scene.pin(&scene.ada, &message).await);
    gone(scene.unpin(&scene.ada, &message).await);
    assert_eq!(scene.shown(&message).await, shown);
}

/// The original answer, whatever has become of the message and its author since.
#[tokio::test]
async fn a_key_is_answered_as_the_first_time() {
    let scene = scene().await;
    let room = &scene.room;
    let mut bob = scene.socket(&scene.bob).await;
    let message = scene.said(&scene.bob, "a").await;
    let edit =
        |body: &str, key: &str| about(room, &message, json!({ "body": body, "client_id": key }));
    let first = bob.ok("message.edit", edit("b", "k1")).await;
    let second = bob.ok("message.edit", edit("c", "k2")).await;
    assert_eq!(bob.ok("message.edit", edit("b", "k1")).await, first);
    assert_eq!(
        scene.shown(&message).await["body"],
        "c",
        "k1 is not done again"
    );
    let path = format!("/api/rooms/room/messages/{message}");
    let body = json!({ "body": "c", "client_id": "k2" });
    let again = scene.bob.request(reqwest::Method::PATCH, &path);
    let again = crate::harness::rest::send(again.json(&body)).await;
    assert_eq!(again.ok(), second);

    // A key is of one content and one kind.
    let reused = |err: serde_json::Value| assert_eq!(err["code"], "client_id_reused");
    reused(bob.err("message.edit", edit("other", "k1")).await);
    let pin = json!({ "pinned": true, "client_id": "k1" });
    reused(bob.err("message.pin", about(room, &message, pin)).await);
    let publish = json!({ "room": room.id, "body": "b", "client_id": "k1" });
    reused(bob.err("publish", publish).await);
    let said = bob.publish(&room.id, "x", "k3").await;
    reused(bob.err("message.edit", edit("x", "k3")).await);

    // The first's answer survives deletion and removal.
    let deleted = about(room, &message, json!({ "client_id": "k4" }));
    let deletion = bob.ok("message.delete", deleted.clone()).await;
    assert_eq!(bob.ok("message.edit", edit("b", "k1")).await, first);
    let leave = format!("/api/rooms/{}/leave", room.id);
    scene.bob.post(&leave, &json!({})).await.ok();
    assert_eq!(bob.ok("message.delete", deleted).await, deletion);
    assert_eq!(bob.ok("message.edit", edit("c", "k2")).await, second);
    assert_eq!(bob.publish(&room.id, "x", "k3").await, said);
}

/// Whatever comes at the same moment, with a key or without, is done once.
#[tokio::test]
async fn at_once_from_many_it_is_done_once() {
    let scene = scene().await;
    let room = &scene.room;
    let message = scene.said(&scene.ada, "a").await;
    for round in 0..10 {
        let key = format!("k{round}");
        let body = json!({ "body": key, "client_id": key });
        let path = format!("/api/rooms/{}/messages/{message}", room.id);
        let edits = join_all((0..8).map(|_| {
            let request = scene.ada.request(reqwest::Method::PATCH, &path);
            crate::harness::rest::send(request.json(&body))
        }))
        .await;
        for edit in &edits {
            assert_eq!(edit.ok(), edits[0].ok());
            assert!(edit.ok()["seq"].is_u64());
        }
        let reactions = join_all((0..8).map(|_| scene.react(&scene.ada, &message, &key))).await;
        let done = |it: &&crate::harness::rest::Answer| it.ok()["seq"].is_u64();
        assert_eq!(reactions.iter().filter(done).count(), 1);
    }
    let events = "SELECT count(*) FROM room_events WHERE message_id = $1::text::uuid";
    let row = scene
        .sql
        .query_one(events, &[&message])
        .await
        .expect("a row");
    assert_eq!(row.get::<_, i64>(0), 20);
}

/// Those who react at the same moment all count.
#[tokio::test]
async fn reactions_of_many_all_count() {
    let scene = scene().await;
    let message = scene.said(&scene.ada, "a").await;
    let people: [&User; 4] = [&scene.ada, &scene.mo, &scene.bob, &scene.eve];
    let reactions = people.iter().flat_map(|user| {
        let scene = &scene;
        let message = message.as_str();
        (0..10).map(move |n| async move {
            let answer = scene.react(user, message, &format!("e{n}")).await;
            assert!(answer.ok()["seq"].is_u64(), "{answer:?}");
        })
    });
    join_all(reactions).await;
    let shown = scene.shown(&message).await;
    let reactions = shown["reactions"].as_array().expect("reactions");
    assert_eq!(reactions.len(), 10);
    for reaction in reactions {
        assert_eq!(reaction["count"], 4, "{reaction}");
        let mut users: Vec<_> = reaction["users"]
            .as_array()
            .expect("users")
            .iter()
            .map(text)
            .collect();
        users.sort();
        let mut expected: Vec<_> = people.iter().map(|it| it.id.clone()).collect();
        expected.sort();
        assert_eq!(users, expected);
    }
}
