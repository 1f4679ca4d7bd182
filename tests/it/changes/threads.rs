//! Threads and mentions.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::scene::{Scene, scene, unique};
use crate::harness::rest::{Answer, User, text};

async fn reply(scene: &Scene, user: &User, root: &str, body: &str) -> Answer {
    let fields = json!({ "body": body, "client_id": unique(), "thread": root });
    let path = format!("/api/rooms/{}/messages", scene.room.id);
    user.post(&path, &fields).await
}

fn bodies(page: &Value) -> Vec<&str> {
    let messages = page["messages"].as_array().expect("messages");
    messages
        .iter()
        .map(|it| it["body"].as_str().expect("a body"))
        .collect()
}

#[tokio::test]
async fn replies_are_counted_and_read_by_themselves() {
    let scene = scene().await;
    let room = &scene.room;
    let mut bob = scene.socket(&scene.bob).await;
    let root = scene.said(&scene.ada, "root").await;
    let other = scene.said(&scene.ada, "other").await;
    assert_eq!(scene.shown(&root).await.get("replies"), None);
    let by_socket = json!({ "room": room.id, "body": "r1", "client_id": "k", "thread": root });
    let first = bob.ok("publish", by_socket.clone()).await;
    let push = bob.next_push("the reply", |it| it["body"] == "r1").await;
    assert_eq!(push["thread"], root.as_str());
    reply(&scene, &scene.eve, &root, "r2").await.ok();
    reply(&scene, &scene.eve, &other, "s1").await.ok();
    let third = text(&reply(&scene, &scene.ada, &root, "r3").await.ok()["id"]);
    // Sent again, it is not counted again; as something else, it is refused.
    assert_eq!(bob.ok("publish", by_socket.clone()).await, first);
    for thread in [json!(null), json!(other)] {
        let mut fields = by_socket.clone();
        fields["thread"] = thread;
        assert_eq!(bob.err("publish", fields).await["code"], "client_id_reused");
    }
    assert_eq!(scene.shown(&root).await["replies"], 3);
    assert_eq!(scene.shown(&other).await["replies"], 1);
    let page = scene.bob.page(&room.id, "").await;
    assert_eq!(
        bodies(&page),
        ["root", "other", "r1", "r2", "s1", "r3"],
        "they are in the room"
    );

    for (query, expected, more) in [
        ("", vec!["r1", "r2", "r3"], false),
        ("&limit=2", vec!["r2", "r3"], true),
        ("&after=0&limit=2", vec!["r1", "r2"], true),
        ("&before=1000", vec!["r1", "r2", "r3"], false),
    ] {
        let page = scene
            .bob
            .page(&room.id, &format!("?thread={root}{query}"))
            .await;
        assert_eq!(bodies(&page), expected, "{query}");
        assert_eq!(page["next"].is_u64(), more, "{query}");
    }
    let fields = json!({ "room": room.id, "thread": root, "limit": 2, "before": first["seq"].as_u64().map(|it| it + 2) });
    let page = bob.ok("history", fields).await;
    assert_eq!(bodies(&page), ["r1", "r2"]);
    let none = scene
        .bob
        .page(&room.id, &format!("?thread={}", unique()))
        .await;
    assert_eq!(bodies(&none), [""; 0]);

    // A deleted reply keeps its place, and so does the number.
    scene.delete(&scene.ada, &third).await.ok();
    assert_eq!(scene.shown(&root).await["replies"], 3);
    let page = scene.bob.page(&room.id, &format!("?thread={root}")).await;
    assert_eq!(bodies(&page), ["r1", "r2", ""]);
    assert_eq!(page["messages"][2]["thread"], root.as_str());
}

