//! The bus: how nodes hear of each other's events. It may lose, double and reorder; rooms put
//! right what it does, because every durable event has its place in Postgres.

pub mod envelope;
pub mod local;

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use self::envelope::Envelope;
use crate::protocol::id::RoomId;

/// A way to the other nodes. Calls never wait.
pub trait Bus: Send + Sync + Debug + 'static {
    /// Whether anybody may want what is published for a room; if not, it need not be encoded.
    fn has_listeners(&self, room: RoomId) -> bool;

    /// Sends an envelope to every other node that has subscribed to its room.
    fn publish(&self, envelope: Envelope) -> Result<(), BusError>;

    /// Has the node's inbox get what others publish for a room.
    fn subscribe(&self, room: RoomId);

    /// Ends that.
    fn unsubscribe(&self, room: RoomId);

    /// Which way events go to the other nodes now, and when that changes.
    fn states(&self) -> watch::Receiver<BusState>;

    /// Where the node's envelopes come in. One at a time has it; when it is dropped, the next may
    /// take it with all that is in it.
    fn take_inbox(&self) -> Option<Inbox>;
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
    /// As it stands in the table of nodes, and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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
            .find(|state| state.as_str() == text)
    }
}

/// Where a node's envelopes come in.
#[derive(Debug)]
pub struct Inbox {
    /// `None` only while dropping.
    receiver: Option<mpsc::Receiver<Envelope>>,
    home: InboxHome,
}

/// Where an inbox lies when nobody has it.
pub(crate) type InboxHome = Arc<Mutex<Option<mpsc::Receiver<Envelope>>>>;

impl Inbox {
    /// Takes the inbox from where it lies.
    pub(crate) fn take(home: &InboxHome) -> Option<Self> {
        let receiver = home.lock().take()?;
        Some(Self {
            receiver: Some(receiver),
            home: Arc::clone(home),
        })
    }

    /// The next envelopes, at least one and at most `max`; none when the bus has ended.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Option<Vec<Envelope>>> {
        let Some(receiver) = &mut self.receiver else {
            return Poll::Ready(None);
        };
        let mut batch = Vec::new();
        receiver
            .poll_recv_many(cx, &mut batch, max)
            .map(|received| (received > 0).then_some(batch))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *self.home.lock() = self.receiver.take();
    }
}

/// Why something was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// This many nodes had no room in their inboxes.
    #[error("the inboxes of {0} nodes are full")]
    Full(usize),
}
