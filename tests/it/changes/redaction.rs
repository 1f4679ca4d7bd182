//! What was deleted is nowhere: not in a table, not in memory, not on any page, in no replay.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::replica::Replica;
use super::scene::{Scene, about, scene, unique};
use crate::harness::rest::text;
use crate::harness::socket::Socket;

/// Words that stand nowhere else.
const SAID: &str = "correct-horse-battery-staple";
const EDITED: &str = "tr0ub4dor-and-three";
const KEY: &str = "a-telling-key";

fn hex(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("it fits");
        hex
    })
}

/// The tables in which a word is found, as text or within bytes.
async fn found(sql: &Client, word: &str) -> Vec<String> {
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let tables = sql.query(tables, &[]).await.expect("the tables");
    assert!(tables.len() > 10, "all tables are seen");
    let mut found = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let rows = format!(
            "SELECT count(*) FROM {table} AS t
             WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0"
        );
        let count = sql.query_one(&rows, &[&word, &hex(word)]).await;
        if count.expect("a count").get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    found
}

/// The durable pushes from the beginning up to `to`.
async fn replay(scene: &Scene, to: u64) -> Vec<Value> {
    let mut socket = Socket::connect(&scene.node, &scene.eve).await;
    let since = json!({ "room": scene.room.id, "since": 0 });
    socket.ok("join", since).await;
    let mut pushes = Vec::new();
    while pushes.len() as u64 != to {
        pushes.push(
            socket
                .next_push("a durable one", |it| it.get("seq").is_some())
                .await,
        );
    }
    pushes
}

fn assert_without_text(what: &Value) {
    let text = what.to_string();
    for word in [SAID, EDITED, KEY] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

/// Everything that a member can read, and what the pushes make of it.
async fn assert_nowhere(scene: &Scene, message: &str) {
    let room = &scene.room.id;
    let page = scene.bob.page(room, "").await;
    assert_without_text(&page);
    assert_without_text(&scene.shown(message).await);
    let pins = scene.bob.get("/api/rooms/room/pins").await.ok();
    assert_without_text(&pins);
    let pushes = replay(scene, page["last_seq"].as_u64().expect("a seq")).await;
    let mut replica = Replica::default();
    for push in &pushes {
        assert_without_text(push);
        replica.apply(push);
    }
    assert_eq!(json!(replica.page()), page["messages"]);
    let redacted: Vec<_> = pushes.iter().filter(|it| it["deleted"] == true).collect();
    assert_eq!(
        redacted.len(),
        3,
        "the message and its two edits: {pushes:?}"
    );
    for push in redacted {
        assert_eq!(push["body"], "");
    }
}

#[tokio::test]
async fn what_was_deleted_is_nowhere() {
    let mut scene = scene().await;
    let room = scene.room.clone();
    let mut bob = scene.socket(&scene.bob).await;
    let before = scene.said(&scene.ada, "before").await;
    let fields = json!({
        "room": room.id, "body": SAID, "client_id": KEY, "mentions": [scene.eve.id, scene.ada.id],
    });
    let said = bob.ok("publish", fields.clone()).await;
    let message = text(&said["id"]);
    for body in [EDITED.to_owned(), format!("{EDITED} {SAID}")] {
        let edit = json!({ "body": body, "client_id": unique() });
        bob.ok("message.edit", about(&room, &message, edit)).await;
    }
    scene.react(&scene.eve, &message, "+1").await.ok();
    scene.react(&scene.ada, &message, "+1").await.ok();
    scene.pin(&scene.ada, &message).await.ok();
    let reply = json!({ "body": "a reply", "client_id": unique(), "thread": message });
    scene
        .eve
        .post("/api/rooms/room/messages", &reply)
        .await
        .ok();
    assert_eq!(found(&scene.sql, SAID).await, ["messages", "room_events"]);
    assert_eq!(found(&scene.sql, EDITED).await, ["messages", "room_events"]);

    scene.delete(&scene.mo, &message).await.ok();

    for word in [SAID, EDITED] {
        assert_eq!(found(&scene.sql, word).await, [""; 0], "{word}");
    }
    // It is asked for again by its key, so that one is kept.
    assert_eq!(found(&scene.sql, KEY).await, ["publish_keys"]);
    for table in ["reactions", "mentions"] {
        let rows = format!("SELECT count(*) FROM {table}");
        let count = scene.sql.query_one(&rows, &[]).await.expect("a count");
        assert_eq!(count.get::<_, i64>(0), 0, "{table}");
    }
    let shown = scene.shown(&message).await;
    assert_eq!(
        shown,
        json!({
            "seq": said["seq"], "msg_no": said["msg_no"], "id": message, "user_id": scene.bob.id,
            "body": "", "client_id": "", "deleted": true, "created_at": said["created_at"],
            "edited_at": shown["edited_at"], "replies": 1,
        })
    );
    // From the room's memory.
    assert_nowhere(&scene, &message).await;
    assert_eq!(scene.shown(&before).await["body"], "before");

    // From Postgres: nobody has anything in memory now.
    scene.node.kill9();
    scene.node.wait_exit().await;
    scene.node.restart().await;
    for user in [
        &mut scene.ada,
        &mut scene.bob,
        &mut scene.eve,
        &mut scene.mo,
    ] {
        *user = user.at(&scene.node);
    }
    assert_nowhere(&scene, &message).await;

    // The one who said it asks what became of it, and is told, and it is not said again.
    let mut bob = scene.socket(&scene.bob).await;
    assert_eq!(bob.ok("publish", fields).await, said);
    assert_eq!(found(&scene.sql, SAID).await, [""; 0]);
}

/// Deleting what is being edited: whichever comes first, no text is left.
#[tokio::test]
async fn an_edit_that_races_a_deletion_leaves_nothing() {
    let scene = scene().await;
    for round in 0..20 {
        let message = scene.said(&scene.bob, SAID).await;
        let edits = futures_util::future::join_all(
            (0..4).map(|n| scene.edit(&scene.bob, &message, [EDITED, SAID][(n + round) % 2])),
        );
        let (edits, deleted) = tokio::join!(edits, scene.delete(&scene.mo, &message));
        assert!(deleted.ok()["seq"].is_u64());
        for edit in edits {
            if edit.status != 200 {
                edit.problem(410, "message_deleted");
            }
        }
    }
    assert_eq!(found(&scene.sql, SAID).await, [""; 0]);
    assert_eq!(found(&scene.sql, EDITED).await, [""; 0]);
    let page = scene.bob.page("room", "?limit=100").await;
    assert_without_text(&page);
    for push in replay(&scene, page["last_seq"].as_u64().expect("a seq")).await {
        assert_without_text(&push);
    }
}