#[tokio::test]
async fn only_a_message_that_is_there_has_a_thread() {
    let scene = scene().await;
    let root = scene.said(&scene.ada, "root").await;
    let answer = reply(&scene, &scene.bob, &root, "r").await.ok();
    let elsewhere = scene.ada.create_room("other").await;
    let elsewhere = text(&scene.ada.say(&elsewhere.id, "x", "k").await.ok()["id"]);
    for not_root in [&text(&answer["id"]), &elsewhere, &unique()] {
        let refused = reply(&scene, &scene.bob, not_root, "r").await;
        refused.problem(404, "message_not_found");
    }
    let mut bob = scene.socket(&scene.bob).await;
    let fields = json!({ "room": "room", "body": "x", "client_id": "k", "thread": answer["id"] });
    assert_eq!(
        bob.err("publish", fields.clone()).await["code"],
        "message_not_found"
    );
    // What was refused has used up no key and no place.
    let said = bob.publish("room", "x", "k").await;
    assert_eq!(
        said["seq"].as_u64(),
        answer["seq"].as_u64().map(|it| it + 1)
    );

    scene.delete(&scene.ada, &root).await.ok();
    let refused = reply(&scene, &scene.bob, &root, "r").await;
    refused.problem(410, "message_deleted");
}

#[tokio::test]
async fn replies_of_many_at_once_are_all_counted() {
    let scene = scene().await;
    let root = scene.said(&scene.ada, "root").await;
    let people = [&scene.ada, &scene.mo, &scene.bob, &scene.eve];
    let replies = people.iter().flat_map(|user| {
        let (scene, root) = (&scene, root.as_str());
        (0..25).map(move |_| async move { reply(scene, user, root, "r").await.ok() })
    });
    let said = join_all(replies).await;
    let last = said.iter().filter_map(|it| it["seq"].as_u64()).max();
    assert_eq!(scene.shown(&root).await["replies"], 100);
    let changed = "SELECT changed_seq FROM messages WHERE id = $1::text::uuid";
    let row = scene.sql.query_one(changed, &[&root]).await.expect("a row");
    assert_eq!(Some(row.get::<_, i64>(0).unsigned_abs()), last);
}

#[tokio::test]
async fn who_is_named_is_told_and_members_are_counted() {
    let scene = scene().await;
    let mut bob = scene.socket(&scene.bob).await;
    let nobody = unique();
    let named = [&scene.eve.id, &scene.ada.id, &scene.stranger.id, &nobody];
    let twice = json!([named[0], named[1], named[0], named[2], named[3]]);
    let fields = json!({ "room": "room", "body": "x", "client_id": "k", "mentions": twice });
    let said = bob.ok("publish", fields).await;
    let push = bob.push("message").await;
    assert_eq!(push["mentions"], json!(named));
    let shown = scene.shown(&text(&said["id"])).await;
    assert_eq!(shown["mentions"], json!(named));
    let rows = "SELECT user_id::text, msg_no, message_id::text FROM mentions ORDER BY 1";
    let rows = scene.sql.query(rows, &[]).await.expect("rows");
    let counted: Vec<(String, i64, String)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let number = said["msg_no"].as_i64().expect("a number");
    let mut expected: Vec<_> = [&scene.eve.id, &scene.ada.id]
        .map(|user| (user.clone(), number, text(&said["id"])))
        .into();
    expected.sort();
    assert_eq!(counted, expected, "members alone");

    // An edit leaves them as they were, and so does a plain message beside it.
    scene.edit(&scene.bob, &text(&said["id"]), "y").await.ok();
    assert_eq!(
        scene.shown(&text(&said["id"])).await["mentions"],
        json!(named)
    );
    let plain = scene.said(&scene.bob, "plain").await;
    assert_eq!(scene.shown(&plain).await.get("mentions"), None);

    let too_many: Vec<_> = (0..51).map(|_| unique()).collect();
    let fields = json!({ "room": "room", "body": "x", "client_id": "k2", "mentions": too_many });
    assert_eq!(bob.err("publish", fields).await["code"], "invalid_request");
    let fields = json!({ "body": "x", "client_id": "k2", "mentions": too_many });
    let answer = scene.bob.post("/api/rooms/room/messages", &fields).await;
    answer.problem(400, "invalid_request");
    let fields = json!({ "body": "x", "client_id": "k2", "mentions": ["bob"] });
    let answer = scene.bob.post("/api/rooms/room/messages", &fields).await;
    assert_eq!(answer.status, 400, "{answer:?}");
}
