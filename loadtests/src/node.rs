//! A release node with a Postgres of its own, or on a database that is there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::cores::Cores;
use crate::error::LoadError;
use crate::postgres;

/// A start or a stop that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder that is removed, with the Postgres in it ended, when this is dropped.
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    pub(crate) fn new(parent: Option<&Path>) -> Result<Self, LoadError> {
        // Not in memory, as /tmp often is: the disk is part of what is measured.
        let parent = parent.unwrap_or(Path::new("/var/tmp"));
        let name = format!("hubbub-load-{}", std::process::id());
        let folder = parent.join(name);
        std::fs::create_dir_all(&folder)
            .map_err(LoadError::io(format!("making {}", folder.display())))?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        postgres::end_in(&self.0);
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// How a node is started.
pub(crate) struct NodeOptions<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) data: PathBuf,
    /// None: a Postgres of its own.
    pub(crate) database_url: Option<&'a str>,
    /// Further variables.
    pub(crate) settings: &'a [(&'a str, String)],
    /// None: all processors.
    pub(crate) cores: Option<&'a Cores>,
}

impl<'a> NodeOptions<'a> {
    /// With a Postgres of its own, and otherwise as it is.
    pub(crate) fn embedded(binary: &'a Path, data: PathBuf) -> Self {
        Self {
            binary,
            data,
            database_url: None,
            settings: &[],
            cores: None,
        }
    }
}

/// A node that listens. It is killed when dropped; [`Node::stop`] is the orderly end.
pub(crate) struct Node {
    /// `127.0.0.1:<port>`
    pub(crate) address: String,
    /// From the start of the process until it listened.
    pub(crate) start_time: Duration,
    child: Child,
    pid: Pid,
    log: Arc<Mutex<String>>,
}

impl Node {
    pub(crate) async fn start(options: &NodeOptions<'_>) -> Result<Self, LoadError> {
        if !options.binary.is_file() {
            return Err(LoadError::NoNode(options.binary.to_owned()));
        }
        let mut command = Command::new(options.binary);
        command
            .arg("serve")
            .env("NO_COLOR", "1")
            .env("HUBBUB__HTTP__BIND", "127.0.0.1:0")
            .env("HUBBUB__DATA_DIR", &options.data)
            .env("HUBBUB__LIMITS__EXEMPT", "127.0.0.0/8")
            // Hundreds of people sign up before anything is measured.
            .env("HUBBUB__AUTH__ARGON2_MEMORY_KIB", "64")
            .env("HUBBUB__AUTH__ARGON2_ITERATIONS", "1")
            .env_remove("DATABASE_URL")
            .env_remove("REDIS_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.envs(options.settings.iter().map(|(name, value)| (name, value)));
        if let Some(url) = options.database_url {
            command.env("DATABASE_URL", url);
        }
        let begun = Instant::now();
        let spawned = match options.cores {
            Some(cores) => cores.within(|| command.spawn())?,
            None => command.spawn(),
        };
        let mut child = spawned.map_err(LoadError::io("starting the node"))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| LoadError::Unexpected("a process without an id".to_owned()))?;
        let log = Arc::new(Mutex::new(String::new()));
        let (found, mut address) = mpsc::channel(1);
        if let Some(stream) = child.stdout.take() {
            tokio::spawn(follow(stream, log.clone(), found.clone()));
        }
        if let Some(stream) = child.stderr.take() {
            tokio::spawn(follow(stream, log.clone(), found));
        }
        // Without a node, both streams end, and with them the channel.
        let address = tokio::time::timeout(DEADLINE, address.recv()).await;
        let Ok(Some(address)) = address else {
            return Err(LoadError::Node {
                what: "does not start",
                log: log.lock().map(|log| log.clone()).unwrap_or_default(),
            });
        };
        Ok(Self {
            address,
            start_time: begun.elapsed(),
            child,
            pid,
            log,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Kills it, and waits for its end.
    pub(crate) async fn kill(mut self) -> Result<(), LoadError> {
        let killed = self.child.kill().await;
        killed.map_err(LoadError::io("killing the node"))
    }

    /// Stops it as a deploy does, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<(), LoadError> {
        kill_process(self.pid, Signal::TERM)
            .map_err(|error| LoadError::io("stopping the node")(error.into()))?;
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(LoadError::Node {
                what: "does not stop as it should",
                log: self.log.lock().map(|log| log.clone()).unwrap_or_default(),
            }),
        }
    }
}

/// Reads a log to its end, and tells the address when the node listens.
async fn follow(
    stream: impl AsyncRead + Unpin,
    log: Arc<Mutex<String>>,
    found: mpsc::Sender<String>,
) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((_, address)) = line.split_once("listening on http://") {
            let end = address
                .find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c)))
                .unwrap_or(address.len());
            // Nobody waits for a second one.
            let _ = found.try_send(address[..end].to_owned());
        }
        if let Ok(mut log) = log.lock() {
            log.push_str(&line);
            log.push('\n');
        }
    }
}
