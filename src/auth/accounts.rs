//! Registering and logging in.

use std::net::IpAddr;

use super::AuthError;
use super::limits::{Bucket, Limits, Subject};
use super::metrics;
use super::passwords::{PasswordError, Passwords};
use super::sessions::{NewSession, Sessions};
use super::token::Token;
use crate::store::Store;
use crate::store::users::{self, NewUser, User};

/// What surrounds an attempt to register or log in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// From where.
    pub address: IpAddr,
    /// By what, for the list of one's sessions.
    pub user_agent: &'a str,
    /// The token that the browser still had: the new session takes its place.
    pub replaces: Option<&'a Token>,
}

/// What somebody registers with, found fit by [`super::registration`].
#[derive(Debug)]
pub struct Registration {
    /// The unique name.
    pub username: String,
    /// The unique e-mail address.
    pub email: String,
    /// What others will see.
    pub display_name: String,
    /// In the clear: it goes no further than to its hash.
    pub password: String,
}

/// Registers users and logs them in.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    sessions: Sessions,
}

impl Accounts {
    /// On a store.
    #[must_use]
    pub fn new(store: Store, passwords: Passwords, sessions: Sessions) -> Self {
        Self {
            store,
            passwords,
            sessions,
        }
    }

    /// Makes a user and their first session, or neither.
    pub async fn register(
        &self,
        limits: &Limits,
        registration: Registration,
        attempt: Attempt<'_>,
    ) -> Result<(User, NewSession), AuthError> {
        limits
            .take(
                Bucket::Logins,
                Subject::Newcomer(attempt.address),
                attempt.address,
            )
            .await?;
        let password_hash = self.passwords.hash(registration.password).await?;
        let mut conn = self.store.get().await?;
        let tx = conn.transaction().await?;
        let new = NewUser {
            username: &registration.username,
            email: &registration.email,
            display_name: &registration.display_name,
            password_hash: &password_hash,
        };
        let user = users::insert(&tx, new).await.map_err(|error| {
            if error.violates(users::USERNAME_INDEX) {
                AuthError::UsernameTaken
            } else if error.violates(users::EMAIL_INDEX) {
                AuthError::EmailTaken
            } else {
                error.into()
            }
        })?;
        let session = self
            .sessions
            .begin(&tx, user.id, attempt.user_agent, attempt.replaces)
            .await?;
        tx.commit().await?;
        Ok((user, session))
    }

    /// Begins a session of whoever has this login and password. A login that nobody has costs
    /// as much as one with a wrong password.
    pub async fn login(
        &self,
        limits: &Limits,
        login: &str,
        password: String,
        attempt: Attempt<'_>,
    ) -> Result<(User, NewSession), AuthError> {
        let result = self.try_login(limits, login, password, attempt).await;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(AuthError::WrongPassword) => "wrong",
            Err(AuthError::Limited(_)) => "limited",
            Err(AuthError::Password(PasswordError::Overloaded)) => "overloaded",
            Err(_) => "failed",
        };
        metrics::LOGINS.with_label_values(&[outcome]).inc();
        result
    }

    async fn try_login(
        &self,
        limits: &Limits,
        login: &str,
        password: String,
        attempt: Attempt<'_>,
    ) -> Result<(User, NewSession), AuthError> {
        let Attempt {
            address,
            user_agent,
            replaces,
        } = attempt;
        let name = Subject::Login {
            address,
            login: login.into(),
        };
        limits.take(Bucket::Logins, name, address).await?;
        let anybody = Subject::Address(address);
        limits.take(Bucket::Logins, anybody, address).await?;
        // The connection is given back before the hash, which takes longer than all queries.
        let found = users::for_login(&self.store.get().await?, login).await?;
        let (user, stored) = found.unzip();
        if !self.passwords.verify(password, stored).await? {
            return Err(AuthError::WrongPassword);
        }
        let user = user.ok_or(AuthError::WrongPassword)?;
        let mut conn = self.store.get().await?;
        let tx = conn.transaction().await?;
        let session = self
            .sessions
            .begin(&tx, user.id, user_agent, replaces)
            .await?;
        tx.commit().await?;
        Ok((user, session))
    }
}
