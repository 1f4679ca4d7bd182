//! The client that the node serves, in a real browser, on a page of another origin: it talks with a
//! client in Python, and both see all that is said, once and in order.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::DEADLINE;
use crate::harness::browser::Site;
use crate::harness::engineio::polled;
use crate::harness::node::Node;
use crate::harness::rest::{http, register};
use crate::harness::scripts;

const ROUNDS: usize = 10;

#[tokio::test]
async fn a_page_with_the_served_client_talks_with_python() {
    let site = Site::new().await;
    let (node, _database) =
        Node::on_fresh_database_with(&[("HUBBUB__SOCKETIO__CORS_ORIGINS", &site.origin)]).await;
    let bundle = polled(http().get(node.url("/socket.io/socket.io.js"))).await;
    assert_eq!(
        bundle.status, 200,
        "the node was built without the browser's client: run `make setup`, then build again"
    );
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let settings = |token: &str| {
        let url = node.url("");
        json!({ "url": url, "room": room.slug, "token": token, "rounds": ROUNDS }).to_string()
    };

    let folder = scripts::folder("socketio");
    let mut other = Command::new(scripts::python("pyenv-socketio5"))
        .arg(folder.join("chat.py"))
        .arg(settings(&bob.token))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the client runs");
    let mut lines = BufReader::new(other.stdout.take().expect("its output")).lines();
    let mut line = async || {
        let line = timeout(2 * DEADLINE, lines.next_line()).await;
        line.expect("it says something in time").expect("output")
    };
    assert_eq!(line().await.as_deref(), Some("joined"));

    let page = std::fs::read_to_string(folder.join("chat.html")).expect("the page");
    let page = page.replace("= SETTINGS;", &format!("= {};", settings(&ada.token)));
    let report = site.visit(page).await;
    assert_eq!(report["failed"], Value::Null, "{report}");
    let said = line().await.expect("what was seen");
    let said: Value = serde_json::from_str(&said).expect("JSON");

    let stored = ada.history(&room.id).await;
    assert_eq!(stored.len(), 2 * ROUNDS + 2);
    let expected = scripts::as_scripts_tell(&stored);
    assert_eq!(report["messages"], json!(expected), "the page");
    assert_eq!(said, json!(expected), "Python");
    // Bytes came as such: those of Python, and the page's own.
    assert_eq!(report["kinds"], json!(["ArrayBuffer", "ArrayBuffer"]));
    assert_eq!(report["transport"], "websocket");
}
