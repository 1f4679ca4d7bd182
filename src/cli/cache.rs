//! `hubbub cache`.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::output::{line, table};
use super::{CliError, load, unanswered};
use crate::app::{self, NodeCopies};

pub(super) const HELP: &str = "\
Nodes keep copies of rooms, members, messages and users, which they drop by themselves when something
has changed. A room is named by its id or its slug.

Examples:
  hubbub cache stats                             how much of it each node has, and how often it helped
  hubbub cache stats --json
  hubbub cache inspect general                   each node's copies of a room
  hubbub cache drop general                      have every node read that room again
  hubbub cache drop --all

Exit codes: 0 done (all nodes have answered), 1 not, 2 the arguments or the settings are wrong.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say how much each node has, and how often it helped since the node has started
    Stats {
        /// One JSON object a line, for programs
        #[arg(long)]
        json: bool,
    },
    /// List each node's copies of a room
    Inspect {
        /// The room, by id or slug
        room: String,

        /// At most so many of each node
        #[arg(long, value_name = "COUNT", default_value_t = 100,
              value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,

        /// One JSON object a line, for programs
        #[arg(long)]
        json: bool,
    },
    /// Have every node read a room again, or everything
    Drop {
        /// The room, by id or slug
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        room: Option<String>,

        /// All copies
        #[arg(long)]
        all: bool,
    },
}

pub(super) fn run(file: Option<&Path>, command: &Command) -> Result<(), CliError> {
    let config = load(file)?;
    match command {
        Command::Stats { json } => {
            let nodes = app::copies(&config, None, 0)?;
            stats(&nodes, *json);
            silent(&nodes)
        }
        Command::Inspect { room, limit, json } => {
            let nodes = app::copies(&config, Some(room), *limit)?;
            inspect(&nodes, *json);
            silent(&nodes)
        }
        Command::Drop { room, .. } => {
            app::drop_copies(&config, room.as_deref())?;
            Ok(())
        }
    }
}

fn stats(nodes: &[NodeCopies], as_json: bool) {
    let answers = nodes
        .iter()
        .filter_map(|it| Some((&it.node, it.report.as_ref().ok()?)));
    if as_json {
        for (node, report) in answers {
            line(&json!({ "node": node, "report": report }).to_string());
        }
        return;
    }
    let head = ["NODE", "COPIES", "BYTES", "ROOMS", "SOUND", "HITS"];
    let rows = answers.map(|(node, report)| {
        let hits = report.kinds.iter().map(|kind| {
            let asked = kind.hits + kind.misses;
            let percent = (kind.hits * 100).checked_div(asked);
            let percent = percent.map_or_else(|| "-".to_owned(), |it| format!("{it} %"));
            format!("{} {percent}", kind.kind)
        });
        [
            node.clone(),
            report.entries.to_string(),
            report.bytes.to_string(),
            report.rooms.to_string(),
            if report.sound { "yes" } else { "no" }.to_owned(),
            hits.collect::<Vec<_>>().join(", "),
        ]
    });
    table(&head, rows);
}

fn inspect(nodes: &[NodeCopies], as_json: bool) {
    let copies = nodes.iter().flat_map(|node| {
        let report = node.report.as_ref().ok();
        let copies = report.map(|it| it.copies.as_slice()).unwrap_or_default();
        copies.iter().map(|copy| (&node.node, copy))
    });
    if as_json {
        for (node, copy) in copies {
            line(&json!({ "node": node, "copy": copy }).to_string());
        }
        return;
    }
    let head = ["NODE", "SEQ", "AGE", "BYTES", "HOLDS", "COPY"];
    let rows = copies.map(|(node, copy)| {
        [
            node.clone(),
            copy.seq.to_string(),
            format!("{} ms", copy.age_ms),
            copy.bytes.to_string(),
            if copy.holds { "yes" } else { "no" }.to_owned(),
            copy.key.clone(),
        ]
    });
    table(&head, rows);
}

/// An error if a node did not answer, naming each that did not.
fn silent(nodes: &[NodeCopies]) -> Result<(), CliError> {
    let silent = nodes.iter().filter_map(|it| {
        let error = it.report.as_ref().err()?;
        Some((it.node.as_str(), error.as_str()))
    });
    unanswered(nodes.len(), silent)
}
