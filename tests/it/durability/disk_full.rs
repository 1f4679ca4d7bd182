//! A Postgres whose disk is full.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;

use super::ledger::{Crowd, Entry, fields, verify};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{Options, TestDatabase, TestServer};
use crate::harness::redis::Redis;
use crate::harness::socket::Socket;

/// Lets every write to the table `messages` fail as on a full disk, or no longer. The table must
/// be empty, and the server stopped.
struct FullTable(PathBuf);

impl FullTable {
    fn fill(&self) {
        std::fs::rename(&self.0, self.aside()).expect("the table's file is there");
        // Every write to this device fails with ENOSPC, and it is always empty.
        symlink("/dev/full", &self.0).expect("a link can be made");
    }

    fn free(&self) {
        std::fs::remove_file(&self.0).expect("the link is there");
        std::fs::rename(self.aside(), &self.0).expect("the table's file is there");
    }

    fn aside(&self) -> PathBuf {
        self.0.with_extension("aside")
    }
}

/// The table `messages`.
async fn table(server: &TestServer, database: &TestDatabase) -> FullTable {
    let path: String = database
        .connect()
        .await
        .query_one("SELECT pg_relation_filepath('messages')", &[])
        .await
        .expect("the table is there")
        .get(0);
    FullTable(server.data_folder().join(path))
}

#[tokio::test]
async fn publishes_are_refused_and_stored_when_there_is_space_again() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let mut node = Node::start(NodeOptions::on(&database.url)).await;
    let crowd = Crowd::gather(&node, 2, 1).await;
    let room = &crowd.rooms[0];
    let table = table(&server, &database).await;
    node.kill9();
    server.stop().await;
    table.fill();
    server.restart().await;
    node.restart().await;

    let mut ada = Socket::connect(&node, &crowd.users[0]).await;
    let mut bob = Socket::connect(&node, &crowd.users[1]).await;
    ada.join(&room.id).await;
    bob.join(&room.id).await;
    let mut entries = Vec::new();
    for n in 0..3 {
        let entry = Entry {
            user_id: crowd.users[0].id.clone(),
            room_id: room.id.clone(),
            client_id: format!("full-{n}"),
            ack: None,
        };
        let error = ada.err("publish", fields(&entry)).await;
        assert_eq!(error["code"], "unavailable", "{error}");
        assert_eq!(error["retry"], true, "{error}");
        entries.push(entry);
    }
    let refused = "journal_entries_total{outcome=\"unavailable\"}";
    assert!(node.metric(refused).await >= 3);
    // What needs no space goes on.
    ada.ok("typing", json!({ "room": room.id })).await;
    bob.push("typing").await;
    let page = bob.ok("history", json!({ "room": room.id })).await;
    assert_eq!(page["messages"], json!([]));

    server.stop().await;
    table.free();
    server.restart().await;
    crowd.finish(&node, &mut entries).await;
    verify(&database.connect().await, &entries).await;
    for entry in &entries {
        let push = bob.push("message").await;
        assert_eq!(push["client_id"], entry.client_id.as_str());
    }
}

/// On every node the same: refused with a code that says so, and stored once when there is space,
/// whichever node it is sent to then.
#[tokio::test]
async fn on_several_nodes_nothing_is_lost_or_doubled() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let redis = Redis::start().await;
    let options = || NodeOptions::on(&database.url).set("REDIS_URL", &redis.url());
    let mut nodes = [Node::start(options()).await, Node::start(options()).await];
    let crowd = Crowd::gather(&nodes[0], 2, 2).await;
    let table = table(&server, &database).await;
    for node in &mut nodes {
        node.kill9();
    }
    server.stop().await;
    table.fill();
    server.restart().await;
    for node in &mut nodes {
        node.restart().await;
    }

    // Each user on each node, in each room.
    let mut sockets = Vec::new();
    for node in &nodes {
        for user in &crowd.users {
            let mut socket = Socket::connect(node, user).await;
            for room in &crowd.rooms {
                socket.join(&room.id).await;
            }
            sockets.push((user, socket));
        }
    }
    let mut entries = Vec::new();
    for (place, (user, socket)) in sockets.iter_mut().enumerate() {
        for (n, room) in crowd.rooms.iter().cycle().take(6).enumerate() {
            let entry = Entry {
                user_id: user.id.clone(),
                room_id: room.id.clone(),
                client_id: format!("full-{place}-{n}"),
                ack: None,
            };
            let error = socket.err("publish", fields(&entry)).await;
            assert_eq!(error["code"], "unavailable", "{error}");
            assert_eq!(error["retry"], true, "{error}");
            entries.push(entry);
        }
    }
    // What needs no space goes on, on all nodes.
    let typing = json!({ "room": crowd.rooms[0].id });
    sockets[0].1.ok("typing", typing).await;
    sockets[3].1.push("typing").await;

    server.stop().await;
    table.free();
    server.restart().await;
    // By the other node than the first time, and then by both at once with the same keys.
    let (first, second) = entries.split_at_mut(12);
    crowd.finish(&nodes[1], first).await;
    crowd.finish(&nodes[0], second).await;
    let mut again = entries.clone();
    for entry in &mut again {
        entry.ack = None;
    }
    let mut too = again.clone();
    tokio::join!(
        crowd.finish(&nodes[0], &mut again),
        crowd.finish(&nodes[1], &mut too)
    );
    assert_eq!((&again, &too), (&entries, &entries));
    verify(&database.connect().await, &entries).await;
    // Everybody hears of each once, in the room's order.
    for (_, socket) in &mut sockets {
        let mut seqs: HashMap<String, Vec<u64>> = HashMap::new();
        let mut keys = HashSet::new();
        while keys.len() < entries.len() {
            let push = socket.push("message").await;
            let room = push["room"].as_str().expect("a room").to_owned();
            seqs.entry(room)
                .or_default()
                .push(push["seq"].as_u64().expect("a seq"));
            let key = push["client_id"].as_str().expect("a key").to_owned();
            assert!(keys.insert(key), "twice: {push}");
        }
        assert!(seqs.values().all(|seqs| seqs.is_sorted()), "{seqs:?}");
    }
}
