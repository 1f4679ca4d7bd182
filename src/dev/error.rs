//! Why a cluster on this machine cannot run.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::embedded::EmbeddedError;

/// Why a cluster on this machine cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A program is not installed.
    #[error(
        "{program} is not in PATH; scripts/setup dev installs it (on Debian: apt install {package})"
    )]
    Missing {
        /// Its name.
        program: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// Files cannot be made.
    #[error("cannot write {path}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The nodes' program is this one.
    #[error("cannot find this program's file")]
    Binary(#[source] io::Error),
    /// No port is free.
    #[error("cannot find a free port")]
    Port(#[source] io::Error),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The private Postgres.
    #[error(transparent)]
    Postgres(#[from] EmbeddedError),
    /// A node did not become ready.
    #[error("{name} was not ready within {seconds} s; its log is above")]
    NotReady {
        /// Which.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
}

impl DevError {
    pub(super) fn folder(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Folder { path, source }
    }
}
