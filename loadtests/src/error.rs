//! What can go wrong in a measurement.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("there is no node at {0}: run `make build`, or name it with --node")]
    NoNode(PathBuf),
    #[error("the node {what}; its log:\n{log}")]
    Node { what: &'static str, log: String },
    #[error("{what}")]
    Io {
        what: String,
        source: std::io::Error,
    },
    #[error("a request over HTTP failed")]
    Http(#[from] reqwest::Error),
    #[error("a WebSocket failed")]
    // Boxed: it is large, and travels in every result.
    Socket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    #[error("Postgres failed")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("a generator {0}")]
    Generator(String),
    #[error("there is no {name}: {path} is missing, `scripts/peers build` makes it")]
    NoPeer { name: &'static str, path: PathBuf },
    #[error("unexpected: {0}")]
    Unexpected(String),
    #[error("acknowledged but not stored: {acknowledged} acknowledged, {stored} stored")]
    Lost { acknowledged: u64, stored: u64 },
    #[error("interrupted")]
    Interrupted,
}

impl From<tokio_tungstenite::tungstenite::Error> for LoadError {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

impl LoadError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The message with those of its causes.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}
