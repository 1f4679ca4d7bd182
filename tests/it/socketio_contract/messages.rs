//! Engine.IO 4: messages, both ways.

use std::time::Duration;

use super::{contract, engine};
use crate::harness::engineio::SEPARATOR;
use crate::harness::eventually;
use crate::harness::node::Node;

#[tokio::test]
async fn a_payload_has_one_packet_or_several() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    for payload in [
        "4hello".to_owned(),
        "4".to_owned(),
        format!("4test1{SEPARATOR}4test2{SEPARATOR}4test3"),
        format!("4h\u{e9}llo \u{1f600} \u{2028}{SEPARATOR}4utf 8 \u{1e00}"),
    ] {
        let posted = session.post(payload.clone()).await;
        assert_eq!(posted.ok(), "ok");
        assert_eq!(posted.header("content-type"), Some("text/html"));
        let polled = session.get().await;
        assert_eq!(polled.ok(), payload);
    }
}

/// "Binary payloads MUST be base64-encoded and prefixed with a `b` character."
#[tokio::test]
async fn bytes_are_base64_in_a_payload() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let payload = format!("4hello{SEPARATOR}bAQIDBA==");
    assert_eq!(session.post(payload.clone()).await.ok(), "ok");
    assert_eq!(session.get().await.ok(), payload);
}

#[tokio::test]
async fn text_and_bytes_go_by_websocket_as_they_are() {
    let (node, _database) = contract().await;
    let (mut socket, _) = engine(&node).open_socket().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    // Without the type that text has.
    socket.send_bytes(&[1, 2, 3, 4]).await;
    assert_eq!(socket.bytes().await, [1, 2, 3, 4]);
    socket.send_bytes(&[]).await;
    assert_eq!(socket.bytes().await, [0u8; 0]);
    socket.send("4\u{1f600}").await;
    assert_eq!(socket.text().await, "4\u{1f600}");
}

#[tokio::test]
async fn what_is_no_packet_ends_the_session() {
    let (node, _database) = contract().await;
    for payload in ["abc", "", "7", "4a\u{1e}", "bab\u{e9}", "0{}", "5", "1x"] {
        let session = engine(&node).open().await;
        let posted = session.post(payload).await;
        assert_eq!(posted.status, 400, "{payload:?}: {posted:?}");
        session.get().await.unknown_session();
    }
    for message in ["abc", "7", "0{}", "5"] {
        let (mut socket, _) = engine(&node).open_socket().await;
        socket.send(message).await;
        socket.refused().await;
    }
}

/// Two polls at a time: "the server MUST close the session".
#[tokio::test]
async fn two_polls_at_a_time_end_the_session() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let (first, second) = tokio::join!(session.get(), session.get());
    let (closed, refused) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(closed.ok(), "1");
    assert_eq!(refused.status, 400, "{refused:?}");
    session.get().await.unknown_session();
}

/// "If the client … cancels the request, the server MUST close the session."
#[tokio::test]
async fn a_poll_that_is_aborted_ends_the_session() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    // As one of a browser that leaves the page: the connection is closed.
    let poll = tokio::time::timeout(Duration::from_millis(300), session.get());
    assert!(poll.await.is_err(), "there is nothing to answer");
    // What is said before that is noticed would be its answer.
    aborted(&node).await;
    session.post("4hello").await.unknown_session();
}

async fn aborted(node: &Node) {
    eventually("the session is over", async || {
        let aborted = r#"socketio_sessions_ended_total{reason="aborted"}"#;
        (node.metric(aborted).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_post_that_breaks_off_ends_the_session() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let path = format!("/engine.io/?EIO=4&transport=polling&sid={}", session.sid);
    let mut peer = crate::harness::raw::RawPeer::connect(&node).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n4he"
    );
    peer.write(head.as_bytes()).await;
    drop(peer);
    aborted(&node).await;
    session.post("4hello").await.unknown_session();
}
