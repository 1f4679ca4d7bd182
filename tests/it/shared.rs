//! What nodes share by Redis besides events: sessions that were found, and limits.

mod clocks;
mod cluster;
mod limits;
mod links;
mod script;
mod sessions;

use std::time::Instant;

use redis::aio::MultiplexedConnection;
use reqwest::Method;
use serde_json::json;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, User, http, register, send};

/// Two nodes with one Redis. The machine may be slow: their calls have time.
struct Scene {
    here: Node,
    there: Node,
    database: TestDatabase,
}

const PATIENT: (&str, &str) = ("HUBBUB__REDIS__CALL_TIMEOUT_MS", "10000");

/// Nothing is exempt, so that tests are limited.
const LIMITED: (&str, &str) = ("HUBBUB__LIMITS__EXEMPT", "10.9.0.0/16");

/// Ten writes a minute.
const TEN: (&str, &str) = ("HUBBUB__LIMITS__WRITES_PER_MIN", "10");

impl Scene {
    async fn new(redis_url: &str, settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let options = || {
            let options = NodeOptions::on(&database.url)
                .set("REDIS_URL", redis_url)
                .set(PATIENT.0, PATIENT.1);
            let set = |options: NodeOptions, (name, value): &(&str, &str)| options.set(name, value);
            settings.iter().fold(options, set)
        };
        let here = Node::start(options()).await;
        let there = Node::start(options()).await;
        let scene = Self {
            here,
            there,
            database,
        };
        for node in [&scene.here, &scene.there] {
            is_asked(node).await;
        }
        scene
    }
}

/// How many of ten a minute may have dripped since, and one that was on its way.
fn dripped(began: Instant) -> usize {
    usize::try_from(began.elapsed().as_secs() / 6 + 1).expect("not so long")
}

/// How many of so many writes pass, at the nodes in turn.
async fn passing(nodes: &[&Node], user: &User, n: usize) -> usize {
    let mut passed = 0;
    for (number, node) in nodes.iter().cycle().take(n).enumerate() {
        let answer = write(node, user, number).await;
        match answer.status {
            201 => passed += 1,
            429 => {}
            other => panic!("{other}: {}", answer.text),
        }
    }
    passed
}

/// Waits until a node asks its Redis.
async fn is_asked(node: &Node) {
    eventually("the node asks Redis", async || {
        let user = User::nobody(node);
        let before = calls(node, "ok").await;
        user.get("/api/rooms").await;
        (calls(node, "ok").await > before).then_some(())
    })
    .await;
}

async fn calls(node: &Node, outcome: &str) -> u64 {
    let name = format!("redis_calls_total{{outcome=\"{outcome}\",purpose=\"sessions\"}}");
    node.metric(&name).await
}

/// What was found when sessions were looked for in Redis.
async fn found(node: &Node, result: &str) -> u64 {
    let name = format!("auth_shared_sessions_total{{result=\"{result}\"}}");
    node.metric(&name).await
}

/// The status of a read with a user's token.
async fn status(node: &Node, user: &User) -> u16 {
    let request = http().get(node.url("/api/rooms"));
    send(request.bearer_auth(&user.token)).await.status
}

async fn logout(node: &Node, user: &User) {
    let request = http().post(node.url("/api/auth/logout"));
    assert_eq!(send(request.bearer_auth(&user.token)).await.status, 204);
}

/// A write of a user at a node.
async fn write(node: &Node, user: &User, number: usize) -> Answer {
    let body = json!({ "name": format!("room {number}") });
    let request = user.at(node).request(Method::POST, "/api/rooms");
    send(request.json(&body)).await
}

/// All keys of this kind.
async fn keys(connection: &mut MultiplexedConnection, kind: &str) -> Vec<String> {
    let pattern = format!("hubbub:{kind}:*");
    let mut command = redis::cmd("KEYS");
    let keys = connection.send_packed_command(command.arg(pattern)).await;
    redis::from_redis_value(keys.expect("keys")).expect("names")
}

/// A user whose session is in Redis, and remembered by no node but `by`.
async fn shared_user(
    by: &Node,
    name: &str,
    connection: &mut MultiplexedConnection,
) -> (User, String) {
    let before = keys(connection, "session").await;
    let user = register(by, name).await;
    eventually("the session is in Redis", async || {
        assert_eq!(status(by, &user).await, 200);
        let now = keys(connection, "session").await;
        now.into_iter().find(|key| !before.contains(key))
    })
    .await;
    let now = keys(connection, "session").await;
    let key = now.into_iter().find(|key| !before.contains(key));
    (user, key.expect("its key"))
}
