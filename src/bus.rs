//! The bus: how nodes hear of each other's events. It may lose, double and reorder; rooms put
//! right what it does, because every durable event has its place in Postgres.

pub mod envelope;
pub mod local;
mod metrics;
pub mod presence;
mod queue;
pub mod redis;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use self::envelope::Envelope;
pub(crate) use self::metrics::{ENVELOPES, IN};
pub use self::queue::Inbox;
use crate::protocol::id::RoomId;

/// A way to the other nodes. Calls never wait.
pub trait Bus: Send + Sync + Debug + 'static {
    /// Whether anybody may want what is published for a room; if not, it need not be encoded.
    fn has_listeners(&self, room: RoomId) -> bool;

    /// Sends an envelope to every other node that has subscribed to its room.
    fn publish(&self, envelope: Envelope) -> Result<(), BusError>;

    /// Envelopes handed in that have not left the node.
    fn waiting(&self) -> usize {
        0
    }

    /// Has the node's inbox get what others publish for a room.
    fn subscribe(&self, room: RoomId);

    /// Ends that.
    fn unsubscribe(&self, room: RoomId);

    /// Which way events go to the other nodes now, and when that changes.
    fn states(&self) -> watch::Receiver<BusState>;

    /// How it is, for people.
    fn health(&self) -> BusHealth;

    /// How many inboxes the node has. A room's envelopes all come into one, see [`lane_of`].
    fn lanes(&self) -> usize {
        1
    }

    /// Where the envelopes of a lane come in. One at a time has it; when it is dropped, the next
    /// may take it with all that is in it.
    fn take_inbox(&self, lane: usize) -> Option<Inbox>;

    /// Has this asked first about each envelope that comes in. The first one counts. A bus that asks
    /// nobody puts all into the inboxes.
    fn set_express(&self, _express: Arc<dyn Express>) {}
}

/// Takes envelopes before the inboxes, on the bus's own thread: it must neither wait nor take long.
pub trait Express: Send + Sync + Debug {
    /// False if it leaves this one to the inboxes.
    fn take(&self, envelope: &Envelope) -> bool;
}

/// The lane of a room, of so many. The tail of a UUIDv7 is random.
#[must_use]
pub fn lane_of(room: RoomId, lanes: usize) -> usize {
    let tail = room.0.as_u64_pair().1;
    usize::try_from(tail % lanes.max(1) as u64).unwrap_or_default()
}

/// Which way events go to the other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BusState {
    /// None is configured.
    Local,
    /// By Redis: connected, and subscribed to what was asked for.
    Redis,
    /// Redis is configured and away: what happens elsewhere is read from Postgres.
    Fallback,
}

impl BusState {
    /// As it stands in the table of nodes, in metrics, logs and health.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Redis => "redis",
            Self::Fallback => "fallback",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Local, Self::Redis, Self::Fallback]
            .into_iter()
            .find(|state| state.name() == text)
    }
}

/// How the bus is.
#[derive(Debug, Clone)]
pub struct BusHealth {
    /// Which way events go.
    pub state: BusState,
    /// Since when.
    pub since: Instant,
    /// What went wrong last, without secrets, and when.
    pub last_error: Option<(String, Instant)>,
    /// Servers that there should be a connection to: one, or the masters of a cluster.
    pub servers: usize,
    /// Those that are connected to, with all rooms subscribed.
    pub servers_up: usize,
    /// Rooms that this node wants to hear of.
    pub rooms: usize,
}

/// What comes in.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// Something for a room.
    Envelope(Envelope),
    /// What is published for this room from now on comes in. What was published while the
    /// subscription was on its way did not.
    Subscribed(RoomId),
}

/// Why something was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// This many nodes had no room in their inboxes.
    #[error("the inboxes of {0} nodes are full")]
    Full(usize),
    /// Too much waits to be written.
    #[error("too much waits to be written to Redis")]
    Overloaded,
    /// There is no connection.
    #[error("Redis is away")]
    Away,
    /// Others would refuse it.
    #[error("an envelope of {0} bytes is too large")]
    TooLarge(usize),
}
