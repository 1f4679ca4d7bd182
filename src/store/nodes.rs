//! The nodes and their lives.

use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use super::statement::{Statement, statement};
use super::{Conn, Store, StoreError, seq};

const BEGIN_LIFE: Statement = statement!("nodes/begin_life");
pub(super) const REPORT: Statement = statement!("nodes/report");
pub(super) const PEERS: Statement = statement!("nodes/peers");
const LIST: Statement = statement!("nodes/list");

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It takes clients.
    Serving,
    /// It is telling its clients to move.
    Draining,
    /// They have gone.
    Drained,
    /// It has stopped in order.
    Stopped,
}

impl NodeState {
    /// As it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Stopped => "stopped",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        [Self::Serving, Self::Draining, Self::Drained, Self::Stopped]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt {
                what: "state of a node",
                source: format!("no state is called {text:?}").into(),
            })
    }
}

/// A node as it has last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Its name.
    pub id: String,
    /// Which of its lives.
    pub incarnation: u64,
    /// Where it listens for clients.
    pub address: String,
    /// What it is doing.
    pub state: NodeState,
    /// Its open connections.
    pub connections: u64,
    /// Whether it has been heard of within its lease, by Postgres's clock.
    pub is_alive: bool,
}

/// A node as the others judge it. Times are Postgres's, microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name.
    pub id: String,
    /// Which of its lives.
    pub incarnation: u64,
    /// Where clients find it.
    pub address: String,
    /// What it is doing.
    pub state: NodeState,
    /// Which way it hears of the others' events: `local`, `redis` or `fallback`.
    pub bus_state: String,
    /// How long its lease is, milliseconds.
    pub lease_ms: i64,
    /// Until when it is to be taken as living.
    pub lease_until_us: i64,
}

/// The nodes at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRows {
    /// Postgres's time when they were read, microseconds since 1970.
    pub now_us: i64,
    /// The nodes, by name.
    pub rows: Vec<NodeRow>,
}

impl NodeRows {
    pub(super) fn read(rows: &[Row]) -> Result<Self, StoreError> {
        let mut read = Self {
            now_us: rows.first().map_or(Ok(0), |row| row.try_get("now_us"))?,
            rows: Vec::with_capacity(rows.len()),
        };
        for row in rows {
            read.rows.push(NodeRow {
                id: row.try_get("id")?,
                incarnation: seq::from_db(row.try_get("incarnation")?)?,
                address: row.try_get("address")?,
                state: NodeState::parse(row.try_get("state")?)?,
                bus_state: row.try_get("bus_state")?,
                lease_ms: row.try_get("lease_ms")?,
                lease_until_us: row.try_get("lease_until_us")?,
            });
        }
        Ok(read)
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Its name.
    pub id: String,
    /// Its life.
    pub incarnation: u64,
    /// What it is doing.
    pub state: NodeState,
    /// Its open connections.
    pub connections: usize,
    /// `local`, `redis` or `fallback`.
    pub bus_state: &'static str,
    /// How long it is to be taken as living, milliseconds.
    pub lease_ms: i64,
    /// Where the other nodes reach it.
    pub address: String,
}

/// The advisory lock that a node's name is held by. The same number for the same name, whichever
/// version of the program counts it.
#[must_use]
pub fn name_key(id: &str) -> i64 {
    let digest = Sha256::digest(format!("hubbub node {id}"));
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(key)
}

/// A node starts, which clients find at `http_address` and other nodes at `address`, with a lease of
/// `lease_ms`. The number of its life, from 1.
pub async fn begin_life(
    store: &Store,
    id: &str,
    http_address: &str,
    address: &str,
    lease_ms: i64,
) -> Result<u64, StoreError> {
    let conn = store.get().await?;
    let params: super::Params<'_> = &[&id, &address, &http_address, &lease_ms];
    let row = conn.query_one(&BEGIN_LIFE, params).await?;
    seq::from_db(row.try_get("incarnation")?)
}

/// A node says how it is. False if this is not its life any more.
pub async fn report(conn: &Conn, renewal: &Renewal) -> Result<bool, StoreError> {
    let (incarnation, connections) = renewal.numbers();
    let row = conn
        .query_one(&REPORT, &renewal.params(&incarnation, &connections))
        .await?;
    Ok(row.try_get("is_ours")?)
}

impl Renewal {
    /// Its numbers as the database counts.
    pub(super) fn numbers(&self) -> (i64, i64) {
        let connections = seq::to_db(self.connections as u64);
        (seq::to_db(self.incarnation), connections)
    }

    /// The statement's parameters.
    pub(super) fn params<'a>(
        &'a self,
        incarnation: &'a i64,
        connections: &'a i64,
    ) -> [&'a (dyn tokio_postgres::types::ToSql + Sync); 7] {
        [
            &self.id,
            incarnation,
            self.state.as_sql(),
            connections,
            &self.bus_state,
            &self.lease_ms,
            &self.address,
        ]
    }
}

impl NodeState {
    fn as_sql(self) -> &'static (dyn tokio_postgres::types::ToSql + Sync) {
        match self {
            Self::Serving => &"serving",
            Self::Draining => &"draining",
            Self::Drained => &"drained",
            Self::Stopped => &"stopped",
        }
    }
}

/// All nodes that ever were, by name.
pub async fn list(conn: &Conn) -> Result<Vec<NodeReport>, StoreError> {
    let rows = conn.query(&LIST, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(NodeReport {
                id: row.try_get("id")?,
                incarnation: seq::from_db(row.try_get("incarnation")?)?,
                address: row.try_get("http_address")?,
                state: NodeState::parse(row.try_get("state")?)?,
                connections: seq::from_db(row.try_get("connections")?)?,
                is_alive: row.try_get("is_alive")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_key_never_changes() {
        assert_eq!(name_key("a"), name_key("a"));
        assert_ne!(name_key("a"), name_key("b"));
    }
}
