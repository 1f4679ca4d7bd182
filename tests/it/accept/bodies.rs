//! Bodies of requests: too slow, too large for somebody unknown, from somebody who may not send one.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::DEADLINE;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::register;

/// The head of a request to register or log in, with a body of this length.
fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// A connection over which this was said.
async fn having_said(node: &Node, said: &str) -> TcpStream {
    let peer = TcpStream::connect(&node.address).await;
    let mut peer = peer.expect("the node accepts");
    peer.write_all(said.as_bytes()).await.expect("it is taken");
    peer
}

/// All that comes of it.
async fn answer(peer: &mut TcpStream) -> String {
    let mut answer = String::new();
    let reading = timeout(DEADLINE, peer.read_to_string(&mut answer)).await;
    reading.expect("the end").expect("an answer");
    answer
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let settings = [("HUBBUB__HTTP__REQUEST_BODY_TIMEOUT_MS", "1000")];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    for path in ["/api/auth/login", "/api/auth/register"] {
        let said = head(path, 1000) + &" ".repeat(999);
        let mut peer = having_said(&node, &said).await;
        let answer = answer(&mut peer).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }
}

#[tokio::test]
async fn who_is_nobody_sends_no_large_body() {
    let (node, _database) = Node::on_fresh_database().await;
    let mut peer = having_said(&node, &head("/api/auth/login", 1_000_000)).await;
    let answer = answer(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"too_large\""), "{answer}");
}

#[tokio::test]
async fn who_tries_too_often_is_refused_before_the_body() {
    let settings = [
        ("HUBBUB__LIMITS__EXEMPT", "192.0.2.0/24"),
        ("HUBBUB__LIMITS__LOGINS_PER_MIN", "1"),
    ];
    let (node, _database) = Node::on_fresh_database_with(&settings).await;
    register(&node, "ada").await;
    let mut peer = having_said(&node, &head("/api/auth/register", 1000)).await;
    let answer = answer(&mut peer).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
}

/// What has not come is no work that a stop waits for.
#[tokio::test]
async fn an_unfinished_body_holds_no_stop_up() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__DRAIN_MS", "0")
        .set("HUBBUB__HTTP__REQUEST_BODY_TIMEOUT_MS", "600000")
        .set("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "600000");
    let mut node = Node::start(options).await;
    let said = head("/api/auth/login", 1000).replace("host: x", "host: x\r\nexpect: 100-continue");
    let mut peer = having_said(&node, &said).await;
    let mut going_on = [0; 12];
    let reading = timeout(DEADLINE, peer.read_exact(&mut going_on)).await;
    reading.expect("in time").expect("an answer");
    assert_eq!(&going_on, b"HTTP/1.1 100");
    node.terminate();
    let status = node.wait_exit_within(DEADLINE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
