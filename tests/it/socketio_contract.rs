//! What the published documents of Engine.IO (revisions 3 and 4) and of Socket.IO (revision 5) say
//! that a server must do, against the contract that the suites of the protocols' authors expect.

mod bad_requests;
mod connecting;
mod engineio3;
mod handshake;
mod heartbeat;
mod messages;
mod packets;
mod production;
pub(crate) mod upgrade;

use crate::harness::engineio::Place;
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;

/// Gives back what it is sent.
const ENGINE: &str = "/engine.io/";

/// Has namespaces.
const SOCKET: &str = "/socket.io/";

/// A node with the contract, whose other settings are those of production.
async fn contract() -> (Node, TestDatabase) {
    contract_with(&[]).await
}

/// The same with these settings, whose names follow `HUBBUB__SOCKETIO__`.
async fn contract_with(settings: &[(&str, &str)]) -> (Node, TestDatabase) {
    let names: Vec<_> = settings
        .iter()
        .map(|(name, value)| (format!("HUBBUB__SOCKETIO__{name}"), *value))
        .collect();
    let mut all = vec![("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true")];
    all.extend(names.iter().map(|(name, value)| (name.as_str(), *value)));
    Node::on_fresh_database_with(&all).await
}

/// Engine.IO 4, which gives everything back.
fn engine(node: &Node) -> Place {
    Place::new(&node.address, ENGINE, 4)
}

/// Socket.IO 5.
fn socket(node: &Node) -> Place {
    Place::new(&node.address, SOCKET, 4)
}
