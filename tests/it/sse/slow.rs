//! Peers that take nothing: they are given up, their sockets go, and nobody else notices.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::metric;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{User, register};
use crate::harness::stream::EventStream;
use crate::harness::{DEADLINE, eventually};

/// A node that holds little back for anybody.
async fn node(ping_s: &str) -> (Node, TestDatabase) {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        // Its files are counted.
        .set("HUBBUB__DATABASE__POOL_MAX", "2")
        .set("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", "4096")
        .set("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", "70000")
        .set("HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES", "300000")
        .set("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", "70000")
        .set("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "1000")
        .set("HUBBUB__WEBSOCKET__PING_INTERVAL_S", ping_s)
        .set("HUBBUB__WEBSOCKET__PING_TIMEOUT_S", ping_s);
    (Node::start(options).await, database)
}

/// Asks for a stream with a small receive buffer, and reads nothing but the answer's beginning.
async fn reader_that_stops(node: &Node, user: &User, path: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = node.address.parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("the node accepts");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        node.address, user.token
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("event: resumed") {
        let more = timeout(DEADLINE, stream.read_buf(&mut read)).await;
        assert!(more.expect("in time").expect("bytes") > 0, "it ended");
    }
    stream
}

/// Whether some process still has the node's end of this connection.
fn is_held(node: &Node, peer: &TcpStream) -> bool {
    let port = |address: &str| address.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let ours = format!(":{:04X}", peer.local_addr().unwrap().port());
    let theirs = format!(":{:04X}", port(&node.address));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    table.lines().skip(1).any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        // Local and remote address, and the inode: 0 when no file is left of it.
        columns[1].ends_with(&theirs) && columns[2].ends_with(&ours) && columns[9] != "0"
    })
}

#[tokio::test]
async fn who_never_reads_is_closed_as_slow_and_its_socket_goes() {
    let (node, _database) = node("25").await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for path in [
        "/api/events".to_owned(),
        format!("/api/rooms/{}/events", room.id),
    ] {
        let mut other = EventStream::open(&ada, "/api/events", None).await;
        other.event("resumed").await;
        let before = node.open_files();
        let slow_before = metric(&node, "websocket_disconnects_total{reason=\"slow\"}").await;
        let mut stuck = Vec::new();
        for _ in 0..3 {
            stuck.push(reader_that_stops(&node, &ada, &path).await);
        }
        assert!(stuck.iter().all(|peer| is_held(&node, peer)));
        let body = "x".repeat(60_000);
        for n in 0..20 {
            let key = format!("{path}-{n}");
            ada.say(&room.id, &body, &key).await.ok();
            let event = other.event("message").await.json();
            assert_eq!(event["client_id"], key, "the other gets everything");
        }
        eventually("they are closed as slow", async || {
            let slow = metric(&node, "websocket_disconnects_total{reason=\"slow\"}").await;
            (slow == slow_before + 3).then_some(())
        })
        .await;
        eventually("their sockets have gone", async || {
            let is_left = stuck.iter().any(|peer| is_held(&node, peer));
            (!is_left && metric(&node, "sse_active_streams").await == 1).then_some(())
        })
        .await;
        eventually("no file is left of them", async || {
            // The pool may have opened its second connection; these were three.
            (node.open_files() <= before + 1).then_some(())
        })
        .await;
        for mut peer in stuck {
            let mut rest = Vec::new();
            let end = timeout(DEADLINE, peer.read_to_end(&mut rest)).await;
            let end = end.expect("the peer sees its end");
            assert!(end.is_err() || rest.len() < 20 * body.len(), "cut off");
        }
        ada.say(&room.id, "after", &format!("{path}-after"))
            .await
            .ok();
        assert_eq!(other.event("message").await.json()["body"], "after");
    }
}

#[tokio::test]
async fn who_takes_nothing_for_two_heartbeats_is_given_up() {
    let (node, _database) = node("1").await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let mut other = EventStream::open(&ada, "/api/events", None).await;
    other.event("resumed").await;
    let peer = reader_that_stops(&node, &ada, "/api/events").await;
    let reading = tokio::spawn(async move {
        let after = other.find(|event| event.data.contains("\"after\"")).await;
        (other, after.is_some())
    });
    // Enough to fill the buffers of both ends and of the dispatcher, not the outbox.
    let body = "x".repeat(60_000);
    for n in 0..4 {
        ada.say(&room.id, &body, &n.to_string()).await.ok();
    }
    let name = "websocket_disconnects_total{reason=\"heartbeat_timeout\"}";
    eventually("it is given up", async || {
        (metric(&node, name).await == 1).then_some(())
    })
    .await;
    eventually("its socket has gone", async || {
        (!is_held(&node, &peer)).then_some(())
    })
    .await;
    assert_eq!(metric(&node, "sse_active_streams").await, 1);
    ada.say(&room.id, "after", "after").await.ok();
    let (_other, got_it) = reading.await.expect("it reads");
    assert!(got_it);
}

/// A dispatcher that has read all that it keeps would ask for more without end.
#[tokio::test]
async fn who_asks_on_and_on_without_reading_is_cut_off() {
    let (node, _database) = node("25").await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    let mut peer = reader_that_stops(&node, &ada, "/api/events").await;
    let request = format!(
        "GET /health/live HTTP/1.1\r\nHost: {}\r\n\r\n",
        node.address
    );
    // Whether all of it is sent before the node is gone is not the point.
    let sent = timeout(DEADLINE, peer.write_all(request.repeat(20_000).as_bytes())).await;
    let _ = sent.expect("it is taken or refused");
    eventually("it is gone", async || {
        (metric(&node, "sse_active_streams").await == 0 && !is_held(&node, &peer)).then_some(())
    })
    .await;
}
