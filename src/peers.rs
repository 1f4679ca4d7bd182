//! The channel between nodes: HTTP/1 on a port of its own, from one node of the database to
//! another, or from an operator's command to all of them.
//!
//! Who may ask is who has the secret of the cluster, which is in the database: [`seal`] says how
//! requests and answers are authenticated. Addresses and the time come from the database, too
//! ([`view`]). What may be asked is in [`query`]; [`Host`] answers it, out of what its node alone
//! knows. A host has no way to ask further nodes, so what came from one never goes on to another.
//!
//! A client's request that is to be passed on to the node of its session goes the same way
//! ([`passing`]): as the body of a query it is sealed as a whole, within `peers.max_body_bytes`. A
//! WebSocket that is passed on is an upgrade here, too ([`tunnel`]): sealed are its request and the
//! answer to it, and what the two sides then say is not.
//!
//! Nothing durable depends on the channel: what must reach every node is an entry of the control
//! log. A peer that does not answer is named, with the reason, beside the answers of the others.

mod client;
mod listener;
mod metrics;
pub mod passing;
pub mod query;
mod refused;
mod replay;
pub mod seal;
mod tunnel;
mod view;

pub use self::client::{Heard, PeerError, Peers};
pub use self::listener::{Channel, bind};
pub use self::query::Host;
pub use self::refused::Refused;
pub use self::tunnel::{PassedStream, Tunnel};
pub use crate::store::cluster::Peer;
