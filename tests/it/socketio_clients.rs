//! Official clients of Socket.IO, old and new, through nginx to three nodes without affinity: they
//! connect, talk, lose their connection, lose their node, and miss nothing.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::harness::DEADLINE;
use crate::harness::engineio::Place;
use crate::harness::nginx::{Nginx, kept_port};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::redis::Redis;
use crate::harness::rest::{User, register_at};
use crate::harness::scripts;

/// How a client is started.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// npm's `socket.io-client`, of this version, and its parser.
    Node(u8, &'static str),
    /// Python's `python-socketio`, of this version.
    Python(u8),
}

/// One run of a client's script.
#[derive(Clone, Copy, Debug)]
struct Run {
    client: Client,
    transports: &'static [&'static str],
    /// Whether it recovers by itself.
    recovers: bool,
}

const POLLING: &[&str] = &["polling"];
const WEBSOCKET: &[&str] = &["websocket"];
const UPGRADE: &[&str] = &["polling", "websocket"];

const fn run(client: Client, transports: &'static [&'static str], recovers: bool) -> Run {
    Run {
        client,
        transports,
        recovers,
    }
}

#[tokio::test]
async fn the_newest_npm_client_misses_nothing() {
    let client = Client::Node(4, "json");
    miss_nothing(&[
        run(client, UPGRADE, true),
        run(client, WEBSOCKET, true),
        run(client, POLLING, true),
    ])
    .await;
}

#[tokio::test]
async fn the_newest_npm_client_in_messagepack_misses_nothing() {
    let client = Client::Node(4, "msgpack");
    miss_nothing(&[
        run(client, UPGRADE, true),
        run(client, WEBSOCKET, true),
        run(client, POLLING, true),
    ])
    .await;
}

#[tokio::test]
async fn older_npm_clients_miss_nothing() {
    miss_nothing(&[
        run(Client::Node(3, "json"), UPGRADE, false),
        run(Client::Node(3, "json"), POLLING, false),
        run(Client::Node(3, "json"), WEBSOCKET, false),
        run(Client::Node(2, "json"), UPGRADE, false),
        run(Client::Node(2, "json"), POLLING, false),
        run(Client::Node(2, "json"), WEBSOCKET, false),
    ])
    .await;
}

#[tokio::test]
async fn python_misses_nothing() {
    miss_nothing(&[
        run(Client::Python(5), UPGRADE, false),
        run(Client::Python(5), WEBSOCKET, false),
        run(Client::Python(4), UPGRADE, false),
        run(Client::Python(4), WEBSOCKET, false),
    ])
    .await;
}

/// A deploy: each node in turn, also that of a session and that by which its client comes to it.
#[tokio::test]
async fn clients_miss_nothing_of_a_rolling_restart() {
    for run in [
        run(Client::Node(4, "json"), UPGRADE, true),
        run(Client::Node(4, "json"), POLLING, true),
        run(Client::Python(5), UPGRADE, false),
    ] {
        println!("{run:?}");
        talk(run, End::AllStop).await;
    }
}

/// What becomes of the nodes while they talk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// That of Bob's session is killed.
    OneIsKilled,
    /// All are stopped and started again, one after the other.
    AllStop,
}

async fn miss_nothing(runs: &[Run]) {
    for run in runs {
        println!("{run:?}");
        talk(*run, End::OneIsKilled).await;
    }
}

/// Nodes of one database, `node-1` and so on.
async fn nodes(count: usize, settings: &[(&str, &str)]) -> (Vec<Node>, TestDatabase) {
    let database = postgres::database().await;
    let mut nodes = Vec::new();
    for number in 1..=count {
        let options = NodeOptions::on(&database.url)
            .set("HUBBUB__NODE__ID", &format!("node-{number}"))
            .set("HUBBUB__HTTP__BIND", &format!("127.0.0.1:{}", kept_port()))
            .set("HUBBUB__HTTP__DRAIN_MS", "300")
            .set("HUBBUB__HTTP__TRUSTED_PROXIES", "127.0.0.1/32");
        let set = |options: NodeOptions, (key, value): &(&str, &str)| options.set(key, value);
        nodes.push(Node::start(settings.iter().fold(options, set)).await);
    }
    (nodes, database)
}

fn addresses(nodes: &[Node]) -> Vec<std::net::SocketAddr> {
    nodes.iter().map(|it| it.address.parse().unwrap()).collect()
}

/// How many requests a node has passed on.
async fn passed_on(node: &Node) -> u64 {
    let mut count = 0;
    for request in ["poll", "post", "upgrade"] {
        let name = format!(
            r#"socketio_requests_total{{outcome="ok",request="{request}",way="passed_on"}}"#
        );
        count += node.metric(&name).await;
    }
    count
}

/// nginx goes by the name with which a session's id begins.
#[tokio::test]
async fn nginx_prefers_the_node_of_the_session() {
    let (nodes, _database) = nodes(2, &[("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true")]).await;
    let nginx = Nginx::before(addresses(&nodes)).await;
    let place = Place::new(&nginx.address, "/socket.io/", 4);
    let mut homes = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let session = place.open().await;
        homes.insert(session.sid.split('~').next().unwrap().to_owned());
        assert_eq!(session.post("40").await.ok(), "ok");
        assert!(session.get().await.ok().starts_with("40{"));
        session.upgrade().await;
    }
    assert_eq!(homes.len(), 2, "both had some: {homes:?}");
    for node in &nodes {
        assert_eq!(passed_on(node).await, 0);
    }
}

