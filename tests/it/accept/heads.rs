//! Heads of requests: too slow, too large, too many lines.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::DEADLINE;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{User, register};
use crate::harness::socket::Socket;

struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
}

async fn scene() -> Scene {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "2000")
        .set("HUBBUB__HTTP__KEEP_ALIVE_S", "3600");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    Scene {
        node,
        _database: database,
        ada,
    }
}

impl Scene {
    /// An upgrade's head with further lines, without the empty line at its end.
    fn head(&self, lines: &str) -> String {
        format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}",
            self.node.address, self.ada.token
        )
    }

    async fn peer(&self) -> TcpStream {
        let peer = TcpStream::connect(&self.node.address).await;
        peer.expect("the node accepts")
    }

    /// Sends this, and gives the first line of the answer once the connection has ended.
    async fn refused(&self, said: &str) -> String {
        let mut peer = self.peer().await;
        // It may be cut off before everything was said.
        let _ = peer.write_all(said.as_bytes()).await;
        let mut answer = Vec::new();
        let reading = peer.read_to_end(&mut answer);
        let _ = timeout(DEADLINE, reading).await.expect("the end");
        first_line(&answer)
    }
}

fn first_line(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.lines().next().unwrap_or_default().to_owned()
}

/// What came of a second head together with the first request, and then nothing more.
#[tokio::test]
async fn half_a_head_after_a_request_does_not_stay() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "1000")
        .set("HUBBUB__HTTP__KEEP_ALIVE_S", "1");
    let node = Node::start(options).await;
    for second in ["G", "GET /health/live HTTP/1.1\r\nhost: x\r\n"] {
        let mut peer = TcpStream::connect(&node.address).await.expect("it accepts");
        let said = format!("GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n{second}");
        peer.write_all(said.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        let reading = timeout(DEADLINE, peer.read_to_end(&mut answer)).await;
        let _ = reading.expect("the end");
        assert!(
            first_line(&answer).starts_with("HTTP/1.1 200 "),
            "{answer:?}"
        );
    }
}

/// One byte after the other keeps nobody in: the head has one time for all of it.
#[tokio::test]
async fn a_byte_now_and_then_is_cut_off() {
    let scene = scene().await;
    let upgrade = scene.head("\r\n");
    let second = format!(
        "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /health/live HTTP/1.1\r\nhost: {}",
        "x".repeat(200)
    );
    for (said, at_once, expected, what) in [
        (upgrade.as_str(), 0, "HTTP/1.1 408 ", "an upgrade"),
        // The second request of a connection, from its first byte on, just ends.
        (second.as_str(), 42, "HTTP/1.1 200 ", "a second request"),
    ] {
        let mut peer = scene.peer().await;
        let begun = Instant::now();
        let (now, slowly) = said.as_bytes().split_at(at_once);
        peer.write_all(now).await.expect("it is taken");
        let (mut reader, mut writer) = peer.split();
        let mut answer = Vec::new();
        let talking = async {
            for byte in slowly {
                if writer.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let reading = timeout(DEADLINE, reader.read_to_end(&mut answer));
        tokio::select! {
            read = reading => drop(read.expect("the end")),
            () = talking => panic!("{what}: the whole head was taken"),
        }
        let took = begun.elapsed();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with(expected), "{what}: {text}");
        assert!(took >= Duration::from_millis(1500), "{what}: {took:?}");
    }
    Socket::connect(&scene.node, &scene.ada).await.ping().await;
}

#[tokio::test]
async fn a_thousand_headers_are_refused() {
    let scene = scene().await;
    let mut lines = String::new();
    for n in 0..1000 {
        let _ = write!(lines, "X-{n}: y\r\n");
    }
    let answer = scene.refused(&scene.head(&format!("{lines}\r\n"))).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let request = format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
    let answer = scene.refused(&request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    Socket::connect(&scene.node, &scene.ada).await.ping().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let scene = scene().await;
    for (what, said) in [
        (
            "one line",
            scene.head(&format!("X: {}", "y".repeat(2_000_000))),
        ),
        (
            "the address",
            format!("GET /{} HTTP/1.1\r\n", "y".repeat(2_000_000)),
        ),
        (
            "the address of an upgrade",
            scene.head("\r\n").replace("/ws", &"/ws".repeat(100_000)),
        ),
    ] {
        let before = scene.node.resident_bytes();
        let answer = scene.refused(&said).await;
        let ends = ["HTTP/1.1 431 ", "HTTP/1.1 414 ", "HTTP/1.1 400 "];
        assert!(
            ends.iter().any(|end| answer.starts_with(end)),
            "{what}: {answer:?}"
        );
        let grown = scene.node.resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "{what}: {grown} bytes");
    }
    Socket::connect(&scene.node, &scene.ada).await.ping().await;
}
