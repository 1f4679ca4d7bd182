//! The limit of open files.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{http, register, send};
use crate::harness::socket::Socket;

/// The soft limit is raised to the hard one. If that is too little, both numbers are said, and so
/// many connections are taken that the rest has what it needs.
#[tokio::test]
async fn a_low_limit_is_said_and_kept_to() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__MAX_TCP_CONNECTIONS", "16000")
        .open_files(150, 200);
    let node = Node::start(options).await;
    let said = |line: &str| {
        (line.contains("open files are limited to 200")
            && line.contains("http.max_tcp_connections = 16000")
            && line.contains("LimitNOFILE"))
        .then_some(())
    };
    node.log().find(0, said).await.expect("it is said");
    let page = send(http().get(node.url("/metrics"))).await.text;
    assert!(page.contains("\nprocess_max_fds 200\n"), "{page}");
    assert!(page.contains("\nprocess_open_fds "), "{page}");

    let ada = register(&node, "ada").await;
    let mut socket = Socket::connect(&node, &ada).await;
    let room = ada.create_room("general").await.id;
    socket.join(&room).await;
    let mut crowd = Vec::new();
    for _ in 0..250 {
        crowd.extend(TcpStream::connect(&node.address).await);
    }
    socket.publish(&room, "undisturbed", "1").await;
    assert!(node.open_files() < 200, "{} files", node.open_files());
    drop(crowd);
    eventually("there is room again", async || {
        let answer = http().get(node.url("/health/live")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_high_limit_is_raised_in_silence() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__MAX_TCP_CONNECTIONS", "300")
        .open_files(100, 600);
    let node = Node::start(options).await;
    assert!(!node.log().text().contains("open files are limited"));
    let page = send(http().get(node.url("/metrics"))).await.text;
    assert!(page.contains("\nprocess_max_fds 600\n"), "{page}");
}

/// When the files have run out all the same, accepting pauses instead of spinning, goes on, and
/// who is here notices nothing.
#[tokio::test]
async fn without_files_nothing_spins() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut socket = Socket::connect(&node, &ada).await;
    // Files are numbered from 0, and there may be gaps.
    node.limit_open_files(Some(node.open_files() as u64 / 2));
    let cpu = node.cpu_time();
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let peer = TcpStream::connect(&node.address).await;
        waiting.push(peer.expect("the kernel accepts"));
    }
    // Processor time is measured over this while: that it passes is not waited for as a condition.
    for _ in 0..30 {
        socket.ping().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let used = node.cpu_time().saturating_sub(cpu);
    assert!(
        used < Duration::from_secs(1),
        "{used:?} of processor time in 3 s"
    );
    node.limit_open_files(None);
    Socket::connect(&node, &ada).await.ping().await;
}
