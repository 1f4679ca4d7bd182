//! What the measuring process tells its generators, and what they tell it: a line of JSON each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::schedule::Schedule;

/// What a generator is to do, one after the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Comes first.
    Setup(Setup),
    /// Open connections and keep them. Answered by [`Report::Ready`].
    Open(Open),
    /// All connections that are in no room join theirs. Answered by [`Report::Ready`].
    Join,
    /// Send and receive. Answered by [`Report::Ran`].
    Run(Run),
    /// Open connections one after the other, and close each at once. Answered by
    /// [`Report::Connected`].
    Connect(Connect),
}

/// Whom to speak to, and as whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) dialect: Dialect,
    /// `127.0.0.1:<port>` of each server.
    pub(crate) addresses: Vec<String>,
    /// The second number of the addresses, 127.x.0.0/16, that this generator connects from: one
    /// address has too few ports.
    pub(crate) source_net: u8,
    /// None: nobody has to say who they are.
    pub(crate) tokens: Vec<String>,
    pub(crate) rooms: Vec<String>,
    pub(crate) payload_bytes: usize,
    pub(crate) deflate: bool,
}

/// Where a connection belongs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Index among the servers' addresses.
    pub(crate) server: u32,
    /// Index among the rooms.
    pub(crate) room: u32,
    /// Index among the tokens.
    pub(crate) person: u32,
    /// Whether it is the one that sends in its room.
    pub(crate) sends: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) places: Vec<Place>,
    pub(crate) join: bool,
    /// Handshakes under way at most.
    pub(crate) at_once: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Tells its messages from those of other runs.
    pub(crate) number: u16,
    pub(crate) schedule: Schedule,
    /// How long after the end late messages are waited for.
    pub(crate) tail_ns: u64,
    /// Whether Hubbub stores the messages.
    pub(crate) durable: bool,
    pub(crate) churn: Option<Churn>,
}

/// Connections that come, stay a while and go.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Churn {
    /// Between two arrivals at this generator.
    pub(crate) interval_ns: u64,
    /// How long one stays from the moment that it is in its room.
    pub(crate) stay_ns: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Connect {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) pace: Pace,
    /// Whether each connection asks something and waits for the reply.
    pub(crate) first_reply: bool,
}

/// When the next connection is begun.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// So many are always under way.
    Closed { at_once: usize },
    /// At fixed times, whatever becomes of those before, unless more than so many are under way.
    Open { interval_ns: u64, at_once: usize },
}

/// What a generator answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    Ready {
        open: usize,
    },
    Ran(Ran),
    Connected(Connected),
    /// It cannot go on.
    Failed(String),
}

/// Latencies as pairs of microseconds and how many there were.
pub(crate) type Counts = Vec<(u64, u64)>;

/// What a run came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ran {
    pub(crate) sent: u64,
    /// Messages that waited here because the server took no more from their sender.
    pub(crate) held_back: u64,
    /// Messages that were never sent because too much waited.
    pub(crate) unsent: u64,
    /// How much later than meant messages were sent.
    pub(crate) slip: Counts,
    /// By server.
    pub(crate) shares: Vec<RanShare>,
    pub(crate) doubled: u64,
    pub(crate) disordered: u64,
    /// Deliveries of a room that the receiver is not in.
    pub(crate) strayed: u64,
    /// Deliveries that were parsed as a whole, and those that were not what was sent.
    pub(crate) verified: u64,
    pub(crate) corrupt: u64,
    /// Commands that were refused, with one of the reasons.
    pub(crate) refused: u64,
    /// Connections that ended without having been asked to.
    pub(crate) ended: u64,
    /// Why, by close code or error.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Connections that came and went, and those that never got into their room.
    pub(crate) came: u64,
    pub(crate) failed: u64,
    /// From when a connection was meant to begin until it was in its room.
    pub(crate) arrival: Counts,
}

/// What came from one of the servers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RanShare {
    /// From when a message was meant to be sent until it was received.
    pub(crate) latency: Counts,
    /// Deliveries within the measured time.
    pub(crate) measured: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
}

/// What connecting came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Connected {
    /// Connections that were opened within the time (and had their reply, if they asked).
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// Those that were not begun because too many were under way.
    pub(crate) not_begun: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    /// How much later than meant connections were begun, at a fixed rate.
    pub(crate) slip: Counts,
    /// From when it was (meant to be) begun until 101, until the first reply.
    pub(crate) upgraded: Counts,
    pub(crate) replied: Counts,
}
