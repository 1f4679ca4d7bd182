//! Messages over REST: pages of history, and publishing.

use serde_json::{Value, json};

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{register, text};
use crate::harness::socket::Socket;

fn seqs(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().expect("messages");
    let seqs = messages.iter().map(|message| message["seq"].as_u64());
    seqs.collect::<Option<_>>().expect("seqs")
}

#[tokio::test]
async fn pages_ascend_and_lead_to_both_ends() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    let empty = ada.page("general", "").await;
    let nothing = json!({ "messages": [], "epoch": room.epoch, "last_seq": 0, "next": null });
    assert_eq!(empty, nothing);
    for n in 1..=6 {
        ada.say("general", &format!("message {n}"), &format!("k{n}"))
            .await
            .ok();
        if n == 3 {
            // An event that is no message: seq goes on, msg_no does not.
            bob.join_room(&room).await;
        }
    }
    // seq:    1 2 3 (4 is the join) 5 6 7
    for (query, expected, next) in [
        ("", vec![1, 2, 3, 5, 6, 7], None),
        ("?limit=6", vec![1, 2, 3, 5, 6, 7], None),
        ("?limit=5", vec![2, 3, 5, 6, 7], Some(2)),
        ("?limit=1", vec![7], Some(7)),
        ("?before=7&limit=2", vec![5, 6], Some(5)),
        ("?before=5", vec![1, 2, 3], None),
        ("?before=4&limit=3", vec![1, 2, 3], None),
        ("?before=1", vec![], None),
        ("?before=0", vec![], None),
        ("?before=9223372036854775807&limit=1", vec![7], Some(7)),
        ("?after=0&limit=2", vec![1, 2], Some(2)),
        ("?after=2&limit=2", vec![3, 5], Some(5)),
        ("?after=5&limit=2", vec![6, 7], None),
        ("?after=4", vec![5, 6, 7], None),
        ("?after=7", vec![], None),
        ("?after=9223372036854775807", vec![], None),
    ] {
        let page = ada.page("general", query).await;
        assert_eq!(seqs(&page), expected, "{query}: {page}");
        assert_eq!(page["next"].as_u64(), next, "{query}: {page}");
        assert_eq!(page["last_seq"], 7);
        assert_eq!(page["epoch"], room.epoch);
    }
    let page = ada.page(&room.id, "?after=3&limit=1").await;
    let message = &page["messages"][0];
    assert_eq!(message["msg_no"], 4);
    assert_eq!(message["body"], "message 4");
    assert_eq!(message["client_id"], "k4");
    assert_eq!(message["user_id"], ada.id.as_str());
    assert!(text(&message["created_at"]).ends_with('Z'), "{message}");
}

#[tokio::test]
async fn the_default_page_is_fifty_and_the_largest_a_hundred() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    for n in 0..101 {
        ada.say("general", "x", &format!("k{n}")).await.ok();
    }
    assert_eq!(
        seqs(&ada.page("general", "").await),
        (52..=101).collect::<Vec<_>>()
    );
    let hundred = ada.page("general", "?limit=100").await;
    assert_eq!(seqs(&hundred), (2..=101).collect::<Vec<_>>());
    assert_eq!(hundred["next"], 2);
    for limit in ["0", "101", "x", "-1"] {
        let path = format!("/api/rooms/general/messages?limit={limit}");
        let problem = ada.get(&path).await.problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "limit");
    }
}

