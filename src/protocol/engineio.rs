//! Engine.IO: the layer below [`socketio`](super::socketio), which makes one connection out of
//! long polling, WebSocket, and a change from the one to the other.
//!
//! Two revisions of it are spoken, [`Revision`]: the fourth by clients since Socket.IO 3, the third
//! by those of Socket.IO 1 and 2. [`packet`] is what both exchange, [`payload`] how several packets
//! share the body of one polling request, [`request`] what a request's address must say and how it
//! is refused, [`session`] the state of one connection, without any I/O.

mod counted;
mod framed;
pub mod open;
pub mod packet;
pub mod payload;
pub mod request;
pub mod session;
pub mod sid;

pub use packet::{Packet, PacketError};

/// A revision of the protocol, as `EIO` in a request's address has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// `EIO=3`: the client sends the heartbeats; polling counts characters, or has bytes.
    V3,
    /// `EIO=4`: the server sends the heartbeats; polling is text.
    V4,
}

/// A way in which packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Requests by HTTP: a `GET` waits for packets, a `POST` brings some.
    Polling,
    /// A WebSocket: a message for each packet.
    Websocket,
}

impl Transport {
    /// As `transport` in a request's address, and `upgrades` of the handshake, have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
        }
    }
}
