//! What a session says to do, and why it ends a connection.

use std::borrow::Cow;
use std::time::Duration;

#[cfg(doc)]
use super::Session;
use crate::protocol::socketio::decode::DecodeError;
use crate::protocol::socketio::value::Value;

/// What may be set. The same for all sessions, which share it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a client may take to be in a namespace.
    pub connect_timeout: Duration,
    /// How long the attachments of a packet may take.
    pub attachments_timeout: Duration,
    /// A packet with its attachments is at most this long, bytes.
    pub packet_bytes: usize,
    /// One client is in at most so many namespaces.
    pub namespaces: usize,
    /// So many times a client may be refused. Then the connection ends.
    pub refusals: usize,
    /// At most so many acknowledgements of the client are awaited.
    pub awaited: usize,
}

/// What to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Action<'a> {
    /// The client wants to be in a namespace: accept or refuse it.
    Connect {
        /// Which.
        nsp: String,
        /// What stands behind it in revision 4: the pairs of a query.
        query: Option<String>,
        /// What shows who it is, an object.
        data: Option<Value<'a>>,
    },
    /// The client says something in a namespace that it is in.
    Event {
        /// Which.
        nsp: Cow<'a, str>,
        /// What the acknowledgement carries, if one is wanted.
        id: Option<u64>,
        /// A list: the event's name, then its arguments.
        args: Value<'a>,
    },
    /// The client has received an event for which that was asked.
    Acked {
        /// Which, as [`Session::ask`] has numbered it.
        id: u64,
        /// What it says to it, a list.
        args: Value<'a>,
    },
    /// The client is in a namespace no longer, as it wants.
    Left {
        /// Which.
        nsp: String,
    },
    /// End the connection.
    Close(Violation),
}

/// Why a connection is ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// What came is no packet.
    #[error("{0}")]
    Packet(#[from] DecodeError),
    /// It was in no namespace in time.
    #[error("in no namespace in time")]
    ConnectTimeout,
    /// The attachments of a packet did not come in time.
    #[error("attachments did not come in time")]
    AttachmentsTimeout,
    /// A packet for a namespace that the client is not in.
    #[error("a packet for a namespace that the client is not in")]
    NotConnected,
    /// A namespace that it is in, or waits for, is asked for again.
    #[error("a namespace is asked for twice")]
    ConnectedTwice,
    /// A packet that servers send.
    #[error("a packet that only servers send")]
    OutOfPlace,
    /// An acknowledgement of what was never sent.
    #[error("an acknowledgement that was never asked for")]
    Ack,
    /// It was refused again and again.
    #[error("refused too often")]
    Refusals,
}
