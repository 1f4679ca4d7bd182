//! Measurements of Hubbub against a release node, by real clients.
//!
//! Each subcommand starts what it needs, measures, prints one page (or JSON), and ends what it
//! started.

mod abandoned;
mod bars;
mod bench;
mod bench_page;
mod beside;
mod child;
mod churn;
mod clock;
mod cluster;
mod connect;
mod cores;
mod cpu;
mod crowd;
mod dev_cluster;
mod dialect;
mod error;
mod fanout;
mod frames;
mod generator;
mod idle;
mod marker;
mod node;
mod nodes;
mod outcome;
mod page;
mod people;
mod plain_inserts;
mod postgres;
mod publish;
mod publishers;
mod recovery;
mod recovery_report;
mod redis;
mod report;
mod rest;
mod rolling;
mod samples;
mod saturate;
mod schedule;
mod sequence;
mod server;
mod socket;
mod start_time;
mod table;
mod target;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use error::LoadError;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Durable publishes beside plain INSERTs of the same Postgres, and the node's start times
    Publish(publish::Options),

    /// Resuming after a lost connection beside a plain SELECT of the same events, and how soon a
    /// revocation closes a socket
    Recovery(recovery::Options),

    /// Messages at fixed times into rooms: latency, losses, and the server's CPU for each delivery
    Fanout(fanout::Options),

    /// A room of two beside a huge one: how much later its messages come
    Beside(beside::Options),

    /// Connections that do nothing: the server's memory for each
    Idle(idle::Options),

    /// Connections one after the other: how many a second, and how long each takes
    Connect(connect::Options),

    /// Socket.IO clients that poll and are never heard of again: what each costs until it is noticed
    Abandoned(abandoned::Options),

    /// Raises the rate of a fan-out until it is too much
    Saturate(saturate::Options),

    /// Connections that come and go beside a fan-out, and the server's memory before and after
    Churn(churn::Options),

    /// What a second node costs, and how soon two get over a killed node, a revocation and the loss
    /// of Redis
    Cluster(cluster::Options),

    /// A deploy under load: nodes behind nginx are restarted one after the other, and how late, how
    /// often and whether messages come meanwhile
    Rolling(rolling::Options),

    /// REST: cached, unchanged and uncached reads, storms and a mix, beside a bare handler and Express
    Rest(rest::Options),

    /// All figures, beside the floor and other servers, on one page
    Bench(bench::Options),

    /// A generator, as the other subcommands start them
    #[command(hide = true)]
    Generate,

    /// A generator of requests, as `rest` starts them
    #[command(hide = true)]
    Ask,
}

/// What every measurement needs to know.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// The node's binary; `hubbub` beside this program if not given
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,

    /// Where the data go, on a disk like production's; /var/tmp if not given
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Print JSON instead of the page; with a file, write JSON there besides the page
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(
        clippy::option_option,
        reason = "how clap tells an option from its value"
    )]
    json: Option<Option<PathBuf>>,

    /// The role that the node's own Postgres has
    #[arg(long, default_value = "postgres")]
    role: String,

    /// The database that the node uses in it
    #[arg(long, default_value = "hubbub")]
    database: String,
}

impl Common {
    /// The node's binary.
    fn binary(&self) -> Result<PathBuf, LoadError> {
        if let Some(binary) = &self.node {
            return Ok(binary.clone());
        }
        let us = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
        Ok(us.with_file_name("hubbub"))
    }

    /// Prints what was measured: the page, or JSON.
    fn print<R: serde::Serialize>(
        &self,
        report: &R,
        page: impl FnOnce(&R) -> String,
    ) -> Result<(), LoadError> {
        let json = serde_json::to_string_pretty(report)
            .map_err(|error| LoadError::Unexpected(error.to_string()))?;
        match &self.json {
            None => println!("{}", page(report)),
            Some(None) => println!("{json}"),
            Some(Some(file)) => {
                println!("{}", page(report));
                let what = || format!("writing {}", file.display());
                std::fs::write(file, json).map_err(LoadError::io(what()))?;
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let outcome = match command {
        // Thousands of sockets on one thread, which has its own way of waiting.
        Command::Generate => generator::run(),
        Command::Ask => rest::ask(),
        command => tokio::runtime::Runtime::new()
            .map_err(LoadError::io("starting the runtime"))
            .and_then(|runtime| runtime.block_on(unless_interrupted(measure(command)))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.with_causes());
            ExitCode::FAILURE
        }
    }
}

async fn measure(command: Command) -> Result<(), LoadError> {
    match command {
        Command::Publish(options) => publish::run(&options).await,
        Command::Recovery(options) => recovery::run(&options).await,
        Command::Fanout(options) => fanout::run(&options).await,
        Command::Beside(options) => beside::run(&options).await,
        Command::Idle(options) => idle::run(&options).await,
        Command::Connect(options) => connect::run(&options).await,
        Command::Abandoned(options) => abandoned::run(&options).await,
        Command::Saturate(options) => saturate::run(&options).await,
        Command::Churn(options) => churn::run(&options).await,
        Command::Cluster(options) => cluster::run(&options).await,
        Command::Rolling(options) => rolling::run(&options).await,
        Command::Rest(options) => rest::run(&options).await,
        Command::Bench(options) => bench::run(&options).await,
        Command::Generate | Command::Ask => Ok(()),
    }
}

/// When interrupted, the measurement is dropped, and its processes and folders with it.
async fn unless_interrupted(
    measuring: impl Future<Output = Result<(), LoadError>>,
) -> Result<(), LoadError> {
    tokio::select! {
        outcome = measuring => outcome,
        error = interrupted() => Err(error),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> LoadError {
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            _ = terminated.recv() => LoadError::Interrupted,
            _ = tokio::signal::ctrl_c() => LoadError::Interrupted,
        },
        Err(error) => LoadError::io("listening for SIGTERM")(error),
    }
}
