//! `hubbub config check` and `hubbub config defaults`.

use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::path::Path;

use clap::Subcommand;

use super::CliError;
use crate::config::{self, Config};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the settings and print those that a node would run with, without secrets
    Check,
    /// Print every setting with its default, the reason for it and what is allowed
    Defaults,
}

pub(super) fn run(file: Option<&Path>, command: &Command) -> Result<(), CliError> {
    match command {
        Command::Check => {
            let config = Config::load(file)?;
            for notice in config.notices() {
                // The settings below matter more than a lost notice.
                let _ = writeln!(stderr(), "hubbub: note: {notice}");
            }
            print(&config.redacted_toml())
        }
        Command::Defaults => print(config::DEFAULTS),
    }
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough ("| head").
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
