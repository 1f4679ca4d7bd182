//! Transports: from a client's bytes to a connection of the hub.
//!
//! [`server`] listens: one port for REST and for upgrades. [`accept`] bounds connections
//! ([`places`]) and does the handshake of TLS ([`tls`]). [`upgrade`] takes over the socket of
//! every request that asks for another protocol. [`sse`] answers requests by streams, which stay
//! on the HTTP dispatcher, with a hold on the socket below it ([`held`]). [`socketio`] serves the
//! polling requests and the sockets of Socket.IO's sessions.

mod accept;
mod admission;
mod gate;
mod held;
mod metrics;
mod places;
mod refusal;
pub mod server;
pub(crate) mod socketio;
pub(crate) mod sse;
mod tls;
mod upgrade;

use crate::auth::{Authenticator, Limits};
use crate::config;
use crate::hub::HubHandle;
use crate::peers::Peers;

pub use gate::AuthGate;
pub use places::Places;
pub use tls::{Tls, TlsError};

/// Sockets that this node carries to sessions of other nodes.
#[must_use]
pub fn tunnels() -> usize {
    usize::try_from(metrics::SOCKETIO_TUNNELS.get()).unwrap_or_default()
}

/// What the transports need. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    /// Where connections go.
    pub hub: HubHandle,
    /// Who is let in.
    pub authenticator: Authenticator,
    /// How often.
    pub limits: std::sync::Arc<Limits>,
    /// How many.
    pub places: Places,
    /// TLS, if the port speaks it.
    pub tls: Option<Tls>,
    /// Listening and its bounds.
    pub http: std::sync::Arc<config::Http>,
    /// Sockets.
    pub websocket: std::sync::Arc<config::WebSocket>,
    /// Socket.IO.
    pub socketio: std::sync::Arc<config::SocketIo>,
    /// The other nodes, whose sessions' requests may come here.
    pub peers: Peers,
}
