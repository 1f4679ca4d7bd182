//! One connection to Postgres: its session settings, and connections outside the pool.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio_postgres::{Client, Config, NoTls};

use super::error::StoreError;

/// A silent connection is asked after this time whether it is there,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(4);

/// and again after this,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// so many times in all.
const KEEPALIVES: u32 = 3;

/// The task that moves a connection's bytes. It ends when its [`Client`] is dropped and the server
/// has answered all that it was asked, or when the connection is lost, with the reason. Dropping
/// this closes the connection at once: a server that is frozen would never have answered.
#[derive(Debug)]
pub struct Driver(JoinHandle<Result<(), tokio_postgres::Error>>);

impl Future for Driver {
    type Output = Result<Result<(), tokio_postgres::Error>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Settings of a connection, sent with its start-up packet. A limit of zero is no limit.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// What `pg_stat_activity` shows.
    pub application_name: &'static str,
    /// Limit of the whole start: connecting, authentication and settings.
    pub connect_timeout: Duration,
    /// The server ends a statement after this.
    pub statement_timeout: Duration,
    /// The server ends a connection that leaves its transaction idle for this long.
    pub idle_in_transaction_timeout: Duration,
    /// The server gives up waiting for a lock after this (SQLSTATE 55P03).
    pub lock_timeout: Duration,
    /// Sets `synchronous_commit`, whatever the server's default is; none leaves that.
    pub synchronous_commit: Option<bool>,
    /// Either side gives the connection up some ten seconds after the other has fallen silent,
    /// rather than after the hours that systems wait by default. Unix sockets need none of it.
    pub keepalives: bool,
}

impl SessionOptions {
    /// What the database's settings ask for: statement and connect time-outs, no lock time-out.
    #[must_use]
    pub fn from_config(config: &crate::config::Database) -> Self {
        let statement_timeout = Duration::from_millis(config.statement_timeout_ms);
        Self {
            application_name: "hubbub",
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            statement_timeout,
            // A transaction that is idle for as long as a statement may run has been abandoned.
            idle_in_transaction_timeout: statement_timeout,
            lock_timeout: Duration::ZERO,
            synchronous_commit: None,
            keepalives: false,
        }
    }

    /// The driver's configuration for `url` with these settings.
    pub(super) fn apply(&self, url: &str) -> Result<Config, StoreError> {
        let mut config: Config = url.parse().map_err(StoreError::Url)?;
        let mut options = config.get_options().unwrap_or_default().to_owned();
        for (name, limit) in [
            ("statement_timeout", self.statement_timeout),
            (
                "idle_in_transaction_session_timeout",
                self.idle_in_transaction_timeout,
            ),
            ("lock_timeout", self.lock_timeout),
        ] {
            let _ = write!(options, " -c {name}={}", limit.as_millis());
        }
        if let Some(on) = self.synchronous_commit {
            let value = if on { "on" } else { "off" };
            let _ = write!(options, " -c synchronous_commit={value}");
        }
        if self.keepalives {
            let (idle, interval) = (KEEPALIVE_IDLE.as_secs(), KEEPALIVE_INTERVAL.as_secs());
            let _ = write!(
                options,
                " -c tcp_keepalives_idle={idle} -c tcp_keepalives_interval={interval} \
                 -c tcp_keepalives_count={KEEPALIVES}"
            );
            config
                .keepalives_idle(KEEPALIVE_IDLE)
                .keepalives_interval(KEEPALIVE_INTERVAL)
                .keepalives_retries(KEEPALIVES);
        }
        config.options(options.trim_start());
        config.application_name(self.application_name);
        config.connect_timeout(self.connect_timeout);
        Ok(config)
    }
}

/// Opens a connection outside the pool. Its driver runs on the calling task's runtime.
pub async fn connect_single(
    url: &str,
    options: &SessionOptions,
) -> Result<(Client, Driver), StoreError> {
    let config = options.apply(url)?;
    // The driver's own limit covers the TCP connection only; a server that is frozen accepts
    // that and then says nothing.
    let (client, connection) =
        match tokio::time::timeout(options.connect_timeout, config.connect(NoTls)).await {
            Ok(connected) => connected.map_err(StoreError::unavailable)?,
            Err(_) => return Err(StoreError::Timeout { what: "connecting" }),
        };
    Ok((client, Driver(tokio::spawn(connection))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SessionOptions {
        SessionOptions {
            application_name: "hubbub",
            connect_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_millis(700),
            lock_timeout: Duration::ZERO,
            synchronous_commit: Some(true),
            keepalives: false,
        }
    }

    #[test]
    fn settings_are_added_to_the_urls_own() {
        let config = options()
            .apply("postgres://u@localhost/d?options=-c%20jit%3Doff")
            .unwrap();
        assert_eq!(
            config.get_options(),
            Some(
                "-c jit=off -c statement_timeout=5000 \
                 -c idle_in_transaction_session_timeout=700 -c lock_timeout=0 \
                 -c synchronous_commit=on"
            )
        );
        assert_eq!(config.get_application_name(), Some("hubbub"));
    }

    #[test]
    fn a_url_that_is_none_is_refused() {
        let error = options().apply("mysql://x").unwrap_err();
        assert!(matches!(error, StoreError::Url(_)), "{error:?}");
    }
}