async fn talk(run: Run, end: End) {
    let redis = Redis::start().await;
    let (mut nodes, _database) = nodes(3, &[("REDIS_URL", &redis.url())]).await;
    let nginx = Nginx::without_affinity(addresses(&nodes)).await;
    let ada = register_at(&nginx.address, "ada").await;
    let bob = register_at(&nginx.address, "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let mut script = Script::start(run, &nginx.address, &room.slug, [&ada, &bob]);

    let joined = script.step("joined").await;
    let last = run.transports[run.transports.len() - 1];
    assert_eq!(joined["transports"], json!([last, last]));
    let talked = script.step("talked").await;
    let dropped = script.step("dropped").await;
    assert_eq!(dropped["recovered"], run.recovers, "{run:?}");

    let kill = script.step("kill").await;
    let mut passed = 0;
    for node in &nodes {
        passed += passed_on(node).await;
    }
    // A session that began as a WebSocket has no further requests.
    assert_eq!(
        passed == 0,
        run.transports == WEBSOCKET,
        "{run:?}: {passed}"
    );
    let name = kill["node"].as_str().unwrap();
    let number: usize = name.strip_prefix("node-").unwrap().parse().unwrap();
    match end {
        End::OneIsKilled => {
            nodes[number - 1].kill9();
            for n in 0..10 {
                say_until_taken(&ada, &room.id, n).await;
            }
        }
        End::AllStop => {
            for (n, node) in nodes.iter_mut().enumerate() {
                say_until_taken(&ada, &room.id, 3 * n).await;
                node.terminate();
                say_until_taken(&ada, &room.id, 3 * n + 1).await;
                assert!(node.wait_exit().await.success());
                say_until_taken(&ada, &room.id, 3 * n + 2).await;
                let log = node.log().text();
                assert!(!log.contains("the grace time is over"), "{log}");
                assert!(!log.contains("not answered in time"), "{log}");
                node.restart().await;
            }
            say_until_taken(&ada, &room.id, 9).await;
        }
    }
    script.go_on().await;
    let killed = script.step("killed").await;
    assert_eq!(killed["recovered"], run.recovers, "{run:?}");
    let done = script.step("done").await;
    script.ends().await;

    // All of it, in order, once, for both.
    let stored = ada.history(&room.id).await;
    let expected = scripts::as_scripts_tell(&stored);
    assert_eq!(expected.len(), 16, "{expected:?}");
    for person in done["people"].as_array().unwrap() {
        assert_eq!(person["messages"], json!(expected), "{run:?}: {done:#}");
        assert_eq!(person["gaps"], json!([]), "{run:?}");
    }
    for (ack, message) in talked["acks"].as_array().unwrap().iter().zip(&stored) {
        assert_eq!(ack["seq"], message["seq"]);
        assert_eq!(ack["msg_no"], message["msg_no"]);
    }
}

/// What is said while a node is away: nginx may still ask that one.
async fn say_until_taken(user: &User, room: &str, n: usize) {
    let key = format!("meanwhile-{n}");
    crate::harness::eventually("it is said", async || {
        let answer = user.say(room, &key, &key).await;
        (answer.status < 300).then_some(())
    })
    .await;
}

/// The client's script.
struct Script {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(run: Run, address: &str, room: &str, people: [&User; 2]) -> Self {
        let (client, parser) = match run.client {
            Client::Node(client, parser) => (client, parser),
            Client::Python(client) => (client, "json"),
        };
        let settings = json!({
            "client": client,
            "url": format!("http://{address}"),
            "transports": run.transports,
            "parser": parser,
            "room": room,
            "tokens": people.map(|it| it.token.clone()),
        });
        let mut command = command(run.client);
        let mut child = command
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the client runs");
        let output = child.stdout.take().expect("its output");
        Self {
            input: child.stdin.take().expect("its input"),
            output: BufReader::new(output).lines(),
            child,
        }
    }

    /// The next step, which must be this one.
    async fn step(&mut self, name: &str) -> Value {
        let line = timeout(2 * DEADLINE, self.output.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{name} is never reached"));
        let line = line
            .expect("output")
            .unwrap_or_else(|| panic!("it ended before {name}"));
        let step: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(step["step"], name, "{step}");
        step
    }

    async fn go_on(&mut self) {
        self.input.write_all(b"\n").await.expect("it listens");
    }

    async fn ends(mut self) {
        let status = timeout(DEADLINE, self.child.wait()).await;
        assert!(status.expect("it ends").expect("a status").success());
    }
}

fn command(client: Client) -> Command {
    let (program, script) = match client {
        Client::Node(..) => {
            let folder = scripts::of_node("socketio");
            (PathBuf::from("node"), folder.join("talk.mjs"))
        }
        Client::Python(version) => {
            let python = scripts::python(&format!("pyenv-socketio{version}"));
            (python, scripts::folder("socketio").join("talk.py"))
        }
    };
    let mut command = Command::new(program);
    command.arg(script);
    command
}
