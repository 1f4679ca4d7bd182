//! Packets, whichever way they are written.

use std::borrow::Cow;

use super::value::Value;

/// A namespace, with the query that revision 4 may have behind it, is at most this long, bytes.
pub const NAMESPACE_MAX_BYTES: usize = 1024;

/// Ids are exact up to here in JavaScript: 2⁵³ - 1.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// What events may not be called: clients and servers mean something by it.
pub const RESERVED_EVENTS: &[&str] = &[
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// The client wants to be in a namespace, or is.
    Connect {
        /// Which; in revision 4 with a query, if there is one.
        nsp: Cow<'a, str>,
        /// An object: of a client, what shows who it is; of the server, the client's id.
        data: Option<Value<'a>>,
    },
    /// The client is in a namespace no longer.
    Disconnect {
        /// Which.
        nsp: Cow<'a, str>,
    },
    /// Something is said to the other side.
    Event {
        /// Where.
        nsp: Cow<'a, str>,
        /// What the other side's acknowledgement carries, if one is wanted.
        id: Option<u64>,
        /// A list: the event's name, then its arguments.
        args: Value<'a>,
    },
    /// An event was received.
    Ack {
        /// Where.
        nsp: Cow<'a, str>,
        /// Which event.
        id: u64,
        /// A list, perhaps of nothing.
        args: Value<'a>,
    },
    /// The client may not be in a namespace.
    ConnectError {
        /// Which.
        nsp: Cow<'a, str>,
        /// Why: an object with a `message`; in revision 4 anything.
        data: Value<'a>,
    },
}

/// The types, as the wire numbers them. The last two are events and acknowledgements with
/// attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `CONNECT`
    Connect,
    /// `DISCONNECT`
    Disconnect,
    /// `EVENT`
    Event,
    /// `ACK`
    Ack,
    /// `CONNECT_ERROR`, in revision 4 `ERROR`
    ConnectError,
    /// `BINARY_EVENT`
    BinaryEvent,
    /// `BINARY_ACK`
    BinaryAck,
}

impl Kind {
    /// The type of a number.
    #[must_use]
    pub const fn of(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Connect,
            1 => Self::Disconnect,
            2 => Self::Event,
            3 => Self::Ack,
            4 => Self::ConnectError,
            5 => Self::BinaryEvent,
            6 => Self::BinaryAck,
            _ => return None,
        })
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether attachments may follow.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

impl Packet<'_> {
    /// Its type, attachments apart.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect { .. } => Kind::Connect,
            Self::Disconnect { .. } => Kind::Disconnect,
            Self::Event { .. } => Kind::Event,
            Self::Ack { .. } => Kind::Ack,
            Self::ConnectError { .. } => Kind::ConnectError,
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn nsp(&self) -> &str {
        match self {
            Self::Connect { nsp, .. }
            | Self::Disconnect { nsp }
            | Self::Event { nsp, .. }
            | Self::Ack { nsp, .. }
            | Self::ConnectError { nsp, .. } => nsp,
        }
    }
}
