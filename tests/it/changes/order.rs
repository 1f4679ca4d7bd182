//! Every change is pushed to everybody, in order, whoever made it and however.

use serde_json::{Value, json};

use super::replica::Replica;
use super::scene::{about, scene};
use crate::harness::rest::text;
use crate::harness::socket::Socket;

/// The durable pushes up to this `seq`.
async fn durable(socket: &mut Socket, from: u64, to: u64) -> Vec<Value> {
    let mut pushes = Vec::new();
    while pushes.len() as u64 <= to - from {
        let push = socket
            .next_push("a durable one", |push| push.get("seq").is_some())
            .await;
        assert_eq!(push["seq"], from + pushes.len() as u64, "{push}");
        pushes.push(push);
    }
    pushes
}

#[tokio::test]
async fn everybody_sees_every_change_in_order() {
    let scene = scene().await;
    let room = &scene.room;
    let mut ada = scene.socket(&scene.ada).await;
    let mut bob = scene.socket(&scene.bob).await;
    let start = scene.ada.page(&room.id, "").await["last_seq"]
        .as_u64()
        .expect("a seq");

    let said = ada.publish(&room.id, "one", "k1").await;
    let message = text(&said["id"]);
    let edited = ada
        .ok(
            "message.edit",
            about(room, &message, json!({ "body": "two" })),
        )
        .await;
    assert_eq!(edited["seq"], start + 2);
    scene.edit(&scene.ada, &message, "three").await.ok();
    bob.ok(
        "message.react",
        about(room, &message, json!({ "emoji": "👍" })),
    )
    .await;
    // An emoji is percent-encoded in addresses, what looks like a part of one too.
    scene.react(&scene.ada, &message, "%2Fa%25%20b").await.ok();
    scene.react(&scene.ada, &message, "%F0%9F%91%8D").await.ok();
    bob.ok(
        "message.react",
        about(room, &message, json!({ "emoji": "👍", "remove": true })),
    )
    .await;
    ada.ok(
        "message.pin",
        about(room, &message, json!({ "pinned": true })),
    )
    .await;
    scene.unpin(&scene.mo, &message).await.ok();
    scene.pin(&scene.mo, &message).await.ok();

    let to_ada = durable(&mut ada, start + 1, start + 10).await;
    let to_bob = durable(&mut bob, start + 1, start + 10).await;
    assert_eq!(to_ada, to_bob);
    let told: Vec<_> = to_ada
        .iter()
        .map(|push| {
            let mut push = push.clone();
            let fields = push.as_object_mut().expect("fields");
            for common in ["room", "seq", "id", "created_at"] {
                assert!(fields.remove(common).is_some(), "{common}");
            }
            push
        })
        .collect();
    let (a, b, mo) = (&scene.ada.id, &scene.bob.id, &scene.mo.id);
    let on = |name: &str, user: &str, more: Value| {
        let mut push = json!({ "push": name, "message_id": message, "user_id": user });
        let fields = push.as_object_mut().expect("fields");
        fields.extend(more.as_object().expect("fields").clone());
        push
    };
    let react = |user, emoji, removed| {
        on(
            "message.react",
            user,
            json!({ "emoji": emoji, "removed": removed }),
        )
    };
    let first = json!({
        "push": "message", "msg_no": 1, "user_id": a, "body": "one", "client_id": "k1"
    });
    assert_eq!(
        told,
        [
            first,
            on("message.edit", a, json!({ "body": "two" })),
            on("message.edit", a, json!({ "body": "three" })),
            react(b, "👍", false),
            react(a, "/a% b", false),
            react(a, "👍", false),
            react(b, "👍", true),
            on("message.pin", a, json!({ "pinned": true })),
            on("message.pin", mo, json!({ "pinned": false })),
            on("message.pin", mo, json!({ "pinned": true })),
        ]
    );
    assert_eq!(to_ada[1]["id"], edited["id"]);
    assert_eq!(to_ada[1]["created_at"], edited["created_at"]);
}

#[tokio::test]
async fn a_page_shows_what_the_pushes_make() {
    let scene = scene().await;
    let room = &scene.room;
    let (a, b) = (&scene.ada.id, &scene.bob.id);
    let mut bob = scene.socket(&scene.bob).await;
    let message = scene.said(&scene.ada, "one").await;
    let start = scene.shown(&message).await["seq"].as_u64().expect("a seq");
    scene.edit(&scene.ada, &message, "two").await.ok();
    scene.react(&scene.bob, &message, "y").await.ok();
    scene.react(&scene.ada, &message, "x").await.ok();
    scene.react(&scene.ada, &message, "y").await.ok();
    scene.pin(&scene.mo, &message).await.ok();
    let pushes = durable(&mut bob, start, start + 5).await;
    let shown = scene.shown(&message).await;
    assert_eq!(shown["body"], "two");
    assert_eq!(shown["edited_at"], pushes[1]["created_at"]);
    assert_eq!(shown["pinned_at"], pushes[5]["created_at"]);
    assert_eq!(
        shown["reactions"],
        json!([
            { "emoji": "y", "count": 2, "users": [b, a] },
            { "emoji": "x", "count": 1, "users": [a] },
        ])
    );
    let pins = scene.bob.get("/api/rooms/room/pins").await.ok();
    assert_eq!(pins["messages"], json!([shown]));

    scene.delete(&scene.ada, &message).await.ok();
    let deleted = durable(&mut bob, start + 6, start + 6).await;
    assert_eq!(deleted[0]["push"], "message.delete");
    assert_eq!(deleted[0]["user_id"], a.as_str());
    let pins = scene.bob.get("/api/rooms/room/pins").await.ok();
    assert_eq!(pins["messages"], json!([]));
    assert_eq!(pins["next"], Value::Null);

    let mut replica = Replica::default();
    let mut late = Socket::connect(&scene.node, &scene.eve).await;
    late.ok("join", json!({ "room": room.id, "since": 0 }))
        .await;
    for push in durable(&mut late, 1, start + 6).await {
        replica.apply(&push);
    }
    assert_eq!(replica.page(), scene.ada.history(&room.id).await);
    let page = bob.ok("history", json!({ "room": room.id })).await;
    assert_eq!(page["messages"], json!(replica.page()));
}

/// A change and its reply go in the order in which one sender sent them, messages among them.
#[tokio::test]
async fn what_one_sends_in_one_go_is_done_in_its_order() {
    let scene = scene().await;
    let room = &scene.room;
    let mut bob = scene.socket(&scene.bob).await;
    let message = scene.said(&scene.bob, "a").await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let body = json!({ "body": format!("b{n}") });
        ids.push(
            bob.send_command("message.edit", about(room, &message, body))
                .await,
        );
        let fields =
            json!({ "room": room.id, "body": format!("m{n}"), "client_id": format!("k{n}") });
        ids.push(bob.send_command("publish", fields).await);
        let emoji = json!({ "emoji": "+1", "remove": n % 2 == 1 });
        ids.push(
            bob.send_command("message.react", about(room, &message, emoji))
                .await,
        );
    }
    let mut last = 0;
    for _ in &ids {
        let reply = bob.reply().await.expect("a reply");
        assert!(ids.contains(&reply["id"].as_u64().expect("an id")));
        let seq = reply["ok"]["seq"].as_u64();
        let seq = seq.unwrap_or_else(|| panic!("{reply}"));
        assert!(seq > last, "{reply} comes after {last}");
        last = seq;
    }
    let shown = scene.shown(&message).await;
    assert_eq!(shown["body"], "b19");
    assert_eq!(shown.get("reactions"), None, "taken back at the end");
}
