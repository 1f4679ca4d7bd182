//! The nodes and their lives.

use super::statement::{Statement, statement};
use super::{Conn, Store, StoreError, seq};

const BEGIN_LIFE: Statement = statement!("nodes/begin_life");
const REPORT: Statement = statement!("nodes/report");
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

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Serving, Self::Draining, Self::Drained, Self::Stopped]
            .into_iter()
            .find(|state| state.as_str() == text)
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

/// A node starts, which clients find at `http_address` and other nodes at `address`. The number of
/// its life, from 1.
pub async fn begin_life(
    store: &Store,
    id: &str,
    http_address: &str,
    address: &str,
) -> Result<u64, StoreError> {
    let conn = store.get().await?;
    let params: super::Params<'_> = &[&id, &address, &http_address];
    let row = conn.query_one(&BEGIN_LIFE, params).await?;
    seq::from_db(row.try_get("incarnation")?)
}

/// A node says how it is, and renews its lease of 10 s. False if this is not its life any more.
pub async fn report(
    conn: &Conn,
    id: &str,
    incarnation: u64,
    state: NodeState,
    connections: usize,
) -> Result<bool, StoreError> {
    let incarnation = seq::to_db(incarnation);
    let connections = seq::to_db(connections as u64);
    let params: super::Params<'_> = &[&id, &incarnation, &state.as_str(), &connections];
    Ok(conn.execute(&REPORT, params).await? > 0)
}

/// All nodes that ever were, by name.
pub async fn list(conn: &Conn) -> Result<Vec<NodeReport>, StoreError> {
    let rows = conn.query(&LIST, &[]).await?;
    rows.iter()
        .map(|row| {
            let state: &str = row.try_get("state")?;
            Ok(NodeReport {
                id: row.try_get("id")?,
                incarnation: seq::from_db(row.try_get("incarnation")?)?,
                address: row.try_get("http_address")?,
                state: NodeState::parse(state).ok_or_else(|| StoreError::Corrupt {
                    what: "state of a node",
                    source: format!("no state is called {state:?}").into(),
                })?,
                connections: seq::from_db(row.try_get("connections")?)?,
                is_alive: row.try_get("is_alive")?,
            })
        })
        .collect()
}
