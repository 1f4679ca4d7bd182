//! The servers that are measured: Hubbub, and those beside which it is measured.

pub(crate) mod peer;

use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use self::peer::Peer;
use crate::cores::Cores;
use crate::cpu;
use crate::dialect::Dialect;
use crate::error::LoadError;
use crate::nodes::{Nodes, NodesOptions};
use crate::people::People;
use crate::redis::Redis;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A node
    Hubbub,
    /// A node, spoken to as a Socket.IO client does
    HubbubSocketio,
    /// A server that writes one ready frame with one write for each recipient, and nothing else
    Floor,
    /// A broadcast by the package `ws` of Node
    Ws,
    /// A Socket.IO server in Rust
    Socketioxide,
    /// The package `socket.io` of Node
    Socketio,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hubbub => "Hubbub",
            Self::HubbubSocketio => "Hubbub (Socket.IO)",
            Self::Floor => "floor",
            Self::Ws => "ws",
            Self::Socketioxide => "socketioxide",
            Self::Socketio => "socket.io",
        }
    }

    /// The name of two of them that share a Redis; nothing if they cannot.
    pub(crate) fn pair_name(self) -> Option<&'static str> {
        match self {
            Self::Hubbub => Some("Hubbub ×2"),
            Self::HubbubSocketio => Some("Hubbub (Socket.IO) ×2"),
            Self::Socketio => Some("socket.io ×2"),
            Self::Floor | Self::Ws | Self::Socketioxide => None,
        }
    }

    /// Whether it is a node of ours.
    pub(crate) fn is_node(self) -> bool {
        matches!(self, Self::Hubbub | Self::HubbubSocketio)
    }

    pub(crate) fn dialect(self, msgpack: bool, offsets: bool) -> Dialect {
        match self {
            Self::Hubbub if msgpack => Dialect::NativeMsgpack,
            Self::Hubbub => Dialect::Native,
            Self::HubbubSocketio => Dialect::HubSocketIo { offsets },
            Self::Floor | Self::Ws => Dialect::Relay,
            Self::Socketioxide | Self::Socketio => Dialect::SocketIo,
        }
    }
}

/// A process of a server.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// `127.0.0.1:<port>`
    pub(crate) address: String,
    pub(crate) pid: Pid,
}

/// A server that listens, and ends when this is dropped.
pub(crate) struct Server {
    first: Process,
    second: Option<Process>,
    /// Its Postgres, if it has one.
    pub(crate) postgres: Option<Pid>,
    /// What its two processes share, if there are two.
    pub(crate) redis: Option<Pid>,
    /// None: nobody has to say who they are.
    pub(crate) tokens: Vec<String>,
    pub(crate) rooms: Vec<String>,
    held: Held,
}

/// What must live as long as the server; nothing if it is not ours. The fields are dropped in this
/// order.
#[derive(Default)]
struct Held {
    nodes: Option<Nodes>,
    peers: Vec<Peer>,
    /// What the peers share.
    redis: Option<Redis>,
}

/// How a server is started.
pub(crate) struct ServerOptions<'a> {
    pub(crate) kind: Kind,
    /// Two processes that share a Redis.
    pub(crate) pair: bool,
    pub(crate) node: &'a Path,
    pub(crate) folder: Option<&'a Path>,
    /// The role and the database of the node's Postgres.
    pub(crate) role: &'a str,
    pub(crate) database: &'a str,
    /// Where Node's packages and their servers are.
    pub(crate) peers: &'a Path,
    pub(crate) cores: &'a Cores,
    pub(crate) people: usize,
    pub(crate) rooms: usize,
}

impl Server {
    pub(crate) async fn start(options: &ServerOptions<'_>) -> Result<Self, LoadError> {
        match options.kind {
            kind if kind.is_node() => Self::start_nodes(options).await,
            _ => Self::start_peers(options).await,
        }
    }

    async fn start_nodes(options: &ServerOptions<'_>) -> Result<Self, LoadError> {
        let nodes = Nodes::start(&NodesOptions {
            binary: options.node,
            folder: options.folder,
            role: options.role,
            database: options.database,
            cores: Some(options.cores),
            pair: options.pair,
            settings: &[],
        })
        .await?;
        let people = People::gather(&nodes.first.address, options.people, options.rooms).await?;
        let process = |node: &crate::node::Node| Process {
            address: node.address.clone(),
            pid: node.pid(),
        };
        Ok(Self {
            first: process(&nodes.first),
            second: nodes.second.as_ref().map(process),
            postgres: Some(nodes.postgres.pid),
            redis: nodes.redis.as_ref().map(Redis::pid),
            tokens: people.tokens,
            rooms: people.rooms,
            held: Held {
                nodes: Some(nodes),
                ..Held::default()
            },
        })
    }

    async fn start_peers(options: &ServerOptions<'_>) -> Result<Self, LoadError> {
        let ServerOptions { peers, cores, .. } = options;
        let redis = if options.pair {
            Some(Redis::start(Some(cores)).await?)
        } else {
            None
        };
        let url = redis.as_ref().map(Redis::url);
        let first = Peer::start(options.kind, peers, cores, url.as_deref()).await?;
        let mut server = Self {
            redis: redis.as_ref().map(Redis::pid),
            ..Self::of_others(first.process.clone(), options.rooms)
        };
        server.held.peers.push(first);
        if options.pair {
            let second = Peer::start(options.kind, peers, cores, url.as_deref()).await?;
            server.second = Some(second.process.clone());
            server.held.peers.push(second);
        }
        server.held.redis = redis;
        Ok(server)
    }

    /// Ends it, if it is ours, and waits for its end.
    pub(crate) async fn end(self) -> Result<(), LoadError> {
        if let Some(nodes) = self.held.nodes {
            nodes.stop().await?;
        }
        for peer in self.held.peers {
            peer.end().await?;
        }
        Ok(())
    }

    /// One that somebody else has started, of the kind that asks for no credentials.
    pub(crate) fn of_others(process: Process, rooms: usize) -> Self {
        Self {
            first: process,
            second: None,
            postgres: None,
            redis: None,
            tokens: Vec::new(),
            rooms: (0..rooms).map(|n| format!("room-{n}")).collect(),
            held: Held::default(),
        }
    }

    /// Its one process or its two.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        [Some(&self.first), self.second.as_ref()]
            .into_iter()
            .flatten()
    }

    /// Processor time of its processes.
    pub(crate) fn used(&self) -> Duration {
        self.processes().map(|it| cpu::used(it.pid)).sum()
    }

    /// Resident bytes of its processes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.processes().map(|it| cpu::resident_bytes(it.pid)).sum()
    }
}

/// Whether a peer has been built.
pub(crate) fn is_there(kind: Kind, peers: &Path) -> Result<(), LoadError> {
    peer::command(kind, peers, 1).map(|_| ())
}
