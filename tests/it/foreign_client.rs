//! A client that is not Rust and not ours: Python's `websockets`, with its `json` and with `msgpack`.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::msgpack::{bin, with_bytes};
use crate::harness::node::Node;
use crate::harness::rest::register;
use crate::harness::scripts;

#[tokio::test]
async fn python_talks_in_json() {
    python_talks("json").await;
}

#[tokio::test]
async fn python_talks_in_messagepack() {
    python_talks("msgpack").await;
}

async fn python_talks(codec: &str) {
    let python = scripts::python("pyenv");
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;

    let child = tokio::process::Command::new(python)
        .arg(scripts::folder("talk.py"))
        .arg(format!("ws://{}/ws", node.address))
        .args([codec, &room.slug, &ada.token, &bob.token])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = child.await.expect("the client runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("the client's report");

    assert_eq!(report["subprotocol"], format!("hubbub.{codec}.v1"));
    assert_eq!(report["joined"]["room"], room.id.as_str());
    let mut page = bob.page(&room.id, "").await;
    if codec == "msgpack" {
        let messages = page["messages"].as_array_mut().expect("a list");
        messages.iter_mut().for_each(with_bytes);
    }
    assert_eq!(report["history"], page);
    let stored = page["messages"].as_array().expect("a list");
    assert_eq!(stored.len(), 3);
    let first = if codec == "msgpack" {
        bin(b"\x00\x80\xff")
    } else {
        json!("hello")
    };
    assert_eq!(stored[0]["body"], first);
    assert_eq!(report["seen"][0], report["seen"][1]);
    for (n, message) in stored.iter().enumerate() {
        for field in ["seq", "msg_no", "id", "created_at"] {
            assert_eq!(report["acks"][n][field], message[field]);
        }
        for field in ["seq", "id", "user_id", "body", "client_id"] {
            assert_eq!(report["seen"][0][n][field], message[field]);
        }
    }
    assert_eq!(stored[1]["body"], "g\u{fc}nstig \u{1f600} \u{2028}");
    assert_eq!(
        report["event"]["data"],
        json!({ "x": [1, 2.5, null], "bytes": bin(b"\x00\xff") })
    );
    assert_eq!(report["event"]["user_id"], ada.id.as_str());
    assert_eq!(report["presence"]["count"], 2);
    assert_eq!(report["pieces_reply"], json!({ "id": "pieces", "ok": {} }));
    assert_eq!(report["garbage_reply"]["err"]["code"], "invalid_request");
    assert_eq!(report["close_codes"], json!([1000, 1003]));
}
