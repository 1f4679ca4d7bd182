//! How connections end, and what clients make of it: who is put out stays away, who only loses the
//! connection comes back.

use serde_json::json;

use super::client::{Came, Client};
use super::{Scene, place, polled, scene};
use crate::harness::engineio::SEPARATOR;
use crate::harness::eventually;

#[tokio::test]
async fn who_logs_out_is_put_out() {
    let Scene {
        node,
        ada,
        database: _database,
        ..
    } = scene(&[]).await;
    let mut client = Client::connect(&place(&node, 4), &ada).await;
    let polling = polled::entered(&place(&node, 4), &ada).await;
    ada.post("/api/auth/logout", &json!({})).await.ok();
    assert!(matches!(client.came().await, Came::PutOut));
    assert!(matches!(client.came().await, Came::Closed));
    // That it is out of the namespace it must know before the end: else it would come back.
    let mut polls = Vec::new();
    while polls.last().is_none_or(|last| last != "1") {
        polls.push(polling.get().await.ok().to_owned());
    }
    let before = &polls[polls.len() - 2];
    assert_eq!(before.split(SEPARATOR).last(), Some("41"), "{polls:?}");
    polling.get().await.unknown_session();
}

#[tokio::test]
async fn who_is_told_to_move_is_not_put_out() {
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&[]).await;
    let mut client = Client::in_room(&place(&node, 4), &ada, &room).await;
    node.terminate();
    let drain = client.event("drain").await;
    assert!(drain["cursor"].is_string(), "{drain}");
    assert!(matches!(client.came().await, Came::Closed));
}

#[tokio::test]
async fn who_answers_no_heartbeat_is_gone() {
    let settings = [
        ("HUBBUB__SOCKETIO__PING_INTERVAL_MS", "200"),
        ("HUBBUB__SOCKETIO__PING_TIMEOUT_MS", "100"),
    ];
    let Scene {
        node,
        ada,
        room,
        database: _database,
        ..
    } = scene(&settings).await;
    let mut client = Client::in_room(&place(&node, 4), &ada, &room).await;
    // Answered for a while.
    for _ in 0..3 {
        while client.socket.text().await != "2" {}
        client.socket.send("3").await;
    }
    while client.socket.text().await != "2" {}
    client.socket.closed().await;
    let polling = place(&node, 4).open().await;
    eventually("it is reaped", async || {
        (polling.post("").await.status == 400).then_some(())
    })
    .await;
    eventually("nothing is left", async || {
        let polling = node
            .metric(r#"socketio_sessions{transport="polling"}"#)
            .await;
        let sockets = node
            .metric(r#"socketio_sessions{transport="websocket"}"#)
            .await;
        (polling + sockets == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_removed_from_a_room_is_told_so() {
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&[]).await;
    let mut client = Client::in_room(&place(&node, 4), &bob, &room).await;
    let before = client.event_args("cursor").await;
    let path = format!("/api/rooms/{}/members/{}", room.id, bob.id);
    ada.delete(&path).await.ok();
    assert_eq!(client.event("removed").await["room"], json!(room.id));
    assert_ne!(client.event_args("cursor").await, before);
}

#[tokio::test]
async fn who_polls_too_rarely_is_slow_and_bounded() {
    let settings = [
        ("HUBBUB__SOCKETIO__QUEUE_MAX_BYTES", "65536"),
        ("HUBBUB__LIMITS__EXEMPT", "127.0.0.0/8"),
    ];
    let Scene {
        node,
        ada,
        bob,
        room,
        database: _database,
    } = scene(&settings).await;
    let polling = polled::in_room(&place(&node, 4), &ada, &room).await;
    let body = "x".repeat(8000);
    for number in 0..12 {
        bob.say(&room.id, &body, &format!("c{number}")).await.ok();
    }
    eventually("it is closed", async || {
        (polling.post("").await.status == 400).then_some(())
    })
    .await;
}
