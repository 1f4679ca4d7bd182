//! Engine.IO 4: heartbeats of the server, and the end of a session.

use super::{contract, contract_with, engine};

/// "the server sends a `ping` packet … the client has … seconds to send a `pong` packet back".
#[tokio::test]
async fn the_server_pings_by_polling() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "50"), ("PING_TIMEOUT_MS", "60000")]).await;
    let session = engine(&node).open().await;
    for _ in 0..3 {
        assert_eq!(session.get().await.ok(), "2");
        assert_eq!(session.post("3").await.ok(), "ok");
    }
}

#[tokio::test]
async fn the_server_pings_by_websocket() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "50"), ("PING_TIMEOUT_MS", "60000")]).await;
    let (mut socket, _) = engine(&node).open_socket().await;
    for _ in 0..3 {
        assert_eq!(socket.text().await, "2");
        socket.send("3").await;
    }
}

/// "If the server does not receive a `pong` packet back, then it SHOULD consider that the connection
/// is closed."
#[tokio::test]
async fn silence_ends_a_session() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "50"), ("PING_TIMEOUT_MS", "50")]).await;
    let (mut socket, _) = engine(&node).open_socket().await;
    assert_eq!(socket.text().await, "2");
    socket.closed().await;

    // Nobody asks for what this one is sent.
    let session = engine(&node).open().await;
    crate::harness::eventually("the session is reaped", async || {
        let sessions = node.metric(r#"socketio_sessions{transport="polling"}"#);
        (sessions.await == 0).then_some(())
    })
    .await;
    session.get().await.unknown_session();
}

#[tokio::test]
async fn a_pong_that_nobody_asked_for_is_no_heartbeat_of_the_future() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "50"), ("PING_TIMEOUT_MS", "50")]).await;
    let (mut socket, _) = engine(&node).open_socket().await;
    for _ in 0..100 {
        socket.send("3").await;
    }
    socket.closed().await;
}

/// Heartbeats of revision 4 are the server's.
#[tokio::test]
async fn a_ping_of_the_client_is_out_of_place() {
    let (node, _database) = contract().await;
    let (mut socket, _) = engine(&node).open_socket().await;
    socket.send("2").await;
    socket.closed().await;

    let session = engine(&node).open().await;
    assert_eq!(session.post("2").await.status, 400);
    session.get().await.unknown_session();
}

/// "the server … closes … the pending poll request" with a noop.
#[tokio::test]
async fn a_client_closes_its_session_by_polling() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let (polled, posted) = tokio::join!(session.get(), session.post("1"));
    assert_eq!(posted.ok(), "ok");
    // The two may come in either order.
    if polled.status == 200 {
        assert_eq!(polled.text(), "6");
    } else {
        polled.unknown_session();
    }
    session.get().await.unknown_session();
    session.post("4hello").await.unknown_session();
}

#[tokio::test]
async fn a_client_closes_its_session_by_websocket() {
    let (node, _database) = contract().await;
    let (mut socket, _) = engine(&node).open_socket().await;
    socket.send("1").await;
    socket.closed().await;
}
