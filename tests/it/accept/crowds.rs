//! Many at once: those who never finish, and storms of those who do.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::register;
use crate::harness::socket::Socket;

/// 2,000 connections that never finish their request, beside people who connect and talk.
#[tokio::test]
async fn two_thousand_that_never_finish_disturb_nobody() {
    const CROWD: usize = 2000;
    let database = postgres::database().await;
    let options =
        NodeOptions::on(&database.url).set("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "20000");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut talker = Socket::connect(&node, &ada).await;
    talker.join(&room).await;
    let memory = node.resident_bytes();
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let mut peer = TcpStream::connect(&node.address)
            .await
            .expect("the node accepts");
        let said: &[u8] = match n % 3 {
            0 => b"",
            1 => b"G",
            _ => b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n",
        };
        peer.write_all(said).await.expect("it is taken");
        crowd.push(peer);
        if n % 100 == 0 {
            let mut guest = Socket::connect(&node, &ada).await;
            guest.join(&room).await;
            guest.publish(&room, "hello", &n.to_string()).await;
            assert_eq!(talker.push("message").await["client_id"], n.to_string());
        }
    }
    eventually("all are there", async || {
        (node.metric("http_open_connections").await > CROWD as u64).then_some(())
    })
    .await;
    let grown = node.resident_bytes().saturating_sub(memory);
    println!("{} bytes for each", grown / CROWD as u64);
    assert!(grown < 64 << 20, "{grown} bytes");
    let mut guest = Socket::connect(&node, &ada).await;
    guest.join(&room).await;
    guest.publish(&room, "still here", "last").await;
    assert_eq!(talker.push("message").await["body"], "still here");
    drop(crowd);
    eventually("all have gone", async || {
        (node.metric("http_open_connections").await < 10).then_some(())
    })
    .await;
}

/// Everybody at the same moment: all get in, and each worker thread has its share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_gets_in() {
    const CLIENTS: usize = 500;
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, ada, room) = (node.address.clone(), ada.clone(), room.clone());
        storm.spawn(async move {
            let mut socket = Socket::connect_to(&address, &ada).await;
            socket.ok("join", json!({ "room": room })).await;
            socket
        });
    }
    let mut sockets = storm.join_all().await;
    assert_eq!(
        node.metric("websocket_active_connections").await,
        CLIENTS as u64
    );
    sockets[0].publish(&room, "all here", "1").await;
    for socket in &mut sockets {
        assert_eq!(socket.push("message").await["body"], "all here");
    }
}
