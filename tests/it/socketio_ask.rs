//! Events that one client is to acknowledge: official clients answer, are silent, go, and answer what
//! they were not asked.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::harness::DEADLINE;
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, Room, User, register};
use crate::harness::scripts;
use crate::harness::socket::Socket;

/// Nodes of one database, and one person in a room.
struct Scene {
    nodes: Vec<Node>,
    _database: TestDatabase,
    ada: User,
    room: Room,
}

async fn scene(count: usize, settings: &[(&str, &str)]) -> Scene {
    let database = postgres::database().await;
    let mut nodes = Vec::new();
    for number in 1..=count {
        let options =
            NodeOptions::on(&database.url).set("HUBBUB__NODE__ID", &format!("node-{number}"));
        let set = |options: NodeOptions, (key, value): &(&str, &str)| options.set(key, value);
        nodes.push(Node::start(settings.iter().fold(options, set)).await);
    }
    let ada = register(&nodes[0], "ada").await;
    let room = ada.create_room("general").await;
    Scene {
        nodes,
        _database: database,
        ada,
        room,
    }
}

/// A client on the first node, which has come into the room.
struct Client {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its connection.
    id: String,
}

impl Client {
    async fn start(scene: &Scene, client: u8, parser: &str, transport: &str) -> Self {
        let folder = scripts::of_node("socketio");
        let settings = json!({
            "client": client,
            "url": scene.nodes[0].url(""),
            "transports": [transport],
            "parser": parser,
            "room": scene.room.id,
            "token": scene.ada.token,
        });
        let mut child = Command::new("node")
            .arg(folder.join("ask.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the client runs");
        let output = child.stdout.take().expect("its output");
        let mut client = Self {
            _child: child,
            lines: BufReader::new(output).lines(),
            id: String::new(),
        };
        assert_eq!(client.line().await, "joined");
        // The one before may be on its way out.
        client.id = crate::harness::eventually("it is the only one", async || {
            let listed = scene.ada.get("/api/auth/connections").await.ok();
            let all = listed["connections"].as_array().unwrap();
            (all.len() == 1).then(|| crate::harness::rest::text(&all[0]["id"]))
        })
        .await;
        client
    }

    async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await;
        let line = line.expect("it says something in time").expect("output");
        line.expect("it goes on")
    }

    fn path(&self) -> String {
        format!("/api/auth/connections/{}/ask", self.id)
    }

    async fn ask(&self, who: &User, question: &Value) -> Answer {
        who.post(&self.path(), question).await
    }

    /// The connection has come to no harm.
    async fn answers(&self, who: &User) {
        let said = self.ask(who, &json!({ "name": "nothing" })).await;
        assert_eq!(said.ok(), json!({ "args": [] }));
    }
}

