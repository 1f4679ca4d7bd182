//! A Postgres of the node's own, for when there is no `DATABASE_URL`.
//!
//! The cluster lives in the data folder and listens on a Unix socket only, in a folder that
//! nobody but its user can enter. It outlives a node that is killed, and the next one adopts it; it
//! is started again if it dies. A node that stops in order stops it too.
//!
//! One node per data folder: the file `hubbub.lock` is locked for as long as the [`Cluster`]
//! lives. See `place.rs` for where things are when the data folder cannot hold them.

mod account;
mod binaries;
mod disk;
mod error;
mod init;
mod launch;
mod lock;
mod monitor;
mod place;
mod postmaster;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Database;
use launch::{Launch, Running};
use place::Place;
use postmaster::PidFile;

pub use binaries::{Binaries, Search};
pub use error::EmbeddedError;
pub use lock::FolderLock;
pub use place::REACHABLE;

/// A running Postgres that belongs to this node. Dropping it without [`Cluster::stop`] tells the
/// server to shut down, and does not wait for that.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    place: Place,
    launch: Arc<Launch>,
    adopted: bool,
    stop: Option<oneshot::Sender<Duration>>,
    monitor: JoinHandle<Result<(), EmbeddedError>>,
}

impl Cluster {
    /// Makes a cluster in `data_dir` if there is none, and starts it if it does not run. Its
    /// monitor runs on the runtime that calls this.
    pub async fn start(config: &Database, data_dir: &Path) -> Result<Self, EmbeddedError> {
        let search = Search::standard(config.embedded.bin_dir.as_deref());
        Self::start_with(config, data_dir, &search).await
    }

    /// As [`Cluster::start`], looking for the binaries where `search` says.
    pub async fn start_with(
        config: &Database,
        data_dir: &Path,
        search: &Search,
    ) -> Result<Self, EmbeddedError> {
        let started = Instant::now();
        let place = Place::prepare(data_dir, &config.embedded.user)?;
        let version = version_of(&place.cluster)?;
        let known = version.as_deref().map(|major| (major, &*place.cluster));
        let binaries = Binaries::find(search, known).await?;
        if version.is_none() {
            tracing::info!(
                folder = %place.cluster.display(),
                version = binaries.major,
                user = place.account.as_ref().map(|account| account.name.as_str()),
                "making a database"
            );
            init::make(&binaries, place.account.as_ref(), &place.cluster).await?;
        }
        // One that runs stays where it is, also when it has to be started again: the URL names its
        // socket.
        let running = PidFile::read(&place.cluster).filter(PidFile::is_running);
        let socket = match running {
            Some(server) if server.socket.is_dir() => server.socket,
            _ => place.socket_folder()?,
        };
        let launch = Arc::new(Launch {
            binaries,
            account: place.account.clone(),
            cluster: place.cluster.clone(),
            socket,
            log: place.log(),
            limit: Duration::from_millis(config.embedded.start_timeout_ms),
            pid: AtomicI32::new(0),
        });
        let unwatched = Unwatched(Some(Arc::clone(&launch)));
        let Running { process, adopted } = launch.run().await?;
        tracing::info!(
            folder = %place.cluster.display(),
            version = launch.binaries.major,
            pid = process.pid(),
            adopted,
            first = version.is_none(),
            ms = started.elapsed().as_millis(),
            "embedded Postgres is ready"
        );
        let (stop, stopped) = oneshot::channel();
        unwatched.let_go();
        let monitor = monitor::watch_over(Arc::clone(&launch), process, stopped);
        Ok(Self {
            url: url_of(&launch.socket),
            place,
            launch,
            adopted,
            stop: Some(stop),
            monitor: tokio::spawn(monitor),
        })
    }

    /// The connection string of the node's database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The cluster's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.place.cluster
    }

    /// Whether the server ran already.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// The server's process, which perhaps still starts; `None` while there is none.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.launch.pid()
    }

    /// Shuts the server down and waits until it has ended; then the data folder is free.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.stop_within(monitor::STOP_LIMIT).await
    }

    /// As [`Cluster::stop`], within about `limit`: a server that does not stop by itself is killed
    /// then. What was committed stays.
    pub async fn stop_within(mut self, limit: Duration) -> Result<(), EmbeddedError> {
        let Some(stop) = self.stop.take() else {
            return Ok(());
        };
        let _ = stop.send(limit);
        match (&mut self.monitor).await {
            Ok(stopped) => stopped?,
            Err(error) => tracing::error!(%error, "the monitor of Postgres is gone"),
        }
        self.place.forget_socket_folder();
        tracing::info!("embedded Postgres has stopped");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.monitor.abort();
        self.launch.interrupt();
    }
}

/// The connection string of the database that a node, or another command, runs in `data_dir`; none
/// if none runs there. Nothing is locked, started or changed.
#[must_use]
pub fn running_url(data_dir: &Path) -> Option<String> {
    let link = data_dir.join("postgres");
    let cluster = std::fs::read_link(&link).unwrap_or(link);
    let server = PidFile::read(&cluster).filter(PidFile::is_running)?;
    let socket = std::path::absolute(&server.socket).ok()?;
    Some(url_of(&socket))
}

/// A server that is being started. If that is given up, because the node is told to stop just
/// then, it must not stay.
struct Unwatched(Option<Arc<Launch>>);

impl Unwatched {
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Unwatched {
    fn drop(&mut self) {
        if let Some(launch) = &self.0 {
            launch.interrupt();
        }
    }
}

/// The major version of the cluster in `folder`; `None` if there is none.
fn version_of(folder: &Path) -> Result<Option<String>, EmbeddedError> {
    if let Ok(version) = std::fs::read_to_string(folder.join("PG_VERSION")) {
        return Ok(Some(version.trim().to_owned()));
    }
    match std::fs::read_dir(folder) {
        Ok(mut entries) => {
            let folder = folder.to_owned();
            if entries.next().is_some() {
                return Err(EmbeddedError::NotACluster { folder });
            }
            std::fs::remove_dir(&folder).map_err(error::io_error("remove", &folder))?;
            Ok(None)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error::io_error("read", folder)(source)),
    }
}

/// Every byte of the path that is not plain is percent-encoded.
fn url_of(socket: &Path) -> String {
    let mut host = String::new();
    for byte in socket.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() {
            host.push(char::from(*byte));
        } else {
            use std::fmt::Write as _;
            let _ = write!(host, "%{byte:02X}");
        }
    }
    format!("postgres://hubbub@{host}/hubbub")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_the_socket() {
        let url = url_of(Path::new("/tmp/a_b/c d"));
        assert_eq!(url, "postgres://hubbub@%2Ftmp%2Fa%5Fb%2Fc%20d/hubbub");
        let config: tokio_postgres::Config = url.parse().unwrap();
        assert_eq!(
            config.get_hosts(),
            [tokio_postgres::config::Host::Unix("/tmp/a_b/c d".into())]
        );
    }

    #[test]
    fn a_folder_with_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let error = version_of(folder.path()).unwrap_err();
        assert!(matches!(error, EmbeddedError::NotACluster { .. }));
        assert!(folder.path().join("letter.txt").exists());
    }
}
