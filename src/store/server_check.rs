//! Whether a Postgres server is one that acknowledged messages may be entrusted to.

use tokio_postgres::Client;

use super::error::StoreError;
use super::statement::{Statement, statement};

/// The oldest supported version, as `server_version_num` counts: 14.
const OLDEST_VERSION: i32 = 140_000;

const SETTINGS: Statement = statement!("server/settings");

/// A server that the node does not start on, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// A commit would not survive a power loss.
    #[error(
        "Postgres runs with fsync=off, so a crash of its machine loses acknowledged messages: set \
         fsync=on in postgresql.conf and reload (or database.require_fsync=false for tests)"
    )]
    FsyncOff,
    /// The server lacks what the statements need.
    #[error("Postgres {found} is too old: version 14 or newer is needed")]
    TooOld {
        /// The server's version.
        found: String,
    },
    /// Nothing would be left for the pool.
    #[error(
        "Postgres allows {allowed} connections besides those reserved for administrators, and each \
         of {nodes} nodes (database.nodes_expected) needs {outside} outside its pool and one in it: \
         raise max_connections, or lower journal.writers"
    )]
    TooFewConnections {
        /// What the server allows.
        allowed: usize,
        /// Among how many nodes.
        nodes: usize,
        /// What each opens besides its pool.
        outside: usize,
    },
}

/// What the node needs to know of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Such as `15.18`.
    pub version: String,
    /// Connections that an ordinary user may open in total.
    pub connections: usize,
}

/// Reads the server's settings; refuses what would lose data.
pub async fn check(client: &Client, require_fsync: bool) -> Result<Server, StoreError> {
    let row = client
        .query_one(SETTINGS.sql, &[])
        .await
        .map_err(|error| StoreError::classify(error, SETTINGS.name))?;
    let version: String = row.try_get(0)?;
    if row.try_get::<_, i32>(1)? < OLDEST_VERSION {
        return Err(Unsuitable::TooOld { found: version }.into());
    }
    let (fsync, full_page_writes): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    match (fsync, require_fsync) {
        (false, true) => return Err(Unsuitable::FsyncOff.into()),
        (false, false) => tracing::warn!("Postgres runs with fsync=off: for tests only"),
        (true, _) if !full_page_writes => tracing::warn!(
            "Postgres runs with full_page_writes=off: a power loss can corrupt its pages unless \
             the file system writes them whole"
        ),
        (true, _) => {}
    }
    let (most, reserved): (i32, i32) = (row.try_get(4)?, row.try_get(5)?);
    Ok(Server {
        version,
        connections: usize::try_from(most - reserved).unwrap_or(0),
    })
}
