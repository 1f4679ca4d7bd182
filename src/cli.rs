//! The command line: arguments → settings → logging → one file for each subcommand.
//!
//! Exit codes: 0 done, 1 it went wrong, 2 the arguments or the settings are wrong.

mod cache;
mod config;
mod connections;
mod dev;
mod disconnect;
mod drain;
mod health;
mod migrate;
mod nodes;
mod output;
mod serve;
mod users;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{OrderError, StartError};
use crate::config::{Config, ConfigError};
use crate::dev::DevError;
use crate::ops::telemetry::{self, TelemetryError};

const EXAMPLES: &str = "\
Examples:
  hubbub serve                                   on http://127.0.0.1:8080, with a Postgres of its own in ./data
  HUBBUB__HTTP__BIND=0.0.0.0:80 hubbub serve     for the network
  DATABASE_URL=postgres://hubbub@db/hubbub hubbub serve
  DATABASE_URL=… REDIS_URL=redis://cache HUBBUB__NODE__ID=node-1 hubbub serve
                                                 one of several nodes on one database
  hubbub dev --nodes 4                           all of that on this machine, behind nginx
  hubbub --config hubbub.toml config check       show what a node would run with

Settings come from the defaults, then the file, then the environment:
  HUBBUB__CONFIG               the file, if --config is not given
  HUBBUB__<SECTION>__<KEY>     any setting: http.bind is HUBBUB__HTTP__BIND
  HUBBUB__DATA_DIR             the same as node.data_dir
  DATABASE_URL                 the same as database.url
  REDIS_URL                    the same as redis.url
  LOG_QUERIES                  the same as database.log_queries
\"hubbub config defaults\" lists every setting with its default and the reason for it.";

#[derive(Debug, Parser)]
#[command(
    name = "hubbub",
    version,
    about = "A realtime hub for chat and collaboration: durable rooms over WebSocket and REST.",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Arguments {
    /// A file of settings (TOML), instead of the one that `HUBBUB__CONFIG` names
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until it is told to stop (Ctrl-C or SIGTERM)
    #[command(after_help = serve::HELP)]
    Serve,
    /// Run a cluster on this machine: Postgres, Redis, nodes and nginx
    #[command(after_help = dev::HELP)]
    Dev(dev::Arguments),
    /// Bring the database's schema up to date and exit; "serve" does so by itself
    #[command(after_help = migrate::HELP)]
    Migrate,
    /// Tell a running node to send its clients elsewhere, without stopping it
    #[command(after_help = drain::HELP)]
    Drain(drain::Arguments),
    /// List the nodes of the database, and how they are
    #[command(after_help = nodes::HELP)]
    Nodes(nodes::Arguments),
    /// List who is connected, to whichever node
    #[command(after_help = connections::HELP)]
    Connections(connections::Arguments),
    /// End connections, or tell them to move, on whichever node they are
    #[command(after_help = disconnect::HELP)]
    Disconnect(disconnect::Arguments),
    /// Ask the node of this machine whether it is well
    #[command(after_help = health::HELP)]
    Health(health::Arguments),
    /// Look at what nodes keep copies of, or have them read it again
    #[command(subcommand, after_help = cache::HELP)]
    Cache(cache::Command),
    /// Shut users out, or let them in again
    #[command(subcommand)]
    Users(users::Command),
    /// Look at the settings
    #[command(subcommand)]
    Config(config::Command),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot set up logging")]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("{silent} of {asked} node(s) did not answer:{named}")]
    Unanswered {
        silent: usize,
        asked: usize,
        /// Each with the reason, on lines of their own.
        named: String,
    },
    #[error(
        "no node runs in that life, as far as is known: the order stands, and there is probably \
         nothing for it to end"
    )]
    NoSuchLife,
    #[error(transparent)]
    Unwell(#[from] health::Unwell),
    #[error("cannot write to standard output")]
    Output(#[from] std::io::Error),
}

/// Runs the command that the process's arguments name and answers its exit code.
#[must_use]
pub fn run() -> ExitCode {
    let Arguments { config, command } = Arguments::parse();
    let file = config.as_deref();
    let done = match command {
        Command::Serve => serve::run(file),
        Command::Dev(arguments) => dev::run(file, arguments),
        Command::Migrate => migrate::run(file),
        Command::Drain(arguments) => drain::run(file, arguments),
        Command::Nodes(arguments) => nodes::run(file, &arguments),
        Command::Connections(arguments) => connections::run(file, &arguments),
        Command::Disconnect(arguments) => disconnect::run(file, arguments),
        Command::Health(arguments) => health::run(file, &arguments),
        Command::Cache(command) => cache::run(file, &command),
        Command::Users(command) => users::run(file, &command),
        Command::Config(command) => config::run(file, &command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is gone too.
            let text = chain(&error);
            let lines: Vec<_> = text.split('\n').map(output::printable).collect();
            let _ = writeln!(std::io::stderr(), "hubbub: {}", lines.join("\n"));
            match error {
                CliError::Config(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The settings, with logging set up as they say and their notices logged.
fn prepare(file: Option<&Path>) -> Result<Config, CliError> {
    let config = Config::load(file)?;
    telemetry::init(&config.telemetry)?;
    for notice in config.notices() {
        tracing::warn!("{notice}");
    }
    Ok(config)
}

/// The settings, for commands whose output is for people: what they log would be in its way.
fn load(file: Option<&Path>) -> Result<Config, CliError> {
    Ok(Config::load(file)?)
}

/// An error if nodes did not answer, which names them: what was said before is not the whole.
fn unanswered<'a>(
    asked: usize,
    silent: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), CliError> {
    let named: Vec<_> = silent
        .map(|(node, why)| format!("\n  {}: {why}", output::printable(node)))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(CliError::Unanswered {
        silent: named.len(),
        asked,
        named: named.concat(),
    })
}

/// An error with what caused it, outermost first.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\n  because: ");
        text.push_str(
            error
                .to_string()
                .trim_end()
                .replace('\n', "\n    ")
                .as_str(),
        );
        cause = error.source();
    }
    text
}
