//! Engine.IO 3: framing, heartbeats of the client, bytes, and the change to a WebSocket.

use std::time::Duration;

use super::{ENGINE, contract, contract_with};
use crate::harness::engineio::Place;
use crate::harness::eventually;
use crate::harness::node::Node;

fn place(node: &Node) -> Place {
    Place::new(&node.address, ENGINE, 3)
}

#[tokio::test]
async fn a_session_begins_with_what_its_clients_know() {
    let (node, _database) = contract().await;
    let polling = place(&node).open().await;
    let (_socket, open) = place(&node).open_socket().await;
    for (mut handshake, upgrades) in [
        (polling.handshake, serde_json::json!(["websocket"])),
        (open, serde_json::json!([])),
    ] {
        assert!(handshake["sid"].take().is_string());
        let expected = serde_json::json!({
            "sid": null,
            "upgrades": upgrades,
            "pingInterval": 25000,
            "pingTimeout": 20000,
        });
        assert_eq!(handshake, expected);
    }
}

#[tokio::test]
async fn packets_have_lengths_in_characters() {
    let (node, _database) = contract().await;
    let session = place(&node).open().await;
    for (posted, polled) in [
        ("6:4hello", "6:4hello"),
        ("2:4a3:4bc", "2:4a3:4bc"),
        // One character, two bytes; and one that is two units.
        ("6:4h\u{e9}llo", "6:4h\u{e9}llo"),
        ("3:4\u{1f600}", "3:4\u{1f600}"),
    ] {
        assert_eq!(session.post(posted).await.ok(), "ok");
        let answer = session.get().await;
        assert_eq!(answer.ok(), polled);
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/plain; charset=UTF-8"));
    }
}

#[tokio::test]
async fn bytes_are_base64_for_those_who_ask_for_text() {
    let (node, _database) = contract().await;
    let session = place(&node).open().await;
    assert_eq!(session.post("10:b4AQIDBA==").await.ok(), "ok");
    assert_eq!(session.get().await.ok(), "10:b4AQIDBA==");
}

#[tokio::test]
async fn bytes_are_bytes_for_all_others() {
    let (node, _database) = contract().await;
    let session = place(&node).open().await;
    // Text "4hi" of 3 bytes, then bytes of a message.
    let payload = [&[0, 3, 255][..], b"4hi", &[1, 5, 255, 4, 1, 2, 3, 4]].concat();
    let posted = session.post_bytes(payload.clone()).await;
    assert_eq!(posted.ok(), "ok");
    let polled = session.get_bytes().await;
    assert_eq!(
        polled.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(polled.body, payload);
}

#[tokio::test]
async fn bytes_go_by_websocket_with_their_type() {
    let (node, _database) = contract().await;
    let (mut socket, _) = place(&node).open_socket().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    socket.send_bytes(&[4, 1, 2, 3]).await;
    assert_eq!(socket.bytes().await, [4, 1, 2, 3]);
    socket.send_bytes(&[1, 2, 3]).await;
    socket.closed().await;
}

#[tokio::test]
async fn the_client_pings() {
    let (node, _database) = contract().await;
    let session = place(&node).open().await;
    for said in ["", "probe"] {
        let ping = format!("2{said}");
        let posted = session.post(format!("{}:{ping}", ping.len())).await;
        assert_eq!(posted.ok(), "ok");
        let pong = format!("3{said}");
        assert_eq!(session.get().await.ok(), format!("{}:{pong}", pong.len()));
    }
    let (mut socket, _) = place(&node).open_socket().await;
    socket.send("2").await;
    assert_eq!(socket.text().await, "3");
}

#[tokio::test]
async fn the_server_does_not_ping() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "50"), ("PING_TIMEOUT_MS", "60000")]).await;
    let (mut socket, _) = place(&node).open_socket().await;
    assert!(socket.is_silent_for(Duration::from_millis(300)).await);
    socket.send("3").await;
    socket.closed().await;
}

#[tokio::test]
async fn silence_ends_a_session() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "50"), ("PING_TIMEOUT_MS", "50")]).await;
    let (mut socket, _) = place(&node).open_socket().await;
    socket.closed().await;
    let session = place(&node).open().await;
    eventually("the session is over", async || {
        let polled = session.get().await;
        (polled.status == 400).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_session_changes_to_a_websocket() {
    let (node, _database) = contract().await;
    let session = place(&node).open().await;
    let poll = tokio::spawn(session.get_request().send());
    let mut socket = session.socket().await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    let answer = poll.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "1:6");
    socket.send("5").await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    session.get().await.error(400, 3, "Bad request");
}

#[tokio::test]
async fn lengths_that_lie_end_the_session() {
    let (node, _database) = contract().await;
    for bad in [
        "5:4hello",
        "7:4hello",
        "999999999:4hello",
        "99999999999999999999:4hello",
        "-1:4",
        "06:4hello",
        "4hello",
        "6:4hello6",
        "",
        // Within a character of two units.
        "2:4\u{1f600}",
    ] {
        let session = place(&node).open().await;
        let posted = session.post(bad).await;
        assert_eq!(posted.status, 400, "{bad:?}: {posted:?}");
        session.get().await.unknown_session();
    }
    for bad in [
        &[0, 9, 255, b'4'][..],
        &[0, 255, b'4'],
        &[2, 1, 255, b'4'],
        &[0, 1],
        &[1, 1, 255, 9],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, b'4'],
    ] {
        let session = place(&node).open().await;
        let posted = session.post_bytes(bad.to_vec()).await;
        assert_eq!(posted.status, 400, "{bad:?}: {posted:?}");
        session.get().await.unknown_session();
    }
}

#[tokio::test]
async fn revisions_do_not_mix() {
    let (node, _database) = contract().await;
    let session = place(&node).open().await;
    let query = format!("EIO=4&transport=polling&sid={}", session.sid);
    let answer = place(&node).ask(reqwest::Method::GET, &query).await;
    answer.error(400, 3, "Bad request");
}
