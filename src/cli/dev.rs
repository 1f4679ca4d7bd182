//! `hubbub dev`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, prepare};
use crate::dev::{self, DevOptions};

pub(super) const HELP: &str = "\
For development only. Everything listens on this machine and lives in one folder: a Postgres and a
Redis of its own, the nodes (node-1, node-2, …) and nginx with the nginx.conf of the repository. What
dies is started again. Every line of the log says whose it is. Settings of the nodes come from
--config and the environment, as for serve.

Ctrl-C (or SIGTERM) stops everything in order, and once more kills what is left; SIGHUP restarts the
nodes one after the other, as a deploy does.

Examples:
  hubbub dev                                four nodes behind http://127.0.0.1:8080
  hubbub dev --nodes 2 --bind 0.0.0.0:80
  kill -HUP $(pgrep -f 'hubbub dev')        a rolling restart

Needs Postgres, redis-server and nginx installed (scripts/setup dev). Exit codes: 0 stopped, 1 not,
2 the arguments or the settings are wrong.";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many nodes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,

    /// Where nginx listens
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    bind: SocketAddr,

    /// The folder for everything
    #[arg(long, default_value = "data/dev", value_name = "FOLDER")]
    data_dir: PathBuf,
}

pub(super) fn run(file: Option<&Path>, arguments: Arguments) -> Result<(), CliError> {
    let config = prepare(file)?;
    let Arguments {
        nodes,
        bind,
        data_dir,
    } = arguments;
    let options = DevOptions {
        nodes,
        bind,
        data_dir,
        config_file: file.map(Path::to_owned),
    };
    dev::run(&config, &options)?;
    Ok(())
}
