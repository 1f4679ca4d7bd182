//! What goes wrong between a node and Redis.

use std::path::PathBuf;
use std::time::Duration;

use redis::RedisError;

/// Why there can be no bus by Redis at all.
#[derive(Debug, thiserror::Error)]
pub enum RedisBusError {
    /// The certificates of `redis.tls_ca` cannot be read.
    #[error("redis.tls_ca: {} cannot be read", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An address or the certificates cannot be used. The text holds no password.
    #[error("redis.url or redis.tls_ca cannot be used")]
    Settings(#[from] RedisError),
    /// No thread can be started.
    #[error("no thread for the bus can be started")]
    Thread(#[from] std::io::Error),
}

/// Why a link is down.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Redis, or the way there, said so.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The connection ended.
    #[error("the connection was closed")]
    Closed,
    /// What is published there does not get to those who listen elsewhere.
    #[error("it is a replica: what is published there does not reach the others")]
    Replica,
    /// The cluster gave slots to another master.
    #[error("it ended subscriptions, as it does for slots that are another's now")]
    Taken,
    /// What it answered makes no sense.
    #[error("its answer to {0} makes no sense")]
    Nonsense(&'static str),
    /// Nobody takes these slots.
    #[error("the cluster has slots without a master")]
    Incomplete,
    /// A defect of ours.
    #[error("a task of the bus has panicked")]
    Panicked,
}
