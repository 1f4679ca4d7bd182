//! What may break in a run.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{BusPlan, pick};
use crate::harness::tcp_proxy::{Direction, Way};

/// Something that breaks, and when.
#[derive(Clone, Copy, Debug)]
pub(in crate::chaos) struct Strike {
    /// Since the beginning of the load, milliseconds.
    pub(in crate::chaos) at_ms: u64,
    pub(in crate::chaos) fault: Fault,
    /// The node that is hit, or first tried.
    pub(in crate::chaos) node: usize,
    /// How long it lasts, milliseconds; or how long a node stays away.
    pub(in crate::chaos) lasts_ms: u64,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::chaos) enum Fault {
    /// SIGKILL, then a start.
    Kill,
    /// The node dies when it has committed something and told nobody, then a start.
    KillCommitted,
    /// SIGTERM, then a start when it has ended.
    Drain,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// Some of Postgres's connections with all nodes end.
    EndBackends,
    /// Postgres stands still.
    FreezePostgres,
    /// Postgres ends in order and starts again.
    RestartPostgres,
    /// All its processes are killed, and it starts again.
    KillPostgres,
    /// Redis, or one of a cluster's masters, is killed and starts again.
    RestartRedis,
    /// It stands still.
    FreezeRedis,
    /// It ends the connections by which nodes hear of each other.
    EndRedisLinks,
    /// A slot of the cluster has no master.
    LoseSlot,
    /// nginx is killed and starts again.
    RestartNginx,
    /// A node does with some of the messages on the bus what the bus may do: a fail point.
    Bus(&'static str),
    /// The way from one node, or from all, to a service.
    Way(Service, Trouble, Extent),
    /// An actor panics.
    Panic(&'static str),
}

/// What nodes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Service {
    Postgres,
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Extent {
    OneNode,
    AllNodes,
}

/// What is wrong with a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Trouble {
    Delayed,
    Frozen,
    Cut,
    SilentToServer,
    SilentToNode,
}

use Extent::{AllNodes, OneNode};
use Service::{Postgres, Redis};
use Trouble::{Cut, Delayed, Frozen, SilentToNode, SilentToServer};

/// All that the generator picks from, each with the name that it is counted under.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::Kill, "kill"),
    (Fault::KillCommitted, "kill after commit"),
    (Fault::Drain, "drain"),
    (Fault::Pause, "pause"),
    (Fault::EndBackends, "backends end"),
    (Fault::FreezePostgres, "Postgres freezes"),
    (Fault::RestartPostgres, "Postgres restarts"),
    (Fault::KillPostgres, "Postgres is killed"),
    (
        Fault::Way(Postgres, Delayed, OneNode),
        "Postgres delayed for one",
    ),
    (Fault::Way(Postgres, Delayed, AllNodes), "Postgres delayed"),
    (
        Fault::Way(Postgres, Frozen, OneNode),
        "Postgres frozen for one",
    ),
    (Fault::Way(Postgres, Cut, OneNode), "Postgres cut for one"),
    (Fault::Way(Postgres, Cut, AllNodes), "Postgres cut"),
    (
        Fault::Way(Postgres, SilentToServer, OneNode),
        "Postgres hears nothing of one",
    ),
    (
        Fault::Way(Postgres, SilentToNode, OneNode),
        "one hears nothing of Postgres",
    ),
    (Fault::RestartRedis, "Redis restarts"),
    (Fault::FreezeRedis, "Redis freezes"),
    (Fault::EndRedisLinks, "Redis ends links"),
    (Fault::LoseSlot, "slot without a master"),
    (Fault::Way(Redis, Delayed, OneNode), "Redis delayed for one"),
    (Fault::Way(Redis, Delayed, AllNodes), "Redis delayed"),
    (Fault::Way(Redis, Frozen, OneNode), "Redis frozen for one"),
    (Fault::Way(Redis, Cut, OneNode), "Redis cut for one"),
    (Fault::Way(Redis, Cut, AllNodes), "Redis cut"),
    (
        Fault::Way(Redis, SilentToServer, OneNode),
        "Redis hears nothing of one",
    ),
    (
        Fault::Way(Redis, SilentToNode, OneNode),
        "one hears nothing of Redis",
    ),
    (Fault::RestartNginx, "nginx restarts"),
    (Fault::Bus("hub.bridge.lose"), "bus loses"),
    (Fault::Bus("hub.bridge.double"), "bus doubles"),
    (Fault::Bus("hub.bridge.reverse"), "bus reorders"),
    (Fault::Bus("hub.cluster.tell"), "NOTIFY loses"),
    (Fault::Panic("hub.bridge.publish"), "panic"),
    (Fault::Panic("hub.bridge.receive"), "panic"),
    (Fault::Panic("hub.room.accept"), "panic"),
    (Fault::Panic("hub.presence.move"), "panic"),
    (Fault::Panic("hub.journal.writer"), "panic"),
    (Fault::Panic("hub.fanout.deliver"), "panic"),
    (Fault::Panic("hub.fanout.apply"), "panic"),
    (Fault::Panic("hub.connection.command"), "panic"),
    (Fault::Panic("hub.supervisor.ensure"), "panic"),
    (Fault::Panic("hub.supervisor.down"), "panic"),
    (Fault::Panic("hub.room.deliver"), "panic"),
    (Fault::Panic("hub.journal.settle"), "panic"),
    (Fault::Panic("hub.anti_entropy.turn"), "panic"),
];

