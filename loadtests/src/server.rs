//! The servers that are measured: Hubbub, and those beside which it is measured.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::cores::Cores;
use crate::dialect::Dialect;
use crate::error::LoadError;
use crate::node::{DataFolder, Node, NodeOptions};
use crate::people::People;
use crate::postgres;

/// A peer that takes longer to listen has failed.
const PEER_START: Duration = Duration::from_secs(20);

/// A peer that takes longer to end is killed.
const PEER_END: Duration = Duration::from_secs(5);

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A node
    Hubbub,
    /// A server that writes one ready frame with one write for each recipient, and nothing else
    Floor,
    /// A broadcast by the package `ws` of Node
    Ws,
    /// A Socket.IO server in Rust
    Socketioxide,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hubbub => "Hubbub",
            Self::Floor => "floor",
            Self::Ws => "ws",
            Self::Socketioxide => "socketioxide",
        }
    }

    pub(crate) fn dialect(self, msgpack: bool) -> Dialect {
        match self {
            Self::Hubbub if msgpack => Dialect::NativeMsgpack,
            Self::Hubbub => Dialect::Native,
            Self::Floor | Self::Ws => Dialect::Relay,
            Self::Socketioxide => Dialect::SocketIo,
        }
    }
}

/// A server that listens, and ends when this is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) pid: Pid,
    /// Its Postgres, if it has one.
    pub(crate) postgres: Option<Pid>,
    /// None: nobody has to say who they are.
    pub(crate) tokens: Vec<String>,
    pub(crate) rooms: Vec<String>,
    held: Held,
}

/// What must live as long as the server. The fields are dropped in this order.
struct Held {
    node: Option<Node>,
    folder: Option<DataFolder>,
    /// Its standard input, whose end is its end, and the process.
    peer: Option<(ChildStdin, Child)>,
}

/// How a server is started.
pub(crate) struct ServerOptions<'a> {
    pub(crate) kind: Kind,
    pub(crate) node: &'a Path,
    pub(crate) folder: Option<&'a Path>,
    /// Where the package `ws` and its server are.
    pub(crate) peers: &'a Path,
    pub(crate) cores: &'a Cores,
    pub(crate) people: usize,
    pub(crate) rooms: usize,
}

impl Server {
    pub(crate) async fn start(options: &ServerOptions<'_>) -> Result<Self, LoadError> {
        match options.kind {
            Kind::Hubbub => Self::start_node(options).await,
            kind => Self::start_peer(kind, options).await,
        }
    }

    async fn start_node(options: &ServerOptions<'_>) -> Result<Self, LoadError> {
        let folder = DataFolder::new(options.folder)?;
        let data = folder.path().join("node");
        let settings = [
            // In the end there is nobody left who could be told to move.
            ("HUBBUB__HTTP__DRAIN_MS", "0".to_owned()),
        ];
        let node = Node::start(&NodeOptions {
            settings: &settings,
            cores: Some(options.cores),
            ..NodeOptions::embedded(options.node, data.clone())
        })
        .await?;
        let people = People::gather(&node.address, options.people, options.rooms).await?;
        Ok(Self {
            address: node.address.clone(),
            pid: node.pid(),
            postgres: Some(postgres::Running::find(&data)?.pid),
            tokens: people.tokens,
            rooms: people.rooms,
            held: Held {
                node: Some(node),
                folder: Some(folder),
                peer: None,
            },
        })
    }

    async fn start_peer(kind: Kind, options: &ServerOptions<'_>) -> Result<Self, LoadError> {
        let mut command = peer(kind, options.peers, options.cores.count)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = options
            .cores
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
        let address = tokio::time::timeout(PEER_START, listening).await;
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
            .and_then(Pid::from_raw);
        Ok(Self {
            pid: pid.ok_or_else(missing)?,
            held: Held {
                node: None,
                folder: None,
                peer: Some((input, child)),
            },
            ..Self::of_others(address, Pid::INIT, options.rooms)
        })
    }

    /// Ends it, if it is ours, and waits for its end.
    pub(crate) async fn end(self) -> Result<(), LoadError> {
        let Held { node, folder, peer } = self.held;
        if let Some(node) = node {
            node.stop().await?;
        }
        drop(folder);
        if let Some((input, mut child)) = peer {
            drop(input);
            let ended = tokio::time::timeout(PEER_END, child.wait()).await;
            if ended.is_err() {
                child.kill().await.map_err(LoadError::io("ending a peer"))?;
            }
        }
        Ok(())
    }

    /// One that somebody else has started, of the kind that asks for no credentials.
    pub(crate) fn of_others(address: String, pid: Pid, rooms: usize) -> Self {
        Self {
            address,
            pid,
            postgres: None,
            tokens: Vec::new(),
            rooms: (0..rooms).map(|n| format!("room-{n}")).collect(),
            held: Held {
                node: None,
                folder: None,
                peer: None,
            },
        }
    }
}

/// Whether a peer has been built.
pub(crate) fn is_there(kind: Kind, peers: &Path) -> Result<(), LoadError> {
    peer(kind, peers, 1).map(|_| ())
}

/// The command of a peer, which is there only after it has been built.
fn peer(kind: Kind, peers: &Path, threads: usize) -> Result<Command, LoadError> {
    let there = |path: PathBuf| {
        if path.exists() {
            return Ok(path);
        }
        let name = kind.name();
        Err(LoadError::NoPeer { name, path })
    };
    if kind == Kind::Ws {
        there(peers.join("ws/node_modules"))?;
        let mut command = Command::new("node");
        command.arg(there(peers.join("ws/server.mjs"))?);
        return Ok(command);
    }
    // Their target folder lies in ours, so that their `release` is beside the one we are in.
    let us = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
    let target = us.parent().and_then(Path::parent);
    let built = target.unwrap_or(Path::new("target")).join("peers/release");
    if kind == Kind::Socketioxide {
        let mut command = Command::new(there(built.join("socketioxide-peer"))?);
        command.args(["--threads", &threads.to_string()]);
        return Ok(command);
    }
    Ok(Command::new(there(built.join("floor"))?))
}
