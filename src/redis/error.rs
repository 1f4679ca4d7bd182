//! What goes wrong between a node and Redis.

use std::path::PathBuf;
use std::time::Duration;

use redis::RedisError;

/// Why the settings are of no use.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
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
    Unusable(#[from] RedisError),
    /// No thread can be started.
    #[error("no thread for Redis can be started")]
    Thread(#[source] std::io::Error),
}

/// Why a link is down.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Redis, or the way there, said so.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// Too many calls in a row were not answered in time.
    #[error("it did not answer calls in time")]
    Unanswered,
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
    #[error("a task of ours has panicked")]
    Panicked,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection that works: it was not sent.
    #[error("Redis is away")]
    Away,
    /// Too many calls are on their way: it was not sent.
    #[error("too many calls to Redis are on their way")]
    Busy,
    /// No answer in time; whether it was done is not known.
    #[error("no answer from Redis within {0:?}")]
    Silent(Duration),
    /// The connection ended; whether it was done is not known.
    #[error("the connection to Redis ended")]
    Lost(#[source] RedisError),
    /// Redis said no: a key of another type, no memory, no permission, a replica.
    #[error("Redis refuses")]
    Refused(#[source] RedisError),
}

impl CallError {
    /// Whether Redis cannot have heard of it.
    #[must_use]
    pub fn was_not_sent(&self) -> bool {
        matches!(self, Self::Away | Self::Busy)
    }

    /// Whether Redis has said that it has not done it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Silent(_) => "timeout",
            Self::Lost(_) => "lost",
            Self::Refused(_) => "refused",
        }
    }
}
