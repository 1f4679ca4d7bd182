//! Nodes that ask each other: the channel between them, what they tell of their connections,
//! tickets that another has given, and an operator's commands.

mod channel;
mod clock;
mod connections;
mod given_up;
mod orders;
mod passing;
mod resume;
mod tickets;

use std::process::Output;

use hubbub::peers::seal::{self, Claims, REQUEST_HEADER};
use hubbub::protocol::origin::Origin;
use hubbub::store::cluster::Secret;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};

/// Nodes `node-a`, `node-b` and so on, of one database.
struct Cluster {
    nodes: Vec<Node>,
    database: TestDatabase,
}

impl Cluster {
    async fn start(count: usize, settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let mut nodes = Vec::new();
        for name in ["node-a", "node-b", "node-c"].into_iter().take(count) {
            let options = NodeOptions::on(&database.url).set("HUBBUB__NODE__ID", name);
            let set = |options: NodeOptions, (key, value): &(&str, &str)| options.set(key, value);
            nodes.push(Node::start(settings.iter().fold(options, set)).await);
        }
        Self { nodes, database }
    }

    /// Where a node's channel is, and in which life the node.
    async fn channel(&self, name: &str) -> Listener {
        let sql = self.database.connect().await;
        let query = "SELECT address, incarnation, secret, extract(epoch FROM now())::float8
            FROM nodes, cluster_secret WHERE id = $1";
        let row = sql.query_one(query, &[&name]).await.expect("a node");
        let (incarnation, now): (i64, f64) = (row.get(1), row.get(3));
        let secret: Vec<u8> = row.get(2);
        #[allow(clippy::cast_possible_truncation, reason = "it is a time")]
        let time_us = (now * 1e6) as i64;
        Listener {
            address: row.get(0),
            origin: Origin {
                node: name.into(),
                incarnation: u64::try_from(incarnation).expect("it counts"),
            },
            secret: Secret(secret.try_into().expect("32 bytes")),
            time_us,
        }
    }

    /// Runs the binary as an operator does, beside the first node.
    async fn run(&self, arguments: &[&str]) -> Said {
        let options = NodeOptions::on(&self.database.url);
        let mut command = options.command(arguments);
        let running = tokio::task::spawn_blocking(move || command.output());
        let output: Output = running.await.expect("it runs").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// What a command has said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }
}

/// A node's channel, as who has the secret sees it.
struct Listener {
    address: String,
    origin: Origin,
    secret: Secret,
    /// Now, by Postgres's clock.
    time_us: i64,
}

const CONNECTIONS: &str = "/peer/connections";
const NOBODY: &[u8] = br#"{"user_id":null,"limit":10}"#;

impl Listener {
    fn claims(&self, body: &[u8]) -> Claims {
        Claims {
            from: Origin {
                node: "test".into(),
                incarnation: 1,
            },
            to: self.origin.clone(),
            time_us: self.time_us,
            nonce: rand::random(),
            digest: seal::digest(body),
        }
    }

    fn header(&self, claims: &Claims, path: &str) -> String {
        claims.seal(&self.secret, "POST", path).0
    }

    /// Sends it with this header: status and code.
    async fn send(&self, path: &str, header: &str, body: &[u8]) -> (u16, String) {
        let request = reqwest::Client::new()
            .post(format!("http://{}{path}", self.address))
            .header(REQUEST_HEADER, header)
            .body(body.to_vec());
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.expect("JSON");
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}
