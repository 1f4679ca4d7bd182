//! Who a connection is, and who decides that.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Instant;

use jiff::Timestamp;

use crate::protocol::error::Refusal;
use crate::protocol::id::{SessionId, UserId};

/// Who a connection has shown itself to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// Until when the session lasts if nothing prolongs it.
    pub expires_at: Timestamp,
}

/// What authentication answers, later.
pub type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Identity, Refusal>> + 'a>>;

/// What is counted of what a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Something that others will get.
    Publish,
    /// Something that is looked up.
    Read,
}

/// What a look at a session answers, later: until when it lasts, none if it has ended.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<Option<Timestamp>, Refusal>> + 'a>>;

/// Who may come in and how much they may do. The hub asks; those who know passwords and limits
/// answer.
pub trait Gate: Send + Sync + 'static {
    /// Whose session a token is that comes from `address`. Asking is counted: guesses for the
    /// address, the rest for the user.
    fn authenticate(&self, token: String, address: IpAddr) -> Authenticating<'_>;

    /// Whether a session whose end has come was prolonged.
    fn check(&self, session: SessionId) -> Checking<'_>;

    /// A session has ended, on whatever node: what was given out for it is worth nothing.
    fn session_ended(&self, session: SessionId);

    /// Sessions may have ended of which this node has not been told.
    fn sessions_missed(&self);

    /// Of all sessions that had ended at this time it has been told: the control log went up to
    /// this position.
    fn sessions_known(&self, at: Instant, position: u64);

    /// Whether this user, at this address, may do this now.
    fn admit(&self, user: UserId, address: IpAddr, what: Demand) -> Result<(), Refusal>;
}
