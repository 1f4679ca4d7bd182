//! A Postgres whose disk is full.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;

use super::ledger::{Crowd, Entry, fields, verify};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{Options, TestServer};
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

#[tokio::test]
async fn publishes_are_refused_and_stored_when_there_is_space_again() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let mut node = Node::start(NodeOptions::on(&database.url)).await;
    let crowd = Crowd::gather(&node, 2, 1).await;
    let room = &crowd.rooms[0];
    let path: String = database
        .connect()
        .await
        .query_one("SELECT pg_relation_filepath('messages')", &[])
        .await
        .expect("the table is there")
        .get(0);
    let table = FullTable(server.data_folder().join(path));
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
