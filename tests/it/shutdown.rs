//! SIGTERM: clients are told, what was acknowledged is stored, the node ends by itself.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::raw::{FIN, RawPeer, opcode};
use crate::harness::rest::{http, register, try_send};
use crate::harness::socket::{End, Socket, refusal};
use crate::harness::{DEADLINE, eventually};

async fn draining_node(drain_ms: &str) -> (Node, TestDatabase) {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__DRAIN_MS", drain_ms)
        .set("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "20000");
    (Node::start(options).await, database)
}

#[tokio::test]
pub(crate) async fn clients_are_told_to_move_and_resume_where_they_were() {
    let (mut node, _database) = draining_node("500").await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = Socket::connect(&node, &ada).await;
        socket.join(&room.id).await;
        sockets.push(socket);
    }
    let ack = sockets[0].publish(&room.id, "last words", "1").await;
    node.terminate();
    for socket in &mut sockets {
        assert_eq!(socket.close_code().await, (4000, "drain".to_owned()));
        let pushes = socket.take_pushes();
        let said: Vec<&Value> = pushes
            .iter()
            .filter(|push| push["push"] == "message")
            .collect();
        assert_eq!(said.len(), 1, "{pushes:?}");
        let drain = pushes.iter().find(|push| push["push"] == "drain");
        let drain = drain.unwrap_or_else(|| panic!("no drain: {pushes:?}"));
        assert!(drain["after_ms"].is_u64(), "{drain}");
        assert!(drain["cursor"].is_string(), "{drain}");
    }
    let status = node.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{status}");

    node.restart().await;
    let mut socket = Socket::connect(&node, &ada).await;
    let fields = json!({ "room": room.id, "since": 0, "epoch": room.epoch });
    let joined = socket.ok("join", fields).await;
    assert_eq!(joined["last_seq"], ack["seq"]);
    assert_eq!(socket.push("message").await["body"], "last words");
}

#[tokio::test]
pub(crate) async fn nothing_acknowledged_is_lost_under_load() {
    let (mut node, database) = draining_node("300").await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut talkers = tokio::task::JoinSet::new();
    for talker in 0..6 {
        let mut socket = Socket::connect(&node, &ada).await;
        let room = room.clone();
        talkers.spawn(async move {
            let mut acks = Vec::new();
            for n in 0.. {
                let key = format!("{talker}-{n}");
                let fields = json!({ "room": room, "body": key, "client_id": key });
                match socket.try_request("publish", fields).await {
                    Ok(reply) => match refusal(&reply) {
                        None => acks.push((key, reply["ok"]["seq"].as_i64().expect("a seq"))),
                        Some(error) => assert_eq!(error["retry"], true, "{error}"),
                    },
                    Err(ended) => {
                        let End::Closed { code, .. } = ended.0 else {
                            panic!("{ended:?}");
                        };
                        assert_eq!(code, 4000);
                        break;
                    }
                }
            }
            acks
        });
    }
    let client = database.connect().await;
    eventually("some messages are stored", async || {
        let row = client.query_one("SELECT count(*) FROM messages", &[]).await;
        (row.expect("a count").get::<_, i64>(0) > 100).then_some(())
    })
    .await;
    node.terminate();
    let acks: Vec<_> = talkers.join_all().await.into_iter().flatten().collect();
    let status = node.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(acks.len() > 50, "{}", acks.len());
    let rows = client
        .query("SELECT client_id, seq FROM messages ORDER BY 1", &[])
        .await
        .expect("messages");
    let mut stored: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for ack in &acks {
        assert!(stored.contains(ack), "{ack:?} was acknowledged");
    }
    stored.dedup_by(|a, b| a.0 == b.0);
    assert_eq!(stored.len(), rows.len(), "nothing is there twice");
}

#[tokio::test]
async fn readiness_goes_first_and_new_clients_are_sent_elsewhere() {
    let (mut node, _database) = draining_node("4000").await;
    let ada = register(&node, "ada").await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(Socket::connect(&node, &ada).await);
    }
    let client = http();
    let ready = node.url("/health/ready");
    let answer = try_send(client.get(&ready)).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    node.terminate();
    eventually("the node is no longer ready", async || {
        let answer = try_send(client.get(&ready)).await;
        (answer.expect("it still answers").status == 503).then_some(())
    })
    .await;
    let live = try_send(client.get(node.url("/health/live"))).await;
    assert_eq!(live.expect("it still lives").status, 200);
    let authorization = format!("Bearer {}", ada.token);
    let headers = [("authorization", authorization.as_str())];
    let refused = Socket::open(&node, "/ws", &headers).await.err();
    assert_eq!(refused.expect("no new connections").status, 503);
    for socket in &mut sockets {
        assert_eq!(socket.close_code().await.0, 4000);
    }
    assert_eq!(node.wait_exit().await.code(), Some(0));
}

