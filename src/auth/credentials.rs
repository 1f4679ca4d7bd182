//! From what a request shows to who sends it.
//!
//! Nothing here knows of HTTP types: REST requests and WebSocket handshakes, which never meet
//! the same framework, are authenticated by the same code.

use std::sync::Arc;

use jiff::Timestamp;

use super::AuthError;
use super::cookie::SessionCookie;
use super::origin::{Origins, RequestOrigin};
use super::sessions::{Sessions, Sharing};
use super::tickets::{Ticket, Tickets, TicketsElsewhere};
use super::token::Token;
use crate::config::Config;
use crate::protocol::id::{SessionId, UserId};
use crate::protocol::origin::Origin;
use crate::store::Store;

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The user's session.
    pub session_id: SessionId,
    /// When the session ends unless it is used again.
    pub expires_at: Timestamp,
    /// How they showed it.
    pub via: Via,
}

/// How a request showed who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By the cookie, which browsers send without being asked: the origin counts.
    Cookie,
    /// By `Authorization: Bearer`, or a token within the protocol.
    Bearer,
    /// By a ticket.
    Ticket,
}

/// What a request shows, as it stands in its headers and address.
#[derive(Debug, Clone, Default)]
pub struct Presented<'a> {
    /// The values of `Cookie`; HTTP/2 may send several.
    pub cookies: Vec<&'a str>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
    /// The parameter `ticket` of a WebSocket's address.
    pub ticket: Option<&'a str>,
}

/// A secret that stands for somebody.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A session's token, from the cookie.
    Cookie(Token),
    /// A session's token, shown on purpose.
    Bearer(Token),
    /// A ticket.
    Ticket(Ticket),
}

/// Who sends a request, and whether the session was renewed by it.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated {
    /// Who.
    pub identity: Identity,
    /// Whether the session's end was moved; a browser's cookie should move along.
    pub renewed: bool,
}

/// Finds out who sends a request. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: Sessions,
    tickets: Tickets,
    elsewhere: Arc<dyn TicketsElsewhere>,
    cookie: SessionCookie,
    origins: Origins,
}

impl Authenticator {
    /// Reads sessions from `store`. `own` is the node that gives tickets here, `elsewhere` knows
    /// those of others; `sharing` is the way to sessions that other nodes have found.
    #[must_use]
    pub fn new(
        store: Store,
        config: &Config,
        own: Origin,
        elsewhere: Arc<dyn TicketsElsewhere>,
        sharing: Option<Sharing>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                sessions: Sessions::new(store, config, sharing),
                tickets: Tickets::new(&config.auth, own),
                elsewhere,
                cookie: SessionCookie::new(&config.auth, &config.http),
                origins: Origins::new(&config.http),
            }),
        }
    }

    /// The sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    /// The tickets.
    #[must_use]
    pub fn tickets(&self) -> &Tickets {
        &self.shared.tickets
    }

    /// How the session's cookie is written.
    #[must_use]
    pub fn cookie(&self) -> &SessionCookie {
        &self.shared.cookie
    }

    /// Whose pages may use the cookie.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.shared.origins
    }

    /// Picks the credentials of a request: what was shown on purpose goes before the cookie.
    /// None if it shows none; an error if it shows some that cannot be read.
    pub fn credentials(&self, presented: &Presented<'_>) -> Result<Option<Credentials>, AuthError> {
        let read = |text: &str| Token::parse(text).ok_or(AuthError::UnknownCredentials);
        if let Some(ticket) = presented.ticket {
            let ticket = Ticket::parse(ticket).ok_or(AuthError::UnknownCredentials)?;
            return Ok(Some(Credentials::Ticket(ticket)));
        }
        if let Some(value) = presented.authorization {
            let token = bearer(value).ok_or(AuthError::UnknownCredentials)?;
            return Ok(Some(Credentials::Bearer(read(token)?)));
        }
        match self.shared.cookie.find(presented.cookies.iter().copied()) {
            Some(token) => Ok(Some(Credentials::Cookie(read(token)?))),
            None => Ok(None),
        }
    }

    /// Who has these credentials. A ticket is used up by it.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> Result<Authenticated, AuthError> {
        let (token, via) = match credentials {
            Credentials::Ticket(ticket) => {
                let hash = ticket.token.hash();
                let identity = if ticket.origin == *self.shared.tickets.own() {
                    self.shared.tickets.redeem(&hash)
                } else {
                    self.shared.elsewhere.redeem(&ticket.origin, hash).await?
                };
                return Ok(Authenticated {
                    identity: identity.ok_or(AuthError::UnknownCredentials)?,
                    renewed: false,
                });
            }
            Credentials::Cookie(token) => (token, Via::Cookie),
            Credentials::Bearer(token) => (token, Via::Bearer),
        };
        let session = self.shared.sessions.find(token).await?;
        let session = session.ok_or(AuthError::UnknownCredentials)?;
        Ok(Authenticated {
            identity: Identity {
                user_id: session.user_id,
                session_id: session.id,
                expires_at: session.expires_at,
                via,
            },
            renewed: session.renewed,
        })
    }

    /// Who a token within a protocol belongs to, as in `auth.refresh`.
    pub async fn authenticate_token(&self, token: &str) -> Result<Identity, AuthError> {
        let token = Token::parse(token).ok_or(AuthError::UnknownCredentials)?;
        let found = self.authenticate(&Credentials::Bearer(token)).await?;
        Ok(found.identity)
    }

    /// Who opens a WebSocket. None if the handshake shows no credentials. Where the cookie is
    /// what it shows, the page must be one of ours.
    pub async fn authenticate_handshake(
        &self,
        presented: &Presented<'_>,
        origin: RequestOrigin<'_>,
    ) -> Result<Option<Identity>, AuthError> {
        let Some(credentials) = self.credentials(presented)? else {
            return Ok(None);
        };
        if matches!(credentials, Credentials::Cookie(_)) {
            self.shared.origins.check(origin)?;
        }
        let found = self.authenticate(&credentials).await?;
        Ok(Some(found.identity))
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1); the scheme's case is free.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn only_bearer_is_read() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
        assert_eq!(bearer(""), None);
    }
}
