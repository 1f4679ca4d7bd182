//! All messages of a room, as a stream of lines.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::raw::RawPeer;
use crate::harness::rest::{Room, User, http, register, send};

/// Messages that nobody had to send: `count` of them, of so many bytes.
async fn fill(database: &TestDatabase, room: &Room, user: &User, count: i64, bytes: i32) {
    let client = database.connect().await;
    let made = "WITH head AS (
            UPDATE room_heads SET last_seq = last_seq + $3, last_msg_no = last_msg_no + $3
            WHERE room_id = $1 RETURNING last_seq - $3 AS seq, last_msg_no - $3 AS msg_no
        )
        INSERT INTO messages (id, room_id, seq, msg_no, user_id, client_id, body, created_at)
        SELECT gen_random_uuid(), $1, seq + n, msg_no + n, $2, n::text, repeat(md5(n::text), $4 / 32), now()
        FROM head, generate_series(1, $3) AS n";
    let id = |text: &str| text.parse::<uuid::Uuid>().expect("an id");
    client
        .execute(made, &[&id(&room.id), &id(&user.id), &count, &bytes])
        .await
        .expect("they are made");
}

fn path(room: &Room) -> String {
    format!("/api/rooms/{}/export", room.id)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object"))
        .collect()
}

#[tokio::test]
async fn every_message_is_a_line_as_pages_show_it() {
    let (node, database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let room = ada.create_room("general").await;
    let nothing = ada.get(&path(&room)).await;
    assert_eq!((nothing.status, nothing.text.as_str()), (200, ""));
    fill(&database, &room, &ada, 950, 320).await;
    ada.say(&room.id, "line\nbreak \u{2028}", "last").await.ok();
    let answer = ada.get(&path(&room)).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let exported = lines(&answer.text);
    assert_eq!(exported, ada.history(&room.id).await);
    assert_eq!(exported.len(), 951);
    let rest = ada
        .get(&format!("{}?after={}", path(&room), exported[900]["seq"]))
        .await;
    assert_eq!(lines(&rest.text), exported[901..]);
    let packed = ada
        .request(Method::GET, &path(&room))
        .header("accept-encoding", "br, gzip");
    let packed = packed.send().await.expect("an answer");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.expect("all of it");
    let plain = super::rest_answers::unpacked("gzip", &packed);
    assert!(packed.len() < plain.len() / 2);
    assert_eq!(plain, answer.text.as_bytes());
    bob.get(&path(&room)).await.problem(403, "not_a_member");
    send(http().get(node.url(&path(&room))))
        .await
        .problem(401, "unauthenticated");
    ada.get(&format!("{}?after=-1", path(&room)))
        .await
        .problem(400, "invalid_request");
    let head = send(ada.request(Method::HEAD, &path(&room))).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn who_came_late_exports_what_they_may_see() {
    let (node, _database) = Node::on_fresh_database().await;
    let (ada, bob) = (register(&node, "ada").await, register(&node, "bob").await);
    let body = json!({ "name": "p", "slug": "general", "history": "joined" });
    let room = ada.create_room_with(&body).await;
    ada.say(&room.id, "before", "a").await.ok();
    bob.join_room(&room).await;
    ada.say(&room.id, "after", "b").await.ok();
    let seen = lines(&bob.get(&path(&room)).await.text);
    assert_eq!(
        seen.iter().map(|it| &it["body"]).collect::<Vec<_>>(),
        ["after"]
    );
    assert_eq!(lines(&ada.get(&path(&room)).await.text).len(), 2);
}

/// An export whose reader has stopped: nothing of it is read ahead, and it ends where the permission
/// does.
#[tokio::test]
async fn an_export_waits_for_its_reader_and_ends_with_the_membership() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXPORTS_PER_NODE", "2")
        .set("HUBBUB__HTTP__WRITE_TIMEOUT_MS", "60000");
    let node = Node::start(options).await;
    let mut people = Vec::new();
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for name in ["bob", "cat", "dan"] {
        let user = register(&node, name).await;
        user.join_room(&room).await;
        people.push(user);
    }
    // Some 32 MB: more than the kernel keeps for a reader.
    fill(&database, &room, &ada, 2000, 16_000).await;
    let begun = async |user: &User| {
        let mut peer = RawPeer::connect(&node).await;
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
            path(&room),
            user.token
        );
        peer.write(head.as_bytes()).await;
        let head = peer.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        peer
    };
    let before = node.resident_bytes();
    let bob = begun(&people[0]).await;
    let cat = begun(&people[1]).await;
    // One a user, two on this node.
    people[0].get(&path(&room)).await.problem(503, "overloaded");
    people[2].get(&path(&room)).await.problem(503, "overloaded");
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes for two that do not read");
    let remove = format!("/api/rooms/{}/members/{}", room.id, people[0].id);
    ada.delete(&remove).await.ok();
    // It breaks off: a whole answer would end with an empty chunk.
    let read = read_to_end(bob).await;
    assert!(read.len() < 30_000_000, "{}", read.len());
    assert!(!read.ends_with(b"0\r\n\r\n"), "it must not look whole");
    drop(cat);
    // Their places are free again.
    eventually("another may begin", async || {
        let answer = people[2].get(&format!("{}?after=1990", path(&room))).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

async fn read_to_end(peer: RawPeer) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let (mut reading, _writing) = peer.into_split();
    let mut read = Vec::new();
    let reading = reading.read_to_end(&mut read);
    // A reset is an end, too.
    let _ = tokio::time::timeout(crate::harness::DEADLINE, reading)
        .await
        .expect("an end");
    read
}
