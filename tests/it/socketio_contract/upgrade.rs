//! Engine.IO 4: the change from polling to a WebSocket.

use super::{contract, contract_with, engine};
use crate::harness::eventually;

#[tokio::test]
pub(crate) async fn a_session_changes_to_a_websocket() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let mut socket = session.upgrade().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
}

/// "the server … responds to the pending poll with a noop packet", so that the client can go on.
#[tokio::test]
pub(crate) async fn a_poll_that_waits_ends_in_a_noop() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let poll = tokio::spawn(session.get_request().send());
    let mut socket = session.socket().await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    let answer = poll.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "6");
    socket.send("5").await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
}

/// What was sent between probe and upgrade is not lost.
#[tokio::test]
pub(crate) async fn what_waits_goes_by_the_websocket() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let mut socket = session.socket().await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    assert_eq!(session.post("4one").await.ok(), "ok");
    assert_eq!(session.post("4two").await.ok(), "ok");
    socket.send("5").await;
    assert_eq!(socket.text().await, "4one");
    assert_eq!(socket.text().await, "4two");
}

#[tokio::test]
async fn polling_requests_are_refused_after_it() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let mut socket = session.upgrade().await;
    // When this is back, the upgrade has been read.
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    session.get().await.error(400, 3, "Bad request");
    session.post("4no").await.error(400, 3, "Bad request");
    socket.send("4still").await;
    assert_eq!(socket.text().await, "4still");
}

/// Also by the first one after it, which comes to another thread than the socket does.
#[tokio::test]
pub(crate) async fn a_poll_right_after_it_is_refused() {
    let (node, _database) = contract().await;
    for _ in 0..50 {
        let session = engine(&node).open().await;
        let mut socket = session.socket().await;
        socket.send("2probe").await;
        socket.send("5").await;
        session.get().await.error(400, 3, "Bad request");
        assert_eq!(socket.text().await, "3probe");
    }
}

/// It is accepted, then closed; the first is not disturbed.
#[tokio::test]
async fn a_second_websocket_is_closed() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let mut socket = session.upgrade().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    let mut second = session.socket().await;
    second.closed().await;
    socket.send("4still").await;
    assert_eq!(socket.text().await, "4still");
}

#[tokio::test]
async fn a_websocket_that_says_something_else_first_is_closed_and_the_session_goes_on() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    for first in ["4hello", "5", "2", "2other", "abc"] {
        let mut socket = session.socket().await;
        socket.send(first).await;
        socket.closed().await;
    }
    assert_eq!(session.post("4hello").await.ok(), "ok");
    assert_eq!(session.get().await.ok(), "4hello");
    session.upgrade().await;
}

#[tokio::test]
async fn a_websocket_that_probes_nothing_in_time_is_closed() {
    let (node, _database) = contract_with(&[("UPGRADE_TIMEOUT_MS", "100")]).await;
    let session = engine(&node).open().await;
    let mut socket = session.socket().await;
    socket.closed().await;
    assert_eq!(session.post("4hello").await.ok(), "ok");
    assert_eq!(session.get().await.ok(), "4hello");
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_upgraded() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    assert_eq!(session.post("1").await.ok(), "ok");
    let query = format!("EIO=4&transport=websocket&sid={}", session.sid);
    engine(&node).refused_socket(&query).await.unknown_session();
}

#[tokio::test]
async fn the_end_of_the_websocket_is_the_session_s() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let mut socket = session.upgrade().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    drop(socket);
    eventually("the session is over", async || {
        let answer = session.get().await;
        let text = answer.text().to_owned();
        text.contains("Session ID unknown").then_some(())
    })
    .await;
}
