//! Measurements of Hubbub against a release node, by real clients.
//!
//! Each subcommand starts what it needs, measures, prints one page (or JSON), and ends what it
//! started.

mod cpu;
mod error;
mod node;
mod people;
mod plain_inserts;
mod postgres;
mod publish;
mod publishers;
mod recovery;
mod recovery_report;
mod report;
mod samples;
mod socket;
mod start_time;

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
}

/// What every measurement needs to know.
#[derive(clap::Args)]
struct Common {
    /// The node's binary; `hubbub` beside this program if not given
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,

    /// Where the data go, on a disk like production's; /var/tmp if not given
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Print JSON instead of the page
    #[arg(long)]
    json: bool,

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
        if !self.json {
            println!("{}", page(report));
            return Ok(());
        }
        let json = serde_json::to_string_pretty(report);
        println!(
            "{}",
            json.map_err(|error| LoadError::Unexpected(error.to_string()))?
        );
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let measuring = async {
        match Arguments::parse().command {
            Command::Publish(options) => publish::run(&options).await,
            Command::Recovery(options) => recovery::run(&options).await,
        }
    };
    // When interrupted, the measurement is dropped, and its processes and folders with it.
    let outcome = tokio::select! {
        outcome = measuring => outcome,
        error = interrupted() => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.with_causes());
            ExitCode::FAILURE
        }
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