async fn asked(node: &Node, outcome: &str) -> u64 {
    let name = format!(r#"socketio_asked_total{{outcome="{outcome}"}}"#);
    node.metric(&name).await
}

#[tokio::test]
async fn clients_answer_by_their_acknowledgement_wherever_they_are_asked() {
    let scene = scene(2, &[]).await;
    let data = json!({ "a": [1, 2.5, null, "\u{1f600}"], "b": "text" });
    for (version, parser, transport) in [
        (4, "json", "websocket"),
        (4, "json", "polling"),
        (4, "msgpack", "websocket"),
        (2, "json", "polling"),
    ] {
        let mut client = Client::start(&scene, version, parser, transport).await;
        for node in &scene.nodes {
            let who = scene.ada.at(node);
            let mut offsets = Vec::new();
            for _ in 0..2 {
                let question = json!({ "name": "echo", "data": data });
                let said = client.ask(&who, &question).await.ok();
                assert_eq!(said["args"][0], data, "{version} {parser} {transport}");
                offsets.push(said["args"][1].clone());
            }
            // What is asked is nowhere to come back to.
            assert_eq!(offsets[0], offsets[1]);
            assert_eq!(offsets[0].is_string(), version == 4, "{offsets:?}");
            let said = client.ask(&who, &json!({ "name": "bytes" })).await.ok();
            assert_eq!(said, json!({ "args": [{ "$bin": "AP8=" }] }));
        }
        client.answers(&scene.ada).await;
        let ended = scene.ada.delete(&client.path().replace("/ask", "")).await;
        assert_eq!(ended.status, 204);
        client.line().await;
    }
    assert!(asked(&scene.nodes[0], "answered").await >= 4 * 7);
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_waited_for_no_longer() {
    let scene = scene(2, &[("HUBBUB__SOCKETIO__ACK_TIMEOUT_MS", "300")]).await;
    let mut client = Client::start(&scene, 4, "json", "websocket").await;
    for (n, node) in scene.nodes.iter().enumerate() {
        for question in [
            json!({ "name": "silent" }),
            json!({ "name": "silent", "timeout_ms": 50 }),
            json!({ "name": "silent", "timeout_ms": 3_600_000 }),
        ] {
            let said = client.ask(&scene.ada.at(node), &question).await;
            let problem = said.problem(504, "ack_timeout");
            assert_eq!(problem["retry"], true, "{n}: {problem}");
            assert_eq!(client.line().await, "silent");
        }
    }
    // It answers after all, when nobody waits.
    let mut other = Socket::connect(&scene.nodes[0], &scene.ada).await;
    let event = json!({ "room": scene.room.id, "name": "now", "data": 1 });
    let said = other.request("emit", event).await;
    assert!(said["ok"].is_object(), "{said}");
    eventually("the late one is counted", async || {
        (asked(&scene.nodes[0], "late").await == 1).then_some(())
    })
    .await;
    client.answers(&scene.ada).await;
}

#[tokio::test]
async fn who_goes_without_an_answer_is_gone_at_once() {
    let scene = scene(2, &[]).await;
    for node in &scene.nodes {
        let mut client = Client::start(&scene, 4, "json", "websocket").await;
        let question = json!({ "name": "leave" });
        let said = client.ask(&scene.ada.at(node), &question).await;
        said.problem(404, "connection_not_found");
        assert_eq!(client.line().await, "io client disconnect");
        let said = client.ask(&scene.ada.at(node), &question).await;
        said.problem(404, "connection_not_found");
    }
}

#[tokio::test]
async fn the_first_acknowledgement_counts() {
    let scene = scene(1, &[]).await;
    let client = Client::start(&scene, 4, "json", "websocket").await;
    let said = client.ask(&scene.ada, &json!({ "name": "twice" })).await;
    assert_eq!(said.ok(), json!({ "args": ["first"] }));
    client.answers(&scene.ada).await;
}

#[tokio::test]
async fn an_acknowledgement_that_was_never_asked_for_ends_the_connection() {
    let scene = scene(1, &[]).await;
    let mut client = Client::start(&scene, 4, "json", "websocket").await;
    let said = client.ask(&scene.ada, &json!({ "name": "unasked" })).await;
    said.problem(404, "connection_not_found");
    // It is put out, and stays away.
    assert_eq!(client.line().await, "io server disconnect");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let scene = scene(1, &[]).await;
    let node = &scene.nodes[0];
    let client = Client::start(&scene, 4, "json", "websocket").await;
    // Of others, and what does not speak Socket.IO.
    let bob = register(node, "bob").await;
    let said = client.ask(&bob, &json!({ "name": "echo" })).await;
    said.problem(404, "connection_not_found");
    let native = Socket::connect(node, &bob).await;
    let listed = bob.get("/api/auth/connections").await.ok();
    let id = crate::harness::rest::text(&listed["connections"][0]["id"]);
    let path = format!("/api/auth/connections/{id}/ask");
    let said = bob.post(&path, &json!({ "name": "echo" })).await;
    said.problem(404, "connection_not_found");
    drop(native);
    // Bad questions.
    for bad in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "a\nb" }),
        json!({ "name": "x".repeat(65) }),
        json!({ "name": "echo", "timeout_ms": 0 }),
    ] {
        let said = client.ask(&scene.ada, &bad).await;
        said.problem(400, "invalid_request");
    }
    let long = json!({ "name": "echo", "data": "x".repeat(65_536) });
    client
        .ask(&scene.ada, &long)
        .await
        .problem(413, "too_large");
    let question = json!({ "name": "long", "data": 65_536 });
    let said = client.ask(&scene.ada, &question).await;
    said.problem(413, "too_large");
}

/// Of one client, and by the node.
#[tokio::test]
async fn so_many_acknowledgements_are_awaited_at_once() {
    for bound in ["MAX_AWAITED_ACKS", "MAX_ASKS"] {
        let key = format!("HUBBUB__SOCKETIO__{bound}");
        let scene = scene(1, &[(&key, "1")]).await;
        let mut client = Client::start(&scene, 4, "json", "websocket").await;
        let first = scene.ada.request(Method::POST, &client.path());
        let first = tokio::spawn(first.json(&json!({ "name": "silent" })).send());
        assert_eq!(client.line().await, "silent");
        let said = client.ask(&scene.ada, &json!({ "name": "nothing" })).await;
        said.problem(503, "overloaded");
        first.abort();
        // Who waits no longer takes no place.
        eventually("it is forgotten", async || {
            let said = client.ask(&scene.ada, &json!({ "name": "nothing" })).await;
            (said.status == 200).then_some(())
        })
        .await;
    }
}
