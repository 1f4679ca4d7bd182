//! `hubbub users deactivate` and `hubbub users activate`.

use std::path::Path;

use clap::Subcommand;

use super::output::line;
use super::{CliError, load};
use crate::app;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shut a user out: their sessions end with all their sockets, on every node, and they cannot
    /// log in
    Deactivate {
        /// The username
        name: String,
    },
    /// Let a user log in again
    Activate {
        /// The username
        name: String,
    },
}

pub(super) fn run(file: Option<&Path>, command: &Command) -> Result<(), CliError> {
    let config = load(file)?;
    match command {
        Command::Deactivate { name } => {
            let ended = app::deactivate_user(&config, name)?;
            line(&format!("{name} is shut out; {ended} session(s) ended"));
        }
        Command::Activate { name } => {
            app::activate_user(&config, name)?;
            line(&format!("{name} can log in"));
        }
    }
    Ok(())
}
