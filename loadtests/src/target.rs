//! What a load is put on, and by how many.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;

use crate::Common;
use crate::cores::{self, Cores, Sharing};
use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::generator::order::{Place, Setup};
use crate::server::{self, Kind, Process, Server, ServerOptions};

/// Connections of one generator process: an open file each.
const CONNECTIONS_EACH: usize = 5_000;

/// How long a server may take to come to rest.
const REST: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Which server
    #[arg(long, value_enum, default_value_t = Kind::Hubbub)]
    pub(crate) server: Kind,

    /// Two processes of it that share a Redis: half of each room's members are on the second, all
    /// senders on the first
    #[arg(long)]
    pub(crate) pair: bool,

    /// A server of this kind (not Hubbub) that runs already
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "pid",
        conflicts_with = "pair"
    )]
    at: Option<String>,

    /// Its process
    #[arg(long)]
    pid: Option<i32>,

    /// The folder of the servers beside which Hubbub is measured
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    pub(crate) peers: PathBuf,

    /// How server and generators share the processors
    #[arg(long, value_enum, default_value_t = Sharing::Apart)]
    pub(crate) cores: Sharing,

    /// Generator processes; as many as they have processors, and more for many connections, if not
    /// given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    generators: Option<u16>,

    /// Users whose connections they are, at most
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    people: u32,

    #[command(flatten)]
    speech: Speech,

    /// Bytes of a message
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(24..=60_000))]
    pub(crate) payload_bytes: u32,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Speech {
    /// Speak MessagePack to Hubbub
    #[arg(long)]
    msgpack: bool,

    /// As a Socket.IO client that does not recover by offsets: its events end in no cursor of its own
    #[arg(long)]
    no_offsets: bool,

    /// Offer permessage-deflate. Deliveries must not be compressed all the same: keep the payload
    /// below the server's threshold
    #[arg(long)]
    deflate: bool,
}

/// A server with generators that have not connected yet.
pub(crate) struct Scene {
    pub(crate) crowd: Crowd,
    pub(crate) server: Server,
    people: usize,
}

impl Target {
    /// The same with another server.
    pub(crate) fn of(&self, server: Kind) -> Self {
        Self {
            server,
            ..self.clone()
        }
    }

    /// The same with one process or two.
    pub(crate) fn with_pair(&self, pair: bool) -> Self {
        Self {
            pair,
            ..self.clone()
        }
    }

    /// What the server is called on a page.
    pub(crate) fn name(&self) -> &'static str {
        let alone = self.server.name();
        if !self.pair {
            return alone;
        }
        self.server.pair_name().unwrap_or(alone)
    }

    /// Whether the server has been built.
    pub(crate) fn is_there(&self) -> Result<(), LoadError> {
        if self.pair && self.server.pair_name().is_none() {
            let name = self.server.name();
            let what = format!("{name} cannot share a Redis with another");
            return Err(LoadError::Unexpected(what));
        }
        if !self.server.is_node() {
            return server::is_there(self.server, &self.peers);
        }
        match self.common.binary()? {
            binary if binary.is_file() => Ok(()),
            binary => Err(LoadError::NoNode(binary)),
        }
    }

    /// Starts server and generators for so many connections in so many rooms.
    pub(crate) async fn set(&self, rooms: usize, connections: usize) -> Result<Scene, LoadError> {
        let (servers, generators) = cores::share(self.cores)?;
        let people = people(self.people as usize, rooms, connections);
        let server = self.start_server(rooms, people, &servers).await?;
        let crowd = self
            .generators_of(&server, connections, &generators)
            .await?;
        Ok(Scene {
            crowd,
            people: server.tokens.len(),
            server,
        })
    }

    /// Generators for a server that has had others.
    pub(crate) async fn crowd(
        &self,
        server: &Server,
        connections: usize,
    ) -> Result<Crowd, LoadError> {
        let (_, generators) = cores::share(self.cores)?;
        self.generators_of(server, connections, &generators).await
    }

    async fn generators_of(
        &self,
        server: &Server,
        connections: usize,
        cores: &Cores,
    ) -> Result<Crowd, LoadError> {
        let processes = match self.generators {
            Some(processes) => processes.into(),
            None => cores.count.max(connections.div_ceil(CONNECTIONS_EACH)),
        };
        let setup = Setup {
            dialect: (self.server).dialect(self.speech.msgpack, !self.speech.no_offsets),
            addresses: server.processes().map(|it| it.address.clone()).collect(),
            source_net: 0,
            tokens: server.tokens.clone(),
            rooms: server.rooms.clone(),
            payload_bytes: self.payload_bytes as usize,
            deflate: self.speech.deflate,
        };
        Crowd::start(&setup, processes, cores).await
    }

    async fn start_server(
        &self,
        rooms: usize,
        people: usize,
        cores: &Cores,
    ) -> Result<Server, LoadError> {
        if let (Some(address), Some(pid)) = (&self.at, self.pid.and_then(Pid::from_raw)) {
            if self.server.is_node() {
                return Err(LoadError::Unexpected("--at with a node".to_owned()));
            }
            let address = address.clone();
            return Ok(Server::of_others(Process { address, pid }, rooms));
        }
        let folder = self.common.folder.as_deref();
        let node = self.common.binary()?;
        self.is_there()?;
        eprintln!("… {} starts", self.name());
        Server::start(&ServerOptions {
            kind: self.server,
            pair: self.pair,
            role: &self.common.role,
            database: &self.common.database,
            node: &node,
            folder,
            peers: &self.peers,
            cores,
            people,
            rooms,
        })
        .await
    }
}

