//! A Postgres that holds its connections and answers nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::ledger::{Crowd, Entry, fields, verify};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{Options, TestServer};
use crate::harness::socket::Socket;

#[tokio::test]
async fn refuses_soon_goes_on_with_what_needs_no_postgres_and_recovers() {
    let server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__JOURNAL__STALLED_AFTER_MS", "200")
        .set("HUBBUB__JOURNAL__FLIGHT_TIMEOUT_MS", "1000");
    let node = Node::start(options).await;
    let crowd = Crowd::gather(&node, 3, 1).await;
    let room = &crowd.rooms[0].id;
    let mut ada = Socket::connect(&node, &crowd.users[0]).await;
    let mut bob = Socket::connect(&node, &crowd.users[1]).await;
    ada.join(room).await;
    bob.join(room).await;

    server.freeze();
    let mut entries = vec![];
    for n in 0..3 {
        let entry = Entry {
            user_id: crowd.users[0].id.clone(),
            room_id: room.clone(),
            client_id: format!("frozen-{n}"),
            ack: None,
        };
        let asked = Instant::now();
        let error = ada.err("publish", fields(&entry)).await;
        let code = error["code"].as_str().expect("a code");
        // The first may have been under way; those after it find a stalled journal.
        let expected: &[&str] = if n == 0 {
            &["unknown", "unavailable"]
        } else {
            &["unavailable"]
        };
        assert!(expected.contains(&code), "{n}: {error}");
        assert_eq!(error["retry"], true, "{error}");
        let waited = asked.elapsed();
        assert!(n == 0 || waited < Duration::from_secs(1), "{n}: {waited:?}");
        entries.push(entry);
    }
    // Ephemeral events go on.
    let typing = json!({ "room": room, "typing": true });
    ada.ok("typing", typing).await;
    bob.push("typing").await;
    let cursor = json!({ "room": room, "name": "cursor", "data": 1, "volatile": true });
    bob.ok("emit", cursor).await;
    ada.push("event").await;

    server.thaw();
    crowd.finish(&node, &mut entries).await;
    let client = database.connect().await;
    verify(&client, &entries).await;
    for n in 0..3 {
        let key = format!("frozen-{n}");
        bob.next_push(&key, |push| push["client_id"] == key).await;
    }
    bob.ping().await;
    let twice = bob.take_pushes();
    assert!(
        twice.iter().all(|push| push["push"] != "message"),
        "{twice:?}"
    );
}