#[tokio::test]
async fn pages_of_large_messages_are_short_and_lose_none() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let body = "x".repeat(65_536);
    for n in 1..=40 {
        ada.say("general", &body, &format!("k{n}")).await.ok();
    }
    // 512 KiB are eight of them, and the limit counts if it is less.
    assert_eq!(
        seqs(&ada.page("general", "?limit=100").await),
        [33, 34, 35, 36, 37, 38, 39, 40]
    );
    assert_eq!(seqs(&ada.page("general", "?limit=2").await), [39, 40]);
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room.id).await;
    // Backwards from the newest page and from a position, and forwards.
    for (start, onwards) in [(None, "before"), (Some(41), "before"), (Some(0), "after")] {
        let (mut rest, mut ws) = (Vec::new(), Vec::new());
        let mut position: Option<u64> = start;
        loop {
            let mut fields = json!({ "room": room.id, "limit": 100 });
            let mut query = "?limit=100".to_owned();
            if let Some(position) = position {
                fields[onwards] = json!(position);
                query = format!("?{onwards}={position}&limit=100");
            }
            let page = ada.page("general", &query).await;
            let reply = socket.ok("history", fields).await;
            assert_eq!(seqs(&reply), seqs(&page));
            assert_eq!(reply["next"], page["next"]);
            rest.extend(seqs(&page));
            ws.push(seqs(&reply).len());
            position = page["next"].as_u64();
            if position.is_none() {
                break;
            }
        }
        rest.sort_unstable();
        assert_eq!(rest, (1..=40).collect::<Vec<_>>(), "{start:?} {onwards}");
        assert_eq!(ws, [8; 5], "{start:?} {onwards}");
    }
}

#[tokio::test]
async fn a_message_larger_than_a_page_is_a_page() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__LIMITS__MESSAGE_BYTES", "786432");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let large = "x".repeat(786_432);
    for (n, body) in ["small", large.as_str(), "small"].iter().enumerate() {
        ada.say("general", body, &format!("k{n}")).await.ok();
    }
    for (query, expected, next) in [
        ("", 3, Some(3)),
        ("?before=3", 2, Some(2)),
        ("?before=2", 1, None),
        ("?after=0", 1, Some(1)),
        ("?after=1", 2, Some(2)),
        ("?after=2", 3, None),
    ] {
        let page = ada.page("general", query).await;
        assert_eq!(seqs(&page), [expected], "{query}");
        assert_eq!(page["next"].as_u64(), next, "{query}");
    }
}

#[tokio::test]
async fn a_key_makes_a_repetition_the_same_message() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let first = bob.say("general", "hello", "key").await;
    assert_eq!(first.status, 201);
    let again = bob.say("general", "hello", "key").await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    bob.say("general", "something else", "key")
        .await
        .problem(409, "client_id_reused");
    // Another sender's key is another key.
    let other = ada.say("general", "hello", "key").await;
    assert_ne!(other.ok()["seq"], first.json()["seq"]);
    // Who has left may still ask what became of it, and says nothing new.
    bob.post("/api/rooms/general/leave", &json!({})).await.ok();
    let late = bob.say("general", "hello", "key").await;
    assert_eq!((late.status, late.json()), (201, first.json()));
    bob.say("general", "new", "new")
        .await
        .problem(403, "not_a_member");
    // Without a key each request is a message.
    for _ in 0..2 {
        ada.post("/api/rooms/general/messages", &json!({ "body": "same" }))
            .await
            .ok();
    }
    let bodies: Vec<_> = ada
        .history("general")
        .await
        .iter()
        .map(|message| text(&message["body"]))
        .collect();
    assert_eq!(bodies, ["hello", "hello", "same", "same"]);
}

#[tokio::test]
async fn a_message_is_as_large_as_configured_and_no_larger() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__LIMITS__MESSAGE_BYTES", "65536");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let largest = "\u{e9}".repeat(32_768);
    assert_eq!(ada.say("general", &largest, "1").await.status, 201);
    ada.say("general", &format!("{largest}x"), "2")
        .await
        .problem(413, "too_large");
    assert_eq!(ada.say("general", "x", &"k".repeat(128)).await.status, 201);
    let answer = ada.say("general", "x", &"k".repeat(129)).await;
    let problem = answer.problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["field"], "client_id");
    assert_eq!(ada.history("general").await.len(), 2);
}
