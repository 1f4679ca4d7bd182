//! Processes of the servers beside which Hubbub is measured.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::{Kind, Process};
use crate::cores::Cores;
use crate::error::LoadError;

/// A peer that takes longer to listen has failed.
const START: Duration = Duration::from_secs(20);

/// A peer that takes longer to end is killed.
const END: Duration = Duration::from_secs(5);

/// A peer that listens, and ends when this is dropped.
pub(super) struct Peer {
    pub(super) process: Process,
    /// Its standard input, whose end is its end.
    input: ChildStdin,
    child: Child,
}

impl Peer {
    /// Starts one; `redis` is the URL of what it shares with others of its kind.
    pub(super) async fn start(
        kind: Kind,
        peers: &Path,
        cores: &Cores,
        redis: Option<&str>,
    ) -> Result<Self, LoadError> {
        let mut command = command(kind, peers, cores.count)?;
        if let Some(url) = redis {
            command.args(["--redis", url]);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = cores
            .within(|| command.spawn())?
            .map_err(LoadError::io(format!("starting {}", kind.name())))?;
        let missing = || LoadError::Unexpected("a peer without pipes".to_owned());
        let input = child.stdin.take().ok_or_else(missing)?;
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(missing)?).lines();
        let listening = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, address)) = line.split_once("listening on ") {
                    return Some(address.trim().to_owned());
                }
            }
            None
        };
        let address = tokio::time::timeout(START, listening).await;
        let Ok(Some(address)) = address else {
            return Err(LoadError::Unexpected(format!(
                "{} does not start",
                kind.name()
            )));
        };
        // What else it says is of no interest, but must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(missing)?;
        Ok(Self {
            process: Process { address, pid },
            input,
            child,
        })
    }

    /// Ends it, and waits for that.
    pub(super) async fn end(self) -> Result<(), LoadError> {
        let Self {
            input, mut child, ..
        } = self;
        drop(input);
        let ended = tokio::time::timeout(END, child.wait()).await;
        if ended.is_err() {
            child.kill().await.map_err(LoadError::io("ending a peer"))?;
        }
        Ok(())
    }
}

/// The command of a peer, which is there only after it has been built.
pub(super) fn command(kind: Kind, peers: &Path, threads: usize) -> Result<Command, LoadError> {
    let there = |path: PathBuf| {
        if path.exists() {
            return Ok(path);
        }
        let name = kind.name();
        Err(LoadError::NoPeer { name, path })
    };
    let of_node = |folder: &str| {
        there(peers.join(folder).join("node_modules"))?;
        let mut command = Command::new("node");
        command.arg(there(peers.join(folder).join("server.mjs"))?);
        Ok(command)
    };
    // Their target folder lies in ours, so that their `release` is beside the one we are in.
    let us = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
    let target = us.parent().and_then(Path::parent);
    let built = target.unwrap_or(Path::new("target")).join("peers/release");
    match kind {
        Kind::Ws => of_node("ws"),
        Kind::Socketio => of_node("socketio-redis"),
        Kind::Socketioxide => {
            let mut command = Command::new(there(built.join("socketioxide-peer"))?);
            command.args(["--threads", &threads.to_string()]);
            Ok(command)
        }
        Kind::Floor | Kind::Hubbub | Kind::HubbubSocketio => {
            Ok(Command::new(there(built.join("floor"))?))
        }
    }
}
