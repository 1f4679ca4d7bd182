//! What a seed stands for: who is there, how many nodes there are and how they are set, what breaks
//! when, and each step.

mod faults;
mod settings;
mod steps;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::node::NodeOptions;

pub(super) use faults::{Extent, Fault, Service, Strike};
pub(super) use steps::Step;

/// Nodes of a run at most.
const NODES: usize = 4;

/// Some ten times what coming to rest takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same where nothing was broken: what is to be missing is not waited for longer.
const CALM_PATIENCE: Duration = Duration::from_secs(12);

/// Settings that have a node notice soon what stands still.
const IMPATIENT: [&str; 4] = [
    "HUBBUB__DATABASE__SUSPECT_AFTER_MS",
    "HUBBUB__REDIS__RESPONSE_TIMEOUT_MS",
    "HUBBUB__JOURNAL__STALLED_AFTER_MS",
    "HUBBUB__JOURNAL__FLIGHT_TIMEOUT_MS",
];

/// A run, before it begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) nodes: usize,
    pub(super) bus: BusPlan,
    pub(super) users: usize,
    /// Each client's user. The first clients have one each.
    pub(super) clients: Vec<usize>,
    /// Each client's protocol.
    pub(super) protocols: Vec<Protocol>,
    /// How a client finds a node.
    pub(super) entrances: Vec<Entrance>,
    pub(super) rooms: Vec<RoomPlan>,
    /// How long clients act and things break, milliseconds; longer if by then too little has
    /// happened.
    pub(super) load_ms: u64,
    /// In the order of their times.
    pub(super) strikes: Vec<Strike>,
    /// What happens when everybody is at rest.
    pub(super) last_words: LastWords,
    /// How long everybody may take to come back and to catch up after the last fault, and again after
    /// the last words.
    pub(super) patience: Duration,
    settings: Vec<(&'static str, u64)>,
}

/// What nodes hear of each other by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BusPlan {
    /// Nothing but Postgres.
    None,
    Redis,
    /// A Redis Cluster.
    Cluster,
}

/// How a client finds a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// It always comes back to this one: each node has one such client.
    Node(usize),
    /// It takes any.
    Any,
    /// nginx takes one.
    Nginx,
}

/// When everybody has everything somebody says one thing more in each room, and nothing follows that
/// would show what was lost of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastWords {
    AreSaid,
    /// The node dies when it has committed them and told nobody.
    AreCommitted,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The native one over a socket.
    WebSocket {
        /// In MessagePack, not in JSON.
        is_packed: bool,
        /// With permessage-deflate.
        is_deflated: bool,
    },
    /// Socket.IO.
    SocketIo {
        /// By polling, not over a WebSocket.
        is_polling: bool,
    },
    /// Event streams of rooms, and REST for what it says.
    Sse,
    /// The event stream of all its user's rooms, and REST.
    WholeSse,
}

/// A room to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoomPlan {
    pub(super) owner: usize,
    pub(super) is_private: bool,
    /// New members see only what comes after them.
    pub(super) hides_past: bool,
}

impl Plan {
    /// What this seed stands for.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = pick(&mut rng, &[1, 2, 2, 3, 3, NODES]);
        let bus = if rng.random_bool(0.7) {
            BusPlan::Redis
        } else {
            BusPlan::None
        };
        Self::with(seed, nodes, bus, rng)
    }

    /// The same on a Redis Cluster.
    pub(super) fn of_a_cluster(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(2..=NODES);
        Self::with(seed, nodes, BusPlan::Cluster, rng)
    }

    fn with(seed: u64, nodes: usize, bus: BusPlan, mut rng: StdRng) -> Self {
        let users = rng.random_range(3..=5);
        let mut clients: Vec<usize> = (0..users).collect();
        let more = rng
            .random_range(0..=2)
            .max((nodes + 1).saturating_sub(users));
        clients.extend((0..more).map(|_| rng.random_range(0..users)));
        let with_nginx = rng.random_bool(0.4);
        let entrance = |client: usize| match client {
            home if home < nodes => Entrance::Node(home),
            _ if with_nginx => Entrance::Nginx,
            _ => Entrance::Any,
        };
        let entrances: Vec<Entrance> = (0..clients.len()).map(entrance).collect();
        let has_nginx = entrances.contains(&Entrance::Nginx);
        let last_words = if rng.random_bool(0.25) {
            LastWords::AreCommitted
        } else {
            LastWords::AreSaid
        };
        let protocol = |_: &usize| match rng.random_range(0..9) {
            0 => Protocol::Sse,
            1 => Protocol::WholeSse,
            2..=4 => Protocol::SocketIo {
                is_polling: rng.random_bool(0.4),
            },
            _ => Protocol::WebSocket {
                is_packed: rng.random_bool(0.5),
                is_deflated: rng.random_bool(0.5),
            },
        };
        let protocols = clients.iter().map(protocol).collect();
        let rooms = (0..rng.random_range(1..=3))
            .map(|number| RoomPlan {
                owner: rng.random_range(0..users),
                // Into the first one everybody can come back, so that there is always somebody.
                is_private: number > 0 && rng.random_bool(0.3),
                hides_past: rng.random_bool(0.3),
            })
            .collect();
        let settings = settings::drawn(&mut rng, bus);
        let load_ms = rng.random_range(1500..2500);
        Self {
            seed,
            nodes,
            bus,
            users,
            clients,
            protocols,
            entrances,
            rooms,
            load_ms,
            strikes: faults::strikes(&mut rng, nodes, (bus, has_nginx), load_ms),
            last_words,
            patience: PATIENCE,
            settings,
        }
    }

    /// A run in which nothing breaks by itself: what goes wrong is what a test injects.
    pub(super) fn calm(seed: u64, nodes: usize, bus: BusPlan, last_words: LastWords) -> Self {
        let mut plan = Self::with(seed, nodes, bus, StdRng::seed_from_u64(seed));
        // Nothing stands still here but a machine that is too busy.
        plan.settings.retain(|(name, _)| !IMPATIENT.contains(name));
        Self {
            strikes: Vec::new(),
            last_words,
            patience: CALM_PATIENCE,
            load_ms: 1500,
            ..plan
        }
    }

    /// Whether somebody comes through nginx.
    pub(super) fn has_nginx(&self) -> bool {
        self.entrances.contains(&Entrance::Nginx)
    }

    /// Whether Postgres itself ends, so that it must write to disk what it has committed.
    pub(super) fn ends_postgres(&self) -> bool {
        (self.strikes.iter()).any(|strike| strike.fault.ends_postgres())
    }

    /// How a node is started.
    pub(super) fn node(&self, database_url: &str) -> NodeOptions {
        let mut options = NodeOptions::on(database_url);
        for (name, value) in &self.settings {
            options = options.set(name, &value.to_string());
        }
        options
    }

    /// The random numbers of one who takes part; 0 is the one who breaks things.
    pub(super) fn rng(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ (part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}
