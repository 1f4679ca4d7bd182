//! Processes of the servers beside which Hubbub is measured.

use std::ffi::OsStr;
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
pub(crate) struct Peer {
    pub(crate) process: Process,
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
        Self::launch(kind.name(), command, cores).await
    }

    /// Starts one by this command, and waits until it listens.
    pub(crate) async fn launch(
        name: &str,
        mut command: Command,
        cores: &Cores,
    ) -> Result<Self, LoadError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = cores
            .within(|| command.spawn())?
            .map_err(LoadError::io(format!("starting {name}")))?;
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
            return Err(LoadError::Unexpected(format!("{name} does not start")));
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
    pub(crate) async fn end(self) -> Result<(), LoadError> {
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
    match kind {
        Kind::Ws => of_node(kind.name(), peers, "ws"),
        Kind::Socketio => of_node(kind.name(), peers, "socketio-redis"),
        Kind::Socketioxide => {
            let mut command = built(kind.name(), "socketioxide-peer")?;
            command.args(["--threads", &threads.to_string()]);
            Ok(command)
        }
        Kind::Floor | Kind::Hubbub | Kind::HubbubSocketio => built(kind.name(), "floor"),
    }
}

/// A server in Node, with its packages.
pub(crate) fn of_node(
    name: &'static str,
    peers: &Path,
    folder: &str,
) -> Result<Command, LoadError> {
    there(name, peers.join(folder).join("node_modules"))?;
    let mut command = Command::new("node");
    command.arg(there(name, peers.join(folder).join("server.mjs"))?);
    Ok(command)
}

/// A server in Rust, built for release. Beside a debug build of ours one of theirs will do, too.
pub(crate) fn built(name: &'static str, program: &str) -> Result<Command, LoadError> {
    let us = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
    // Their target folder lies in ours: target/peers/release beside target/release.
    let ours = us.parent().unwrap_or(Path::new("target/release"));
    let profile = ours.file_name().unwrap_or("release".as_ref());
    let built = ours.parent().unwrap_or(Path::new("target")).join("peers");
    let path = |profile: &OsStr| built.join(profile).join(program);
    let fast = path("release".as_ref());
    if fast.exists() {
        return Ok(Command::new(fast));
    }
    let same = there(name, path(profile));
    same.map(Command::new)
        .map_err(|_| LoadError::NoPeer { name, path: fast })
}

fn there(name: &'static str, path: PathBuf) -> Result<PathBuf, LoadError> {
    if path.exists() {
        return Ok(path);
    }
    Err(LoadError::NoPeer { name, path })
}
