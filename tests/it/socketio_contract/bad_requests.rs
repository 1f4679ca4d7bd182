//! Requests that no client sends.

use reqwest::Method;

use super::{contract, contract_with, engine};
use crate::harness::engineio::polled;
use crate::harness::eventually;
use crate::harness::raw::RawPeer;
use crate::harness::rest::http;

#[tokio::test]
async fn a_session_that_is_nobody_s_is_unknown() {
    let (node, _database) = contract().await;
    let place = engine(&node);
    let random = "A".repeat(24);
    for sid in [
        "abc".to_owned(),
        "~~".to_owned(),
        format!("nobody~1~{random}"),
        format!("nobody~zzzzzzzzzzzzzzzzzz~{random}"),
        "x".repeat(4000),
        "%00".to_owned(),
    ] {
        let query = format!("EIO=4&transport=polling&sid={sid}");
        for method in [Method::GET, Method::POST] {
            place.ask(method, &query).await.unknown_session();
        }
        let query = format!("EIO=4&transport=websocket&sid={sid}");
        place.refused_socket(&query).await.unknown_session();
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_life_of_the_node_is_unknown() {
    let (mut node, _database) = contract().await;
    let session = engine(&node).open().await;
    node.kill9();
    node.wait_exit().await;
    node.restart().await;
    session
        .by_way_of(&node.address)
        .get()
        .await
        .unknown_session();
}

#[tokio::test]
async fn methods_that_mean_nothing_are_refused() {
    let (node, _database) = contract().await;
    let place = engine(&node);
    let session = place.open().await;
    let query = format!("EIO=4&transport=polling&sid={}", session.sid);
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = place.ask(method, &query).await;
        answer.error(400, 3, "Bad request");
    }
    // The transport that it does not go by.
    let query = format!("EIO=4&transport=websocket&sid={}", session.sid);
    place
        .ask(Method::GET, &query)
        .await
        .error(400, 3, "Bad request");
    assert_eq!(session.post("4hello").await.ok(), "ok");
    assert_eq!(session.get().await.ok(), "4hello");
}

/// "413" for what is longer than `maxPayload`; the session goes on.
#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let most = 1_000_000;
    let fits = format!("4{}", "a".repeat(most - 1));
    assert_eq!(session.post(fits.clone()).await.ok(), "ok");
    assert_eq!(session.get().await.ok(), fits);

    let too_long = format!("{fits}b");
    let answer = session.post(too_long.clone()).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    // Without a length before it.
    let mut peer = RawPeer::connect(&node).await;
    let head = format!(
        "POST /engine.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: h\r\n\
         Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        session.sid,
        too_long.len()
    );
    peer.write(head.as_bytes()).await;
    peer.write(too_long.as_bytes()).await;
    let answer = peer.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(session.post("4hello").await.ok(), "ok");
    assert_eq!(session.get().await.ok(), "4hello");
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_websocket() {
    let (node, _database) = contract().await;
    let (mut socket, _) = engine(&node).open_socket().await;
    let fits = format!("4{}", "a".repeat(999_999));
    socket.send(&fits).await;
    assert_eq!(socket.text().await, fits);
    socket.send_or_lose(&format!("{fits}b")).await;
    socket.closed().await;
}

#[tokio::test]
async fn a_body_that_is_slow_is_given_up() {
    let database = crate::harness::postgres::database().await;
    let options = crate::harness::node::NodeOptions::on(&database.url)
        .set("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true")
        .set("HUBBUB__HTTP__REQUEST_BODY_TIMEOUT_MS", "200");
    let node = crate::harness::node::Node::start(options).await;
    let session = engine(&node).open().await;
    let mut peer = RawPeer::connect(&node).await;
    let head = format!(
        "POST /engine.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: h\r\n\
         Content-Type: text/plain\r\nContent-Length: 100\r\n\r\n4he",
        session.sid
    );
    peer.write(head.as_bytes()).await;
    let answer = peer.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    eventually("the session is over", async || {
        let posted = session.post("4hello").await;
        (posted.status == 400).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bytes_as_a_body_are_not_in_revision_4() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let answer = session.post_bytes(b"4hello".to_vec()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    session.get().await.unknown_session();
}

#[tokio::test]
async fn two_posts_at_a_time_end_the_session() {
    let (node, _database) = contract().await;
    let session = engine(&node).open().await;
    let mut first = RawPeer::connect(&node).await;
    let head = format!(
        "POST /engine.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: h\r\n\
         Content-Type: text/plain\r\nContent-Length: 6\r\n\r\n4he",
        session.sid
    );
    first.write(head.as_bytes()).await;
    // The first may come second.
    eventually("the two meet", async || {
        let second = session.post("4hello").await;
        (second.status == 400).then_some(())
    })
    .await;
    session.get().await.unknown_session();
}

#[tokio::test]
async fn more_sessions_than_there_may_be_are_refused() {
    let (node, _database) = contract_with(&[("MAX_SESSIONS", "2")]).await;
    let place = engine(&node);
    let first = place.open().await;
    let _second = place.open().await;
    let answer = place.ask(Method::GET, "EIO=4&transport=polling").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(first.post("1").await.ok(), "ok");
    eventually("there is room again", async || {
        let answer = place.ask(Method::GET, "EIO=4&transport=polling").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_abandoned_sessions_is_reaped() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "100"), ("PING_TIMEOUT_MS", "100")]).await;
    let place = engine(&node);
    let client = http();
    for _ in 0..200 {
        let opened = polled(client.get(place.polling(""))).await;
        assert_eq!(opened.status, 200);
    }
    eventually("all of them are gone", async || {
        let reaped = r#"socketio_sessions_ended_total{reason="ping_timeout"}"#;
        (node.metric(reaped).await == 200).then_some(())
    })
    .await;
    let left = node
        .metric(r#"socketio_sessions{transport="polling"}"#)
        .await;
    assert_eq!(left, 0);
}
