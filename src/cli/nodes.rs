//! `hubbub nodes`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::output::{line, table};
use super::{CliError, load, unanswered};
use crate::app::{self, NodeLine};

pub(super) const HELP: &str = "\
Lists the nodes of the database that may be running, by name. A node renews its lease of 10 s every
2 s; one whose lease is over is dead, frozen or cut off from Postgres, and is listed for an hour.
Each is asked how many connections it has now; of one that does not answer the last known number is
shown with a question mark, and why at the end.

STATE is serving, draining or drained; BUS is the way that events take to other nodes: local (no
Redis is configured), redis, or fallback (it is away). PEERS is where other nodes find it.

Examples:
  hubbub nodes
  hubbub nodes --json                            one object a line

Exit codes: 0 all have answered, 1 one has not, or it went wrong, 2 the arguments or the settings are wrong.";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON object a line, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(file: Option<&Path>, arguments: &Arguments) -> Result<(), CliError> {
    let config = load(file)?;
    let nodes = app::nodes(&config)?;
    if arguments.json {
        for node in &nodes {
            line(&object(node).to_string());
        }
    } else {
        let head = [
            "NODE",
            "LIFE",
            "STATE",
            "LEASE",
            "BUS",
            "CONNECTIONS",
            "CLIENTS",
            "PEERS",
        ];
        table(&head, nodes.iter().map(row));
    }
    let silent = nodes.iter().filter_map(|node| {
        let error = node.connections.as_ref().err()?;
        Some((&*node.peer.origin.node, error.as_str()))
    });
    unanswered(nodes.len(), silent)
}

fn row(node: &NodeLine) -> [String; 8] {
    let peer = &node.peer;
    let lease = if peer.lease_left_s > 0.0 {
        format!("{:.0} s", peer.lease_left_s)
    } else {
        format!("over for {:.0} s", -peer.lease_left_s)
    };
    let connections = match node.connections {
        Ok(count) => count.to_string(),
        Err(_) => format!("{}?", peer.connections),
    };
    [
        peer.origin.node.to_string(),
        peer.origin.incarnation.to_string(),
        peer.state.as_str().to_owned(),
        lease,
        peer.bus_state.clone(),
        connections,
        peer.http_address.clone(),
        peer.address.clone(),
    ]
}

fn object(node: &NodeLine) -> Value {
    let peer = &node.peer;
    json!({
        "node": &*peer.origin.node,
        "incarnation": peer.origin.incarnation,
        "state": peer.state.as_str(),
        "bus_state": peer.bus_state,
        "lease_left_s": peer.lease_left_s,
        "started_at": peer.started_at,
        "http_address": peer.http_address,
        "address": peer.address,
        "connections": node.connections.as_ref().ok(),
        "connections_last_known": peer.connections,
        "unanswered": node.connections.as_ref().err(),
    })
}
