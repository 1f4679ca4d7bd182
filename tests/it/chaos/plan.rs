//! What a seed stands for: who is there, how the node is set, what may break, and each step.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::node::NodeOptions;

/// A run, before it begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) users: usize,
    /// Each client's user. The first clients have one each.
    pub(super) clients: Vec<usize>,
    /// Each client's protocol.
    pub(super) protocols: Vec<Protocol>,
    pub(super) rooms: Vec<RoomPlan>,
    /// How long clients act and things break, milliseconds.
    pub(super) load_ms: u64,
    pub(super) faults: Vec<Fault>,
    settings: Vec<(&'static str, u64)>,
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

/// What may be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, then a start.
    Kill,
    /// SIGTERM, then a start when it has ended.
    Drain,
    /// Some of the node's connections to Postgres end.
    EndBackends,
    /// Postgres stands still for a while.
    Freeze,
    /// An actor panics.
    Panic(&'static str),
}

/// All that the generator picks from.
const FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::Drain,
    Fault::EndBackends,
    Fault::Freeze,
    Fault::Panic("hub.room.accept"),
    Fault::Panic("hub.presence.move"),
    Fault::Panic("hub.journal.writer"),
    Fault::Panic("hub.fanout.deliver"),
    Fault::Panic("hub.fanout.apply"),
    Fault::Panic("hub.connection.command"),
    Fault::Panic("hub.supervisor.ensure"),
    Fault::Panic("hub.supervisor.down"),
    Fault::Panic("hub.room.deliver"),
    Fault::Panic("hub.journal.settle"),
    Fault::Panic("hub.anti_entropy.turn"),
];

