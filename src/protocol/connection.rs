//! Connections as the whole cluster knows them: an id that no other connection of any node has,
//! and what is told of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{RoomId, SessionId, UserId};
use super::origin::{Origin, number};

/// Where a connection is on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The worker thread.
    pub thread: u32,
    /// Its place in the thread's table.
    pub index: u32,
    /// Tells it from those that had the place before.
    pub generation: u32,
}

/// A connection, by a name that is unique in the cluster and over the lives of its nodes:
/// `<node>~<incarnation>~<thread>-<index>-<generation>`. It begins with its node's name and needs
/// no escaping in an address. To clients it means nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The node, in the life that has the connection.
    pub origin: Origin,
    /// Where it is there.
    pub place: Place,
}

/// A text that is no connection's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a connection")]
pub struct NoConnectionId;

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            thread,
            index,
            generation,
        } = self.place;
        write!(f, "{}~{thread}-{index}-{generation}", self.origin)
    }
}

impl FromStr for ConnectionId {
    type Err = NoConnectionId;

    fn from_str(text: &str) -> Result<Self, NoConnectionId> {
        let read = || {
            let (origin, place) = text.rsplit_once('~')?;
            let mut numbers = place.split('-').map(number);
            let place = Place {
                thread: numbers.next()??,
                index: numbers.next()??,
                generation: numbers.next()??,
            };
            let origin = Origin::parse(origin)?;
            numbers.next().is_none().then_some(Self { origin, place })
        };
        read().ok_or(NoConnectionId)
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a connection goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// An event stream.
    Sse,
    /// Requests, each for what has come since the one before: a session of Engine.IO.
    Polling,
}

impl Transport {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Polling => "polling",
        }
    }
}

/// An open connection, as its node tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionState {
    /// Which.
    pub id: ConnectionId,
    /// Whose; none: no credentials have been shown yet.
    pub user_id: Option<UserId>,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// What it goes over.
    pub transport: Transport,
    /// The client's address.
    pub address: IpAddr,
    /// For how long it has been open, seconds.
    pub open_s: u64,
    /// The rooms that it is in.
    pub rooms: Vec<RoomId>,
}

/// Connections of a node that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionList {
    /// How many there are.
    pub total: u64,
    /// The first of them, as many as were asked for.
    pub connections: Vec<ConnectionState>,
}

/// Which connections are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionQuery {
    /// Those of this user alone.
    pub user_id: Option<UserId>,
    /// At most so many are listed; all are counted.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_begin_with_their_node() {
        for node in ["node-1a2b3c4d", "a", "x.y_z-9"] {
            let id = ConnectionId {
                origin: Origin {
                    node: node.into(),
                    incarnation: 17,
                },
                place: Place {
                    thread: 0,
                    index: 4_294_967_295,
                    generation: 12,
                },
            };
            let text = id.to_string();
            assert!(text.starts_with(node), "{text}");
            assert_eq!(text.parse(), Ok(id.clone()));
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<ConnectionId>(&json).unwrap(), id);
        }
    }

    #[test]
    fn what_is_no_id_is_refused_and_no_two_texts_are_one_id() {
        for text in [
            "",
            "~",
            "a~1",
            "a~1~",
            "a~1~1-2",
            "a~1~1-2-3-4",
            "a~1~01-2-3",
            "a~1~+1-2-3",
            "a~01~1-2-3",
            "~1~1-2-3",
            "a b~1~1-2-3",
            "a~1~1-2-4294967296",
            "a~18446744073709551616~1-2-3",
            "a~b~1~1-2-3",
        ] {
            assert_eq!(text.parse::<ConnectionId>(), Err(NoConnectionId), "{text}");
        }
    }
}
