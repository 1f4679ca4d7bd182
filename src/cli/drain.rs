//! `hubbub drain`.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::output::line;
use super::{CliError, load};
use crate::app::{self, DrainTarget};

pub(super) const HELP: &str = "\
The node goes off the list of those that are ready, tells its clients one after the other (over
http.drain_ms) to move with their cursors, and takes no new sockets and no joins. It goes on serving
REST and publishes until it is stopped; nothing that was acknowledged is lost. The order is for the
life that the node has now: after a restart it serves again.

The database is that of database.url (DATABASE_URL), or the one that a node runs in node.data_dir.

Examples:
  hubbub drain --wait                            the node of this data folder, or the only one
  hubbub drain --node blue-1 --wait --timeout 30
  hubbub drain --all                             every node: the service is going down

Exit codes: 0 ordered (with --wait: drained), 1 not, 2 the arguments or the settings are wrong.";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The node, by its name; without it the one of `node.id` or `node.data_dir`, or the only one
    /// that runs
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    node: Option<String>,

    /// All nodes that run
    #[arg(long)]
    all: bool,

    /// Wait until no connection is left, and say how it goes
    #[arg(long)]
    wait: bool,

    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

pub(super) fn run(file: Option<&Path>, arguments: Arguments) -> Result<(), CliError> {
    let config = load(file)?;
    let target = match arguments {
        Arguments { all: true, .. } => DrainTarget::All,
        Arguments {
            node: Some(node), ..
        } => DrainTarget::Node(node),
        Arguments { .. } => DrainTarget::Own,
    };
    let wait = arguments
        .wait
        .then(|| Duration::from_secs(arguments.timeout));
    app::drain(&config, &target, wait, line)?;
    Ok(())
}
