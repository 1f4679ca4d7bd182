//! Who a connection is, and who decides that.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

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

/// Who may come in and how much they may do. The hub asks; those who know passwords and limits
/// answer.
pub trait Gate: Send + Sync + 'static {
    /// Whose session a token is.
    fn authenticate(&self, token: String) -> Authenticating<'_>;

    /// Whether this user, at this address, may publish (or emit) now.
    fn admit_publish(&self, user: UserId, address: IpAddr) -> Result<(), Refusal>;
}
