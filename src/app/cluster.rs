//! What an operator asks of all nodes, and orders of their connections.

use actix_rt::System;
use uuid::Uuid;

use super::OrderError;
use super::operator::connect;
use crate::config::Config;
use crate::peers::{Heard, Peer, Peers};
use crate::protocol::connection::{ConnectionId, ConnectionList, ConnectionQuery};
use crate::protocol::copies::{CopiesQuery, CopiesReport};
use crate::protocol::id::{RoomId, UserId};
use crate::store::control_log::{self, Dismissal};
use crate::store::{Conn, rooms, users};

/// A node, and what it says or why it says nothing.
#[derive(Debug)]
pub struct NodeLine {
    /// As it stands in the database.
    pub peer: Peer,
    /// Its open connections now; or why it did not answer.
    pub connections: Result<u64, String>,
}

/// What a node has of the connections that were asked for, or why that is not known.
#[derive(Debug)]
pub struct NodeConnections {
    /// The node's name.
    pub node: String,
    /// What it has; or why it did not answer.
    pub connections: Result<ConnectionList, String>,
}

/// What a node has copies of, or why that is not known.
#[derive(Debug)]
pub struct NodeCopies {
    /// The node's name.
    pub node: String,
    /// What it has; or why it did not answer.
    pub report: Result<CopiesReport, String>,
}

/// Which connections are meant.
#[derive(Debug, Clone)]
pub enum Meant {
    /// All of the user of this name or id.
    User(String),
    /// One.
    Connection(ConnectionId),
}

/// What became of an order to disconnect.
#[derive(Debug)]
pub struct Disconnected {
    /// Those that there were, as far as nodes answered.
    pub nodes: Vec<NodeConnections>,
}

/// All nodes that may be running, by name.
pub fn nodes(config: &Config) -> Result<Vec<NodeLine>, OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let peers = Peers::for_operator(store, &config.peers).await?;
        let none = ConnectionQuery {
            user_id: None,
            limit: 0,
        };
        let heard = peers.ask_others(&none).await;
        let line = |it: Heard<ConnectionList>| NodeLine {
            peer: it.peer,
            connections: it.answer.map(|it| it.total).map_err(|it| it.to_string()),
        };
        Ok(heard.into_iter().map(line).collect())
    })
}

/// The open connections, of all nodes by their names: those of a user, by name or id, or all. At
/// most `limit` of each node are listed, and at most [`LISTED_MAX`](crate::hub::LISTED_MAX).
pub fn connections(
    config: &Config,
    user: Option<&str>,
    limit: u32,
) -> Result<Vec<NodeConnections>, OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let user_id = match user {
            Some(user) => Some(find(&store.get().await?, user).await?),
            None => None,
        };
        let peers = Peers::for_operator(store, &config.peers).await?;
        Ok(ask(&peers, &ConnectionQuery { user_id, limit }).await)
    })
}

/// Orders connections to end: every node that runs does so, also one that does not answer now. With
/// `is_move` they are told to come back, as when a node drains.
pub fn disconnect(
    config: &Config,
    meant: &Meant,
    is_move: bool,
) -> Result<Disconnected, OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let (user_id, connection) = match meant {
            Meant::User(user) => (Some(find(&store.get().await?, user).await?), None),
            Meant::Connection(id) => (None, Some(id.clone())),
        };
        // Before the order, or there would be nothing left to be told of: how many there are.
        let peers = Peers::for_operator(store.clone(), &config.peers).await?;
        let query = ConnectionQuery { user_id, limit: 0 };
        let nodes = match &connection {
            None => ask(&peers, &query).await,
            Some(_) => Vec::new(),
        };
        let dismissal = Dismissal {
            user_id,
            connection,
            is_move,
        };
        control_log::order_disconnect(&store.get().await?, &dismissal).await?;
        Ok(Disconnected { nodes })
    })
}

/// What each node has copies of; of a room, by id or slug, at most `limit` are listed.
pub fn copies(
    config: &Config,
    room: Option<&str>,
    limit: u32,
) -> Result<Vec<NodeCopies>, OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let room = match room {
            Some(room) => Some(find_room(&store.get().await?, room).await?),
            None => None,
        };
        let peers = Peers::for_operator(store, &config.peers).await?;
        let heard = peers.ask_others(&CopiesQuery { room, limit }).await;
        let told = |it: Heard<CopiesReport>| NodeCopies {
            node: it.peer.origin.node.to_string(),
            report: it.answer.map_err(|it| it.to_string()),
        };
        Ok(heard.into_iter().map(told).collect())
    })
}

/// Has every node that runs read a room again, by id or slug; none: everything.
pub fn drop_copies(config: &Config, room: Option<&str>) -> Result<(), OrderError> {
    System::new().block_on(async {
        let store = connect(config).await?;
        let conn = store.get().await?;
        let room = match room {
            Some(room) => Some(find_room(&conn, room).await?),
            None => None,
        };
        control_log::order_drop(&conn, room).await?;
        Ok(())
    })
}

async fn find_room(conn: &Conn, room: &str) -> Result<RoomId, OrderError> {
    let unknown = || OrderError::NoSuchRoom(room.to_owned());
    let named = room.parse().map_err(|_| unknown())?;
    let found = rooms::resolve(conn, &named).await?;
    found.ok_or_else(unknown)
}

async fn ask(peers: &Peers, query: &ConnectionQuery) -> Vec<NodeConnections> {
    let heard = peers.ask_others(query).await;
    let told = |it: Heard<ConnectionList>| NodeConnections {
        node: it.peer.origin.node.to_string(),
        connections: it.answer.map_err(|it| it.to_string()),
    };
    heard.into_iter().map(told).collect()
}

/// The user of this name or id. No name is as long as an id.
async fn find(conn: &Conn, user: &str) -> Result<UserId, OrderError> {
    let id = Uuid::try_parse(user).ok().filter(|_| user.len() == 36);
    let found = match id {
        Some(id) => users::by_id(conn, UserId(id)).await?,
        None => users::by_username(conn, user).await?,
    };
    let found = found.ok_or_else(|| OrderError::NoSuchUser(user.to_owned()))?;
    Ok(found.id)
}
