//! The hub by Socket.IO: commands and acknowledgements, pushes, recovery, ends, by WebSocket and by
//! polls.

mod binary;
mod client;
mod commands;
mod connecting;
mod ending;
mod polled;
mod polling;
mod recovery;

use crate::harness::engineio::Place;
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::rest::{Room, User, register};

/// Where it is served.
const PATH: &str = "/socket.io/";

/// A node with two people who are members of a room.
struct Scene {
    node: Node,
    database: TestDatabase,
    ada: User,
    bob: User,
    room: Room,
}

async fn scene(settings: &[(&str, &str)]) -> Scene {
    let (node, database) = Node::on_fresh_database_with(settings).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("lobby").await;
    bob.join_room(&room).await;
    Scene {
        node,
        database,
        ada,
        bob,
        room,
    }
}

/// Clients of this revision.
fn place(node: &Node, revision: u8) -> Place {
    Place::new(&node.address, PATH, revision)
}
