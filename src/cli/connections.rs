//! `hubbub connections`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::output::{aside, line, table};
use super::{CliError, load, unanswered};
use crate::app::{self, NodeConnections};
use crate::protocol::connection::ConnectionState;

pub(super) const HELP: &str = "\
Asks all nodes who is connected to them. Of each node the newest are listed, at most 500; how many
there are in all is said at the end, with the nodes that did not answer: what is connected to those
is not known. With --json, what is not listed is said on standard error.

Examples:
  hubbub connections                             of everybody
  hubbub connections --user ada
  hubbub connections --user ada --json           one object a line

Exit codes: 0 all nodes have answered, 1 one has not, or it went wrong, 2 the arguments or the settings are wrong.";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Those of this user alone, by name or id
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// At most so many of each node
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,

    /// One JSON object a line, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(file: Option<&Path>, arguments: &Arguments) -> Result<(), CliError> {
    let config = load(file)?;
    let nodes = app::connections(&config, arguments.user.as_deref(), arguments.limit)?;
    let answers = nodes.iter().filter_map(|it| it.connections.as_ref().ok());
    let connections: Vec<_> = answers.clone().flat_map(|it| &it.connections).collect();
    if arguments.json {
        for connection in &connections {
            line(&json!(connection).to_string());
        }
        cut(&nodes);
    } else {
        let head = ["CONNECTION", "USER", "OPEN", "OVER", "FROM", "ROOMS"];
        table(&head, connections.iter().copied().map(row));
        let total: u64 = answers.map(|it| it.total).sum();
        line(&format!(
            "{total} connection(s), {} listed",
            connections.len()
        ));
    }
    silent(&nodes)
}

/// Says of which nodes more is connected than was listed.
fn cut(nodes: &[NodeConnections]) {
    for node in nodes {
        let Ok(list) = &node.connections else {
            continue;
        };
        let listed = list.connections.len();
        if list.total > listed as u64 {
            let (total, node) = (list.total, &node.node);
            aside(&format!(
                "only {listed} of {total} connection(s) of {node} are listed"
            ));
        }
    }
}

/// An error if a node did not answer, naming each that did not.
pub(super) fn silent(nodes: &[NodeConnections]) -> Result<(), CliError> {
    let silent = nodes.iter().filter_map(|it| {
        let error = it.connections.as_ref().err()?;
        Some((it.node.as_str(), error.as_str()))
    });
    unanswered(nodes.len(), silent)
}

pub(super) fn row(connection: &ConnectionState) -> [String; 6] {
    let user = connection.user_id.map(|it| it.to_string());
    [
        connection.id.to_string(),
        user.unwrap_or_else(|| "nobody yet".to_owned()),
        format!("{} s", connection.open_s),
        connection.transport.as_str().to_owned(),
        connection.address.to_string(),
        connection.rooms.len().to_string(),
    ]
}
