//! Why there is no embedded Postgres, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the embedded Postgres.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// A file operation failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another node uses the data folder.
    #[error(
        "the data folder {} is in use by another node (process {pid}): stop that one, or give this \
         one a folder of its own (HUBBUB__DATA_DIR)",
        folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The process that holds it, as it wrote down itself.
        pid: String,
    },
    /// No Postgres is installed where we look.
    #[error(
        "no Postgres binaries (initdb, postgres) found in {searched}: install them (Debian and \
         Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew \
         install postgresql), name their folder (HUBBUB__DATABASE__EMBEDDED__BIN_DIR), or use a \
         server (DATABASE_URL)"
    )]
    NoBinaries {
        /// Where we looked.
        searched: String,
    },
    /// A program does not do what it should.
    #[error("{} is not a working Postgres: {reason}", program.display())]
    NotPostgres {
        /// The program.
        program: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The binaries found are too old for Hubbub.
    #[error("the newest Postgres found is {found}: version 14 or newer is needed")]
    TooOld {
        /// Its major version.
        found: String,
    },
    /// The cluster was made by another major version.
    #[error(
        "the database in {} was made by Postgres {cluster}, the binaries found are of \
         {found}: install Postgres {cluster} (or name its folder, \
         HUBBUB__DATABASE__EMBEDDED__BIN_DIR), or move the data with pg_upgrade, or with pg_dump \
         of the old version and a restore into a new data folder",
        folder.display()
    )]
    OtherMajor {
        /// The cluster's folder.
        folder: PathBuf,
        /// Its major version.
        cluster: String,
        /// The major versions of the binaries.
        found: String,
    },
    /// The folder holds something, but no cluster.
    #[error(
        "{} exists and is not a Postgres cluster (it has no PG_VERSION): move it away, or choose \
         another data folder (HUBBUB__DATA_DIR)",
        folder.display()
    )]
    NotACluster {
        /// The folder.
        folder: PathBuf,
    },
    /// Postgres refuses to run as root, and there is nobody else.
    #[error(
        "Postgres does not run as root, and there is neither a user {user} nor a user nobody to \
         run it as: create one, or name one (HUBBUB__DATABASE__EMBEDDED__USER)"
    )]
    NoUser {
        /// The configured user.
        user: String,
    },
    /// The unprivileged user cannot reach the data folder.
    #[error(
        "the user {user}, as whom Postgres runs, may not enter {}: allow it (chmod o+x), or \
         choose another data folder (HUBBUB__DATA_DIR)",
        folder.display()
    )]
    Unreachable {
        /// The first folder on the way that is closed.
        folder: PathBuf,
        /// The user.
        user: String,
    },
    /// The cluster belongs to somebody else.
    #[error(
        "the database in {} belongs to user id {owner}, and this node runs as user id {me}: run \
         it as that user, or choose another data folder (HUBBUB__DATA_DIR)",
        folder.display()
    )]
    ForeignOwner {
        /// The cluster's folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        me: u32,
    },
    /// `initdb` failed.
    #[error("initdb could not make a database in {}:\n{output}", folder.display())]
    Init {
        /// The cluster's folder.
        folder: PathBuf,
        /// The end of what it said.
        output: String,
    },
    /// `postgres` ended before it answered.
    #[error("Postgres did not start ({status}); the end of {}:\n{tail}", log.display())]
    Start {
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// `postgres` runs and does not answer.
    #[error(
        "Postgres did not get ready within {limit_ms} ms \
         (HUBBUB__DATABASE__EMBEDDED__START_TIMEOUT_MS); the end of {}:\n{tail}",
        log.display()
    )]
    NotReady {
        /// The limit.
        limit_ms: u64,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// Another server answers at the socket.
    #[error("the server at {} serves {found}, not {}", socket.display(), expected.display())]
    OtherServer {
        /// The socket's folder.
        socket: PathBuf,
        /// Its data folder.
        found: String,
        /// Ours.
        expected: PathBuf,
    },
    /// The server answers, and cannot be used.
    #[error("the embedded Postgres cannot be set up")]
    Setup(#[source] tokio_postgres::Error),
    /// No short folder for the socket could be made.
    #[error("no folder for Postgres's socket can be made; tried {tried}")]
    NoSocketFolder {
        /// The folders that were tried.
        tried: String,
    },
    /// It does not end.
    #[error("Postgres (process {pid}) was killed, and still has not ended")]
    NotStopping {
        /// The postmaster.
        pid: i32,
    },
}

/// For `map_err`: the operation and its path.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { what, path, source }
}
