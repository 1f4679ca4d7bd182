//! How what official clients of Socket.IO say and hear travels: by TLS from polls to a WebSocket, and
//! compressed.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::register;
use crate::harness::scripts;

/// Long, and much shorter when it is compressed.
const BODY_BYTES: u64 = 20_000;
const WORD: &str = "hubbub ";
const WORDS: usize = 2_858;

/// What the client tells of a long message, said at a node's own address.
async fn say(node: &Node, client: u8, transports: &[&str]) -> Value {
    let scheme = if node.is_tls() { "https" } else { "http" };
    let folder = scripts::of_node("socketio");
    let ada = register(node, "ada").await;
    let room = ada.create_room("general").await;
    let settings = json!({
        "client": client,
        "url": format!("{scheme}://{}", node.own_address),
        "transports": transports,
        "room": room.slug,
        "token": ada.token,
        "body": WORD.repeat(WORDS),
    });
    let mut command = Command::new("node");
    let files = tempfile::TempDir::new().expect("a folder");
    if node.is_tls() {
        node.certificate().write(files.path());
        command.env("NODE_EXTRA_CA_CERTS", files.path().join("cert.pem"));
    }
    let output = command
        .arg(folder.join("wire.mjs"))
        .arg(settings.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = output.await.expect("the client runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["is_the_same"], true, "{report}");
    report
}

#[track_caller]
fn bytes(report: &Value, name: &str) -> u64 {
    report[name].as_u64().expect("a number")
}

#[tokio::test]
async fn clients_change_to_a_websocket_by_tls() {
    for client in [4, 2] {
        let database = postgres::database().await;
        let node = Node::start(NodeOptions::on(&database.url).with_tls()).await;
        let report = say(&node, client, &["polling", "websocket"]).await;
        assert_eq!(report["first"], "polling", "{report}");
        assert_eq!(report["last"], "websocket", "{report}");
        assert_eq!(report["is_sealed"], true, "{report}");
    }
}

/// Clients that recover get what is for them alone at the end of each push, which is why those are
/// not compressed for them; replies are, and whatever goes to clients that do not.
#[tokio::test]
async fn what_is_long_is_compressed_both_ways() {
    for (client, has_short_pushes) in [(4, false), (2, true)] {
        let (node, _database) = Node::on_fresh_database().await;
        let report = say(&node, client, &["websocket"]).await;
        assert_eq!(report["extensions"], "permessage-deflate", "{report}");
        assert!(bytes(&report, "sent") < BODY_BYTES / 10, "{report}");
        assert!(bytes(&report, "replied") < BODY_BYTES / 10, "{report}");
        let is_short = bytes(&report, "pushed") < BODY_BYTES / 10;
        assert_eq!(is_short, has_short_pushes, "{report}");
        let shorter = r#"websocket_deflated_frames_total{outcome="shorter"}"#;
        assert!(node.metric(shorter).await >= 1, "{report}");
    }
}

#[tokio::test]
async fn nothing_is_compressed_where_that_is_off() {
    let off = [("HUBBUB__SOCKETIO__PER_MESSAGE_DEFLATE", "false")];
    let (node, _database) = Node::on_fresh_database_with(&off).await;
    let report = say(&node, 4, &["websocket"]).await;
    assert_eq!(report["extensions"], "", "{report}");
    for name in ["sent", "pushed", "replied"] {
        assert!(bytes(&report, name) > BODY_BYTES, "{name}: {report}");
    }
}
