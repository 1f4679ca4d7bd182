//! Events that one client is to acknowledge, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::id::UserId;

/// An event for one connection, whose client is to acknowledge it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// For which.
    pub connection: ConnectionId,
    /// Whose it must be.
    pub user_id: UserId,
    /// The application's name for it.
    pub name: String,
    /// What it carries.
    pub data: serde_json::Value,
    /// How long the acknowledgement may take, milliseconds.
    pub wait_ms: u64,
}

/// What the client said to it: the arguments of its acknowledgement, a list.
pub type Asked = Result<Box<RawValue>, NotAsked>;

/// Why there is no acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotAsked {
    /// The user has no such connection by Socket.IO, its client is not in the namespace, or it went
    /// before it answered.
    #[error("no such client, or no longer")]
    Gone,
    /// It did not answer in time. Whether it has received the event is not known.
    #[error("no acknowledgement in time")]
    TimedOut,
    /// As many acknowledgements are awaited as may be. The event was not sent.
    #[error("too many acknowledgements are awaited")]
    Overloaded,
    /// The answer is longer than a message may be, or has no form in JSON.
    #[error("an acknowledgement that cannot be told")]
    Unfit,
}

impl NotAsked {
    /// Its name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::TimedOut => "timed_out",
            Self::Overloaded => "overloaded",
            Self::Unfit => "unfit",
        }
    }
}
