//! What the hub asks about clients, answered by authentication and limits.

use std::net::IpAddr;
use std::time::Instant;

use crate::auth::{AuthError, Authenticator, Bucket, Limits, RateLimited, Subject};
use crate::hub::connection::identity::{Authenticating, Checking, Demand, Gate, Identity};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{SessionId, UserId};

/// The hub's gate.
pub struct AuthGate {
    /// Who is let in.
    pub authenticator: Authenticator,
    /// How often.
    pub limits: std::sync::Arc<Limits>,
}

impl Gate for AuthGate {
    fn authenticate(&self, token: String, address: IpAddr) -> Authenticating<'_> {
        Box::pin(async move {
            // As REST counts: who has guessed too often is turned away before the database is asked.
            let anybody = Subject::Address(address);
            let checked = self.limits.check(Bucket::Reads, anybody.clone(), address);
            checked.map_err(|limited| refused(&limited))?;
            let found = self.authenticator.authenticate_token(&token).await;
            let subject = match &found {
                Ok(identity) => Some(Subject::User(identity.user_id)),
                Err(AuthError::UnknownCredentials) => Some(anybody),
                Err(_) => None,
            };
            if let Some(subject) = subject {
                let taken = self.limits.take_now(Bucket::Reads, subject, address);
                taken.map_err(|limited| refused(&limited))?;
            }
            found
                .map(|identity| known(&identity))
                .map_err(|error| error.refusal())
        })
    }

    fn check(&self, session: SessionId) -> Checking<'_> {
        Box::pin(async move {
            let checked = self.authenticator.sessions().check(session).await;
            checked.map_err(|error| AuthError::from(error).refusal())
        })
    }

    fn session_ended(&self, session: SessionId) {
        self.authenticator.sessions().revoked(session);
        self.authenticator.tickets().revoke(session);
    }

    fn sessions_missed(&self) {
        self.authenticator.sessions().forget_all();
    }

    fn sessions_known(&self, at: Instant, position: u64) {
        let sessions = self.authenticator.sessions();
        sessions.note_control_read(at, position);
    }

    fn admit(&self, user: UserId, address: IpAddr, what: Demand) -> Result<(), Refusal> {
        let bucket = match what {
            Demand::Publish => Bucket::Publishes,
            Demand::Read => Bucket::Reads,
        };
        self.limits
            .take_now(bucket, Subject::User(user), address)
            .map_err(|limited| refused(&limited))
    }
}

fn refused(limited: &RateLimited) -> Refusal {
    Refusal::new(ErrorCode::RateLimited, limited.to_string())
}

/// An identity as the hub has it.
pub(super) fn known(identity: &crate::auth::Identity) -> Identity {
    Identity {
        user_id: identity.user_id,
        session_id: identity.session_id,
        expires_at: identity.expires_at,
    }
}
