//! Why a node did not start or did not end well.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth::passwords::PasswordError;
use crate::bus::redis::RedisBusError;
use crate::redis::SettingsError;
use crate::store::embedded::EmbeddedError;
use crate::store::node_name::NameError;
use crate::store::{MigrateError, StoreError};
use crate::transport::TlsError;

/// Why a node did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program has the address, or it is not this machine's.
    #[error("cannot listen on {address} (http.bind)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The same of the port for other nodes.
    #[error("cannot listen for other nodes on {address} (node.cluster_bind)")]
    BindPeers {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Certificate or key.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// The data folder cannot be used.
    #[error("cannot use {} (node.data_dir)", .path.display())]
    DataDir {
        /// What could not be used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file that keeps the node's name holds something else.
    #[error(
        "{} holds {told:?}, which is no name for a node: 1 to 64 of the characters A-Z a-z 0-9 . _ - \
         are allowed; set node.id, or remove the file, and a name is made", .path.display()
    )]
    NodeIdFile {
        /// The file.
        path: PathBuf,
        /// How what it holds begins.
        told: String,
    },
    /// The node's own Postgres.
    #[error("cannot run a Postgres of the node's own")]
    Embedded(#[from] EmbeddedError),
    /// The schema.
    #[error("cannot bring the database's schema up to date")]
    Migrate(#[from] MigrateError),
    /// The database.
    #[error("cannot use the database")]
    Store(#[from] StoreError),
    /// The node's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another node has started under the name of this one.
    #[error("another node has taken this one's name (node.id): life {incarnation}, at {address}")]
    Succeeded {
        /// The other's life.
        incarnation: u64,
        /// The other's address.
        address: String,
    },
    /// The journal's connections, and the control log's.
    #[error("the journal or the control log's reader cannot connect to the database")]
    Journal,
    /// What is needed to connect to Redis. That it is away is no error.
    #[error("cannot use Redis")]
    Redis(#[from] RedisBusError),
    /// The settings of Redis.
    #[error("cannot use Redis")]
    RedisSettings(#[source] SettingsError),
    /// The parameters of password hashing.
    #[error("cannot hash passwords with these parameters (auth.argon2_*)")]
    Passwords(#[from] PasswordError),
    /// The node's own threads.
    #[error("cannot start the node's threads")]
    Threads(#[source] io::Error),
    /// The server's threads.
    #[error("cannot serve")]
    Serve(#[source] io::Error),
    /// The signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// Told to stop twice.
    #[error("stopped before everything was in order")]
    Interrupted,
}
