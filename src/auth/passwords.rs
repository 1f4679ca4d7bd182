//! Passwords: argon2id (RFC 9106), kept as PHC strings, computed on blocking threads.
//!
//! A hash costs tens of milliseconds and 19 MiB by intention, so no more run at a time than
//! there are cores, a bounded number waits, and the rest is told to come later.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics;
use crate::config;

/// OWASP recommends no less for argon2id, however many passes there are.
const MEMORY_KIB: u32 = 7168;

/// Why a password could be neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// As many hashes wait as may.
    #[error("too many passwords are being hashed")]
    Overloaded,
    /// The parameters, or a stored hash, are not of argon2.
    #[error("argon2: {0}")]
    Argon2(#[from] argon2::password_hash::Error),
    /// A stored hash that is no PHC string.
    #[error("not a PHC string: {0}")]
    Stored(#[from] argon2::password_hash::phc::Error),
    /// The parameters are out of range.
    #[error("argon2 parameters: {0}")]
    Params(#[from] argon2::Error),
    /// The blocking thread ended before its work.
    #[error("hashing was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// A hash that no password has, of the same cost as a real one.
    nobody: Arc<str>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Passwords {
    /// Takes the parameters from the configuration.
    pub fn new(config: &config::Auth) -> Result<Self, PasswordError> {
        let memory_kib = config.argon2_memory_kib;
        if memory_kib < MEMORY_KIB {
            tracing::warn!(
                "auth.argon2_memory_kib = {memory_kib}: passwords that are stolen are cheap to \
                 guess; less than {MEMORY_KIB} is for tests only"
            );
        }
        let params = Params::new(
            config.argon2_memory_kib,
            config.argon2_iterations,
            config.argon2_parallelism,
            None,
        )?;
        let nobody = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            config.argon2_memory_kib,
            config.argon2_iterations,
            config.argon2_parallelism,
            STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>()),
            STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>()),
        );
        let concurrency = match config.hash_concurrency {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            nobody: nobody.into(),
            running: Arc::new(Semaphore::new(concurrency)),
            admitted: Arc::new(Semaphore::new(concurrency + config.hash_queue_max)),
        })
    }

    /// Hashes a new password, with a salt of its own.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let argon2 = self.argon2.clone();
        self.blocking(move || Ok(argon2.hash_password(password.as_bytes())?.to_string()))
            .await
    }

    /// Whether `password` is the one that `stored` was made of. Without a `stored`, it takes as
    /// long and is false: the time does not tell whether the user exists.
    pub async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let argon2 = self.argon2.clone();
        let nobody = self.nobody.clone();
        self.blocking(move || {
            let known = stored.is_some();
            // The parameters are those of the stored hash: they may have been others once.
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(&nobody))?;
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(known),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let timer = metrics::HASH_SECONDS.start_timer();
        let turn = self.turn().await?;
        // The permits go along: a client that hangs up does not make room for one hash more.
        let result = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        })
        .await?;
        timer.observe_duration();
        result
    }

    async fn turn(&self) -> Result<[OwnedSemaphorePermit; 2], PasswordError> {
        // Neither semaphore is ever closed; if one were, there would be no turn to have.
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| PasswordError::Overloaded)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Overloaded)?;
        Ok([running, admitted])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(hash_concurrency: usize, hash_queue_max: usize) -> Passwords {
        Passwords::new(&config::Auth {
            session_ttl_s: 60,
            session_cache_s: 0,
            session_cache_max: 1,
            session_shared_s: 0,
            ended_sessions_max: 1,
            cookie_name: "c".into(),
            cookie_secure: config::CookieSecure::Auto,
            cookie_same_site: config::CookieSameSite::Lax,
            ticket_ttl_s: 1,
            tickets_max: 1,
            argon2_memory_kib: 8,
            argon2_iterations: 1,
            argon2_parallelism: 1,
            hash_concurrency,
            hash_queue_max,
            password_min_chars: 8,
            password_max_bytes: 1024,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn right_wrong_and_nobody() {
        let passwords = passwords(1, 1);
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"),
            "{stored}"
        );
        let verify = |password: &str, stored: Option<&str>| {
            passwords.verify(password.to_owned(), stored.map(str::to_owned))
        };
        assert!(verify("correct horse", Some(&stored)).await.unwrap());
        assert!(!verify("correct horsf", Some(&stored)).await.unwrap());
        assert!(!verify("", Some(&stored)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert!(verify("x", Some("plain text")).await.is_err());
    }

    #[tokio::test]
    async fn the_same_password_has_two_hashes() {
        let passwords = passwords(1, 1);
        let (a, b) = (
            passwords.hash("x".into()).await,
            passwords.hash("x".into()).await,
        );
        assert_ne!(a.unwrap(), b.unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_recovers() {
        let passwords = passwords(1, 1);
        let turn = passwords.turn().await.unwrap();
        let waiting = tokio::spawn({
            let passwords = passwords.clone();
            async move { passwords.hash("x".into()).await }
        });
        while passwords.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            passwords.hash("y".into()).await,
            Err(PasswordError::Overloaded)
        ));
        drop(turn);
        assert!(waiting.await.unwrap().is_ok());
        assert!(passwords.hash("z".into()).await.is_ok());
    }
}
