//! Answers by copies: coherent on every node, shared by equal requests, and there when the database is
//! not.

mod coherence;
mod faults;
mod http;
mod operators;
mod redaction;
mod replicas;
mod rooms;
mod shared_pages;

use hubbub::protocol::cursor::{self, Position};
use hubbub::protocol::event::Epoch;
use hubbub::protocol::id::RoomId;
use reqwest::Method;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, Room, User, send};

/// Nodes on one database.
struct Cluster {
    nodes: Vec<Node>,
    database: TestDatabase,
}

impl Cluster {
    async fn new(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let mut started = Vec::new();
        for _ in 0..nodes {
            let options = settings
                .iter()
                .fold(NodeOptions::on(&database.url), |options, (name, value)| {
                    options.set(name, value)
                });
            started.push(Node::start(options).await);
        }
        Self {
            nodes: started,
            database,
        }
    }
}

/// What somebody has seen of a room, as `Hubbub-Min-Cursor` says it.
fn seen(room: &Room, seq: u64) -> String {
    seen_of(&[(room, seq)])
}

/// The same of several rooms.
fn seen_of(rooms: &[(&Room, u64)]) -> String {
    let position = |&(room, seq): &(&Room, u64)| Position {
        room_id: RoomId(room.id.parse().unwrap()),
        epoch: Epoch(i32::try_from(room.epoch).unwrap()),
        seq,
    };
    let positions: Vec<_> = rooms.iter().map(position).collect();
    cursor::encode(&positions).unwrap()
}

async fn get_with(user: &User, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers
        .iter()
        .fold(user.request(Method::GET, path), |request, (name, value)| {
            request.header(*name, *value)
        });
    send(request).await
}

fn messages(room: &Room) -> String {
    format!("/api/rooms/{}/messages", room.id)
}

fn cached(answer: &Answer) -> &str {
    answer.header("x-cache").unwrap_or("none")
}

/// How often a statement was run by a node.
async fn queries(node: &Node, statement: &str) -> u64 {
    let name = format!("database_query_duration_seconds_count{{query=\"{statement}\"}}");
    node.metric(&name).await
}
