//! Who one is, and how often one may ask: passwords, sessions, tickets, limits.
//!
//! [`credentials::Authenticator`] answers the first question for REST requests and WebSocket
//! handshakes alike; [`limits::Limits`] the second. Both know nothing of a web framework.

pub mod accounts;
pub mod client_address;
pub mod cookie;
pub mod credentials;
pub mod limits;
mod metrics;
pub mod origin;
pub mod passwords;
pub mod registration;
pub mod sessions;
pub mod tickets;
pub mod token;

use std::borrow::Cow;

use crate::protocol::error::{ErrorCode, Refusal};
use crate::store::StoreError;

pub use credentials::{Authenticated, Authenticator, Credentials, Identity, Presented, Via};
pub use limits::{Bucket, Limits, RateLimited, Standing, Subject};
pub use origin::RequestOrigin;
pub use sessions::Sharing;

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Nothing was shown.
    #[error("a session's token or cookie is needed")]
    NoCredentials,
    /// What was shown is unknown, has expired, was used up or is no token at all.
    #[error("the session's token, cookie or ticket is not valid, or no longer")]
    UnknownCredentials,
    /// No such user, or not this password; which of them is not said.
    #[error("login or password are wrong")]
    WrongPassword,
    /// Another user has this name.
    #[error("another user has this name")]
    UsernameTaken,
    /// Another user has this e-mail address.
    #[error("another user has this e-mail address")]
    EmailTaken,
    /// The page that sent the cookie is not ours.
    #[error(transparent)]
    Origin(#[from] origin::OriginNotAllowed),
    /// Too often.
    #[error(transparent)]
    Limited(#[from] RateLimited),
    /// No room for a ticket.
    #[error(transparent)]
    Tickets(#[from] tickets::TooManyTickets),
    /// A ticket of a node that does not answer.
    #[error(transparent)]
    TicketNode(#[from] tickets::NodeSilent),
    /// A password could not be hashed.
    #[error(transparent)]
    Password(#[from] passwords::PasswordError),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuthError {
    /// The code that clients see.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoCredentials | Self::UnknownCredentials => ErrorCode::Unauthenticated,
            Self::WrongPassword => ErrorCode::InvalidCredentials,
            Self::UsernameTaken => ErrorCode::UsernameTaken,
            Self::EmailTaken => ErrorCode::EmailTaken,
            Self::Origin(_) => ErrorCode::OriginNotAllowed,
            Self::Limited(_) => ErrorCode::RateLimited,
            Self::Tickets(_) | Self::Password(passwords::PasswordError::Overloaded) => {
                ErrorCode::Overloaded
            }
            Self::TicketNode(_) => ErrorCode::Unavailable,
            Self::Store(error) if error.is_retryable() => ErrorCode::Unavailable,
            Self::Store(_) | Self::Password(_) => ErrorCode::Internal,
        }
    }

    /// The error as clients see it: what failed inside stays inside.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let message: Cow<'static, str> = match self.code() {
            ErrorCode::Unavailable if matches!(self, Self::Store(_)) => {
                "the database is away for the moment".into()
            }
            ErrorCode::Internal => "an internal error".into(),
            _ => self.to_string().into(),
        };
        Refusal::new(self.code(), message)
    }
}