impl Plan {
    /// What this seed stands for.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let users = rng.random_range(3..=5);
        let mut clients: Vec<usize> = (0..users).collect();
        clients.extend((0..rng.random_range(0..=2)).map(|_| rng.random_range(0..users)));
        let protocol = |_: &usize| match rng.random_range(0..6) {
            0 => Protocol::Sse,
            1 => Protocol::WholeSse,
            _ => Protocol::WebSocket {
                is_packed: rng.random_bool(0.5),
                is_deflated: rng.random_bool(0.5),
            },
        };
        let protocols = clients.iter().map(protocol).collect();
        let rooms = (0..rng.random_range(1..=3))
            .map(|_| RoomPlan {
                owner: rng.random_range(0..users),
                is_private: rng.random_bool(0.3),
                hides_past: rng.random_bool(0.3),
            })
            .collect();
        // A quarter of the runs break nothing but connections; the others few kinds of things,
        // so that it shows what causes what.
        let mut faults = FAULTS.to_vec();
        let kept = if rng.random_bool(0.25) { 0.0 } else { 0.4 };
        faults.retain(|_| rng.random_bool(kept));
        let settings = vec![
            // Small, so that positions are soon out of memory, and pages many.
            (
                "HUBBUB__HUB__ROOM_MEMORY_EVENTS",
                pick(&mut rng, &[1, 4, 32, 1024]),
            ),
            (
                "HUBBUB__HUB__REPLAY_PAGE_EVENTS",
                pick(&mut rng, &[1, 3, 20, 500]),
            ),
            ("HUBBUB__HUB__ROOM_IDLE_S", 1),
            ("HUBBUB__HUB__ROOM_MAILBOX", pick(&mut rng, &[2, 1024])),
            ("HUBBUB__HUB__FANOUT_QUEUE", pick(&mut rng, &[8, 65_536])),
            (
                "HUBBUB__JOURNAL__BATCH_MAX_EVENTS",
                pick(&mut rng, &[2, 16, 256]),
            ),
            ("HUBBUB__JOURNAL__STALLED_AFTER_MS", 150),
            ("HUBBUB__JOURNAL__FLIGHT_TIMEOUT_MS", 600),
            ("HUBBUB__JOURNAL__RECONNECT_MAX_MS", 100),
            ("HUBBUB__HTTP__DRAIN_MS", 200),
            ("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", 10_000),
            ("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", 300),
            ("HUBBUB__WEBSOCKET__COMMAND_TIMEOUT_MS", 2000),
            (
                "HUBBUB__WEBSOCKET__OUTBOX_MAX_BYTES",
                pick(&mut rng, &[4096, 1_048_576]),
            ),
            ("HUBBUB__WEBSOCKET__EPHEMERAL_MAX_BYTES", 2048),
            (
                "HUBBUB__WEBSOCKET__DEFLATE_THRESHOLD_BYTES",
                pick(&mut rng, &[0, 200]),
            ),
            ("HUBBUB__WEBSOCKET__SEND_BUFFER_BYTES", 4096),
            ("HUBBUB__WEBSOCKET__MAX_MESSAGE_BYTES", 4096),
            ("HUBBUB__WEBSOCKET__MAX_INFLIGHT", pick(&mut rng, &[2, 256])),
            ("HUBBUB__LIMITS__MESSAGE_BYTES", 2048),
        ];
        Self {
            seed,
            users,
            clients,
            protocols,
            rooms,
            load_ms: rng.random_range(1500..2500),
            faults,
            settings,
        }
    }

    /// A run in which nothing breaks by itself: what goes wrong is what a test injects.
    pub(super) fn calm(seed: u64) -> Self {
        Self {
            faults: Vec::new(),
            load_ms: 1500,
            ..Self::of(seed)
        }
    }

    /// How the node is started.
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

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Publishes so many messages without waiting in between.
    Publish(usize),
    EmitDurable,
    EmitVolatile,
    Typing,
    Edit,
    Delete,
    React,
    Pin,
    Read,
    /// Joins the room on the socket, from the client's position.
    Join,
    /// Joins it from this far before the position.
    JoinEarlier(u64),
    /// Joins it without a position.
    JoinNow,
    /// Joins all rooms of a cursor on the socket.
    Resume,
    Leave,
    BecomeMember,
    GiveUpMembership,
    AddMember,
    RemoveMember,
    ChangeRole,
    Ban,
    Unban,
    Mute,
    Unmute,
    /// Makes an invitation, for whoever takes it.
    Invite,
    AcceptInvitation,
    Snapshot,
    Close,
    BreakOff,
    /// Reads nothing for so long, milliseconds.
    Stall(u64),
}

impl Step {
    /// The next step of a client.
    pub(super) fn random(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..33 => Self::Publish(rng.random_range(1..=5)),
            33..38 => Self::moderation(rng),
            38..44 => Self::EmitDurable,
            44..47 => Self::EmitVolatile,
            47..50 => Self::Typing,
            50..54 => Self::Edit,
            54..56 => Self::Delete,
            56..61 => Self::React,
            61..63 => Self::Pin,
            63..65 => Self::Read,
            65..68 => Self::Join,
            68..70 => Self::Resume,
            70..73 => Self::JoinEarlier(rng.random_range(1..60)),
            73 => Self::JoinNow,
            74..76 => Self::Leave,
            76..81 => Self::BecomeMember,
            81..82 => Self::GiveUpMembership,
            82..86 => Self::AddMember,
            86..89 => Self::RemoveMember,
            89..90 => Self::ChangeRole,
            90..94 => Self::Snapshot,
            94..95 => Self::Close,
            95..98 => Self::BreakOff,
            _ => Self::Stall(rng.random_range(50..500)),
        }
    }

    fn moderation(rng: &mut StdRng) -> Self {
        // What shuts out or silences is undone more often than done: few may do either.
        let steps = [
            Self::Ban,
            Self::Unban,
            Self::Unban,
            Self::Mute,
            Self::Unmute,
            Self::Unmute,
            Self::Invite,
            Self::AcceptInvitation,
            Self::AcceptInvitation,
        ];
        pick(rng, &steps)
    }
}
