//! Transports: from a client's bytes to a connection of the hub.
//!
//! [`server`] listens: one port for REST and for upgrades. [`upgrade`] takes over the socket of
//! every request that asks for another protocol. [`sse`] answers requests by streams, which stay
//! on the HTTP dispatcher, with a hold on the socket below it ([`held`]).

mod admission;
mod gate;
mod held;
mod refusal;
pub mod server;
pub(crate) mod sse;
mod upgrade;

use crate::auth::{Authenticator, Limits};
use crate::config;
use crate::hub::HubHandle;

pub use gate::AuthGate;

/// What the transports need. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    /// Where connections go.
    pub hub: HubHandle,
    /// Who is let in.
    pub authenticator: Authenticator,
    /// How often.
    pub limits: std::sync::Arc<Limits>,
    /// Listening and its bounds.
    pub http: std::sync::Arc<config::Http>,
    /// Sockets.
    pub websocket: std::sync::Arc<config::WebSocket>,
}
