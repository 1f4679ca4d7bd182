//! `hubbub disconnect`.

use std::path::Path;

use clap::Args;

use super::connections::silent;
use super::output::line;
use super::{CliError, load};
use crate::app::{self, Meant};
use crate::protocol::connection::ConnectionId;

pub(super) const HELP: &str = "\
The order goes into the control log, which every node reads: also one that does not answer now, as
soon as it is well. Connections are closed with 4103, which tells clients not to come back by
themselves. Their sessions go on, so users can connect again; to shut somebody out see
\"hubbub users deactivate\". With --move they are told to come back at once, as when a node drains
(4000), and their load balancer decides where to.

To remove somebody from a room, kick or ban them over REST: it takes effect on all nodes.

Examples:
  hubbub disconnect --user ada
  hubbub disconnect --user ada --move
  hubbub disconnect --connection node-1a2b3c4d~3~0-12-7

Exit codes: 0 ordered, and all nodes have said what they had; 1 a node has not, or the connection's is
not known to run: the order stands; or it went wrong; 2 the arguments or the settings are wrong.";

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "whom")]
pub(super) struct Whom {
    /// All connections of this user, by name or id
    #[arg(long, value_name = "USER", group = "whom")]
    user: Option<String>,

    /// This connection, by its id of "hubbub connections"
    #[arg(long, value_name = "ID", group = "whom")]
    connection: Option<ConnectionId>,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,

    /// Tell clients to come back at once, on another node if they can
    #[arg(long = "move")]
    is_move: bool,
}

pub(super) fn run(file: Option<&Path>, arguments: Arguments) -> Result<(), CliError> {
    let config = load(file)?;
    let meant = match arguments.whom {
        Whom {
            connection: Some(id),
            ..
        } => Meant::Connection(id),
        Whom { user, .. } => Meant::User(user.unwrap_or_default()),
    };
    let done = app::disconnect(&config, &meant, arguments.is_move)?;
    let what = if arguments.is_move { "move" } else { "end" };
    match &meant {
        Meant::Connection(id) => {
            line(&format!("{id} was ordered to {what}"));
            let nodes = app::nodes(&config)?;
            if !nodes.iter().any(|it| it.peer.origin == id.origin) {
                return Err(CliError::NoSuchLife);
            }
        }
        Meant::User(user) => {
            for node in &done.nodes {
                if let Ok(list) = &node.connections {
                    line(&format!("{}: {} connection(s)", node.node, list.total));
                }
            }
            line(&format!("all connections of {user} were ordered to {what}"));
        }
    }
    silent(&done.nodes)
}