#[tokio::test]
pub(crate) async fn a_client_that_does_not_answer_holds_nothing_up() {
    let (mut node, _database) = draining_node("100").await;
    let ada = register(&node, "ada").await;
    let mut deaf = RawPeer::upgraded(&node, &ada.token).await;
    node.terminate();
    let status = node.wait_exit_within(DEADLINE / 2).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let mut frames = Vec::new();
    while let Some(frame) = deaf.read_frame().await {
        frames.push(frame);
    }
    let close = frames.last().expect("a frame");
    assert_eq!(close.first, FIN | opcode::CLOSE, "{frames:?}");
    assert_eq!(close.payload[..2], 4000_u16.to_be_bytes());
}

#[tokio::test]
async fn a_node_without_postgres_stops_as_well() {
    let mut server = postgres::TestServer::start(postgres::Options { fsync: true }).await;
    let database = server.database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__HTTP__DRAIN_MS", "100");
    let mut node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let mut socket = Socket::connect(&node, &ada).await;
    server.kill9().await;
    node.terminate();
    assert_eq!(socket.close_code().await.0, 4000);
    assert_eq!(node.wait_exit().await.code(), Some(0));
}

#[tokio::test]
pub(crate) async fn a_request_in_flight_gets_its_answer() {
    let (mut node, database) = draining_node("0").await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut holder = database.connect().await;
    let transaction = holder.transaction().await.expect("a transaction");
    transaction
        .query_one("SELECT FROM room_heads FOR UPDATE", &[])
        .await
        .expect("the lock");
    let posting = tokio::spawn({
        let ada = ada.clone();
        async move { ada.say(&room, "last words", "1").await }
    });
    let watcher = database.connect().await;
    eventually("the commit waits for the room", async || {
        let waiting = "SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let rows = watcher.query(waiting, &[]).await.expect("activity");
        (!rows.is_empty()).then_some(())
    })
    .await;
    node.terminate();
    // Longer than the server waits for answers that are ready.
    let ended = node.wait_exit_within(Duration::from_secs(3)).await;
    assert!(ended.is_none(), "it did not wait: {ended:?}");
    transaction.rollback().await.expect("the lock is given up");
    let answer = posting.await.expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(node.wait_exit().await.code(), Some(0));
    let row = watcher.query_one("SELECT seq FROM messages", &[]).await;
    let seq: i64 = row.expect("the message").get(0);
    assert_eq!(answer.json()["seq"], seq);
}

#[tokio::test]
async fn a_publish_in_flight_is_acknowledged_before_its_connection_is_closed() {
    let (mut node, database) = draining_node("0").await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await.id;
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room).await;
    let mut holder = database.connect().await;
    let transaction = holder.transaction().await.expect("a transaction");
    transaction
        .query_one("SELECT FROM room_heads FOR UPDATE", &[])
        .await
        .expect("the lock");
    let fields = json!({ "room": room, "body": "last words", "client_id": "1" });
    let id = socket.send_command("publish", fields.clone()).await;
    // Answered in their order: the publish has been handed in.
    let ping = socket.send_command("ping", json!({})).await;
    socket.reply_to(ping).await.expect("a pong");
    node.terminate();
    socket.push("drain").await;
    let refused = socket.send_command("publish", fields).await;
    let reply = socket.reply_to(refused).await.expect("a refusal");
    assert_eq!(reply["err"]["code"], "unavailable", "{reply}");
    transaction.rollback().await.expect("the lock is given up");
    let ack = socket.reply_to(id).await.expect("an ack");
    assert_eq!(ack["ok"]["seq"], 1, "{ack}");
    assert_eq!(socket.close_code().await.0, 4000);
    assert_eq!(node.wait_exit().await.code(), Some(0));
}

#[tokio::test]
pub(crate) async fn connections_without_a_request_hold_nothing_up() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__DRAIN_MS", "0")
        .set("HUBBUB__HTTP__KEEP_ALIVE_S", "3600")
        .set("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "600000")
        .set("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "60000");
    let mut node = Node::start(options).await;
    // One that has asked something, one that has not yet, one that is in the middle, one of
    // HTTP/2 (its preface, and an empty SETTINGS frame).
    let asked = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut peers = Vec::new();
    for (said, answers) in [
        (asked, true),
        ("", false),
        ("GET /health/li", false),
        (http2, true),
    ] {
        let peer = TcpStream::connect(&node.address).await;
        let mut peer = peer.expect("a connection");
        peer.write_all(said.as_bytes()).await.expect("it is read");
        if answers {
            let mut first = [0; 9];
            peer.read_exact(&mut first).await.expect("an answer");
        }
        peers.push(peer);
    }
    node.terminate();
    let status = node.wait_exit_within(DEADLINE).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