/// How many users there must be: as many in each room, and no more than connections.
fn people(most: usize, rooms: usize, connections: usize) -> usize {
    let each = most.min(connections) / rooms.max(1);
    rooms * each.max(1)
}

impl Scene {
    /// Ends generators and server in an orderly way.
    pub(crate) async fn end(self) -> Result<(), LoadError> {
        self.crowd.end().await?;
        self.server.end().await
    }

    /// So many connections, the rooms taking turns; the first of each room sends.
    pub(crate) fn places(&self, connections: usize) -> Vec<Place> {
        let rooms = self.server.rooms.len().max(1);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let servers = self.server.processes().count().max(1);
        let place = |n: usize| Place {
            server: number(n / rooms % servers),
            room: number(n % rooms),
            // Person n is a member of room n modulo the number of rooms, which divides the people.
            person: number(n % self.people.max(1)),
            sends: n < rooms,
        };
        (0..connections).map(place).collect()
    }

    /// So many connections in one of the rooms; the first of them sends.
    pub(crate) fn places_in(&self, room: usize, connections: usize) -> Vec<Place> {
        let rooms = self.server.rooms.len().max(1);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = |n: usize| Place {
            server: 0,
            room: number(room),
            // A member of that room, see `places`.
            person: number((room + n * rooms) % self.people.max(1)),
            sends: n == 0,
        };
        (0..connections).map(place).collect()
    }

    /// Waits until the server does nothing and its memory stays what it is.
    pub(crate) async fn rest(&self) -> Result<(), LoadError> {
        const STEP: Duration = Duration::from_millis(250);
        let rest = async {
            let mut calm = 0;
            let look = || (self.server.used(), self.server.resident_bytes());
            let mut before = look();
            while calm < 4 {
                tokio::time::sleep(STEP).await;
                let now = look();
                let idle = now.0.saturating_sub(before.0) <= STEP / 20;
                let steady = now.1.abs_diff(before.1) <= 256 * 1024;
                calm = if idle && steady { calm + 1 } else { 0 };
                before = now;
            }
        };
        tokio::time::timeout(REST, rest)
            .await
            .map_err(|_| LoadError::Unexpected("the server does not come to rest".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_has_as_many_people() {
        assert_eq!(people(1000, 1, 1000), 1000);
        assert_eq!(people(1000, 100, 10_000), 1000);
        assert_eq!(people(1000, 100, 200), 200);
        assert_eq!(people(1000, 300, 10_000), 900);
        assert_eq!(people(10, 100, 10_000), 100);
    }
}