impl Fault {
    /// What it is counted under.
    pub(in crate::chaos) fn kind(self) -> &'static str {
        let known = FAULTS.iter().find(|(fault, _)| *fault == self);
        known.map_or("another", |(_, kind)| kind)
    }

    /// What to call it alone: panics are many.
    pub(in crate::chaos) fn name(self) -> &'static str {
        match self {
            Self::Panic(point) => point,
            _ => self.kind(),
        }
    }

    /// Whether it ends Postgres, which then must not lose what it has committed.
    pub(in crate::chaos) fn ends_postgres(self) -> bool {
        matches!(self, Self::RestartPostgres | Self::KillPostgres)
    }

    /// Whether it can happen to so many nodes with such a bus, and with nginx or without.
    fn is_of(self, nodes: usize, bus: BusPlan, has_nginx: bool) -> bool {
        match self {
            Self::RestartNginx => has_nginx,
            Self::Way(Redis, ..) => bus == BusPlan::Redis,
            Self::LoseSlot => bus == BusPlan::Cluster,
            Self::RestartRedis | Self::FreezeRedis | Self::EndRedisLinks | Self::Bus(_) => {
                bus != BusPlan::None
            }
            // A node that is alone receives nothing but its own, which never comes so far.
            Self::Panic("hub.bridge.receive") => bus != BusPlan::None && nodes > 1,
            Self::Panic("hub.bridge.publish") => bus != BusPlan::None,
            _ => true,
        }
    }

    /// A time that it may last, milliseconds.
    fn lasts_ms(self, rng: &mut StdRng) -> u64 {
        match self {
            Self::Kill | Self::KillCommitted | Self::Drain => rng.random_range(0..500),
            Self::RestartPostgres | Self::KillPostgres => rng.random_range(0..300),
            Self::FreezeRedis if rng.random_bool(0.05) => 10_000,
            // Now and then for longer than anybody waits for an answer.
            Self::FreezeRedis
            | Self::RestartRedis
            | Self::Way(_, Frozen | SilentToServer | SilentToNode, _)
                if rng.random_bool(0.1) =>
            {
                rng.random_range(2500..4000)
            }
            _ => rng.random_range(20..1200),
        }
    }
}

impl Trouble {
    pub(in crate::chaos) fn way(self, rng: &mut StdRng) -> Way {
        match self {
            Self::Delayed => {
                Way::Delayed(std::time::Duration::from_millis(rng.random_range(1..60)))
            }
            Self::Frozen => Way::Frozen,
            Self::Cut => Way::Cut,
            Self::SilentToServer => Way::Silent(Direction::ToServer),
            Self::SilentToNode => Way::Silent(Direction::ToNode),
        }
    }
}

/// What breaks in a run. Few kinds of things in each, so that it shows what causes what.
pub(super) fn strikes(
    rng: &mut StdRng,
    nodes: usize,
    (bus, has_nginx): (BusPlan, bool),
    load_ms: u64,
) -> Vec<Strike> {
    // An eighth of the runs break nothing but connections.
    let kept = if rng.random_bool(0.125) { 0.0 } else { 0.25 };
    let mut faults: Vec<Fault> = FAULTS.iter().map(|(fault, _)| *fault).collect();
    faults.retain(|fault| {
        // There are many of those, and each has tests of its own.
        let is_panic = matches!(fault, Fault::Panic(_));
        let kept = if is_panic { kept / 2.0 } else { kept };
        fault.is_of(nodes, bus, has_nginx) && rng.random_bool(kept)
    });
    let count = if faults.is_empty() {
        0
    } else {
        rng.random_range(3..=4 + 2 * nodes)
    };
    let mut chosen: Vec<Fault> = (0..count).map(|_| pick(rng, &faults)).collect();
    if bus == BusPlan::Cluster {
        // What it is there for.
        chosen.extend([Fault::RestartRedis, Fault::LoseSlot]);
        if rng.random_bool(0.3) {
            chosen.push(Fault::FreezeRedis);
        }
    }
    let mut strikes: Vec<Strike> = (chosen.into_iter())
        .map(|fault| Strike {
            at_ms: rng.random_range(100..load_ms),
            fault,
            node: rng.random_range(0..nodes),
            lasts_ms: match fault {
                // Every other time for so long that a replica takes its place.
                Fault::RestartRedis if bus == BusPlan::Cluster && rng.random_bool(0.5) => {
                    rng.random_range(4000..6000)
                }
                _ => fault.lasts_ms(rng),
            },
        })
        .collect();
    strikes.sort_by_key(|strike| strike.at_ms);
    strikes
}
