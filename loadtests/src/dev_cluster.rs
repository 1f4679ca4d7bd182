//! A cluster by `hubbub dev`: nodes behind nginx, with a Postgres and a Redis of their own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::error::LoadError;
use crate::node::DataFolder;

/// A start that takes longer has failed.
const START: Duration = Duration::from_secs(40);

/// How long an orderly end may take.
const STOP: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// Lines of its log that are kept for an error.
const LAST_LINES: usize = 40;

/// What it has said of itself.
#[derive(Debug, Default)]
struct Said {
    /// nginx's address, when all nodes serve.
    ready: Option<String>,
    /// How often all nodes were restarted.
    rolls: u32,
    last: Vec<String>,
}

/// A cluster that serves. Dropping it ends all of it in order.
pub(crate) struct DevCluster {
    /// nginx's, `127.0.0.1:<port>`.
    pub(crate) address: String,
    said: watch::Receiver<Said>,
    child: Child,
    pid: Pid,
    /// Dropped last.
    _folder: DataFolder,
}

impl DevCluster {
    /// Starts so many nodes, which take so long to tell their clients to move.
    pub(crate) async fn start(
        binary: &Path,
        folder: Option<&Path>,
        nodes: u16,
        drain: Duration,
    ) -> Result<Self, LoadError> {
        if !binary.is_file() {
            return Err(LoadError::NoNode(binary.to_owned()));
        }
        let folder = DataFolder::new(folder)?;
        let mut command = Command::new(binary);
        command
            .args(["dev", "--bind", "127.0.0.1:0", "--nodes"])
            .arg(nodes.to_string())
            .arg("--data-dir")
            .arg(folder.path().join("dev"))
            .env("NO_COLOR", "1")
            .env("HUBBUB__LIMITS__EXEMPT", "127.0.0.0/8")
            .env("HUBBUB__AUTH__ARGON2_MEMORY_KIB", "64")
            .env("HUBBUB__AUTH__ARGON2_ITERATIONS", "1")
            .env("HUBBUB__HTTP__DRAIN_MS", drain.as_millis().to_string())
            .env_remove("DATABASE_URL")
            .env_remove("REDIS_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(LoadError::io("starting `hubbub dev`"))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| LoadError::Unexpected("a process without an id".to_owned()))?;
        let (says, said) = watch::channel(Said::default());
        if let Some(stream) = child.stdout.take() {
            tokio::spawn(follow(stream, says.clone()));
        }
        if let Some(stream) = child.stderr.take() {
            tokio::spawn(follow(stream, says));
        }
        let mut cluster = Self {
            address: String::new(),
            said,
            child,
            pid,
            _folder: folder,
        };
        let ready = tokio::time::timeout(START, cluster.said.wait_for(|it| it.ready.is_some()));
        let address = match ready.await {
            Ok(Ok(said)) => said.ready.clone(),
            _ => None,
        };
        cluster.address = address.ok_or_else(|| cluster.failed("does not start"))?;
        Ok(cluster)
    }

    /// Restarts the nodes one after the other, as a deploy does, and waits until all serve again.
    pub(crate) async fn roll(&mut self) -> Result<(), LoadError> {
        let before = self.said.borrow().rolls;
        kill_process(self.pid, Signal::HUP)
            .map_err(|error| LoadError::io("having the nodes restarted")(error.into()))?;
        let rolled = self.said.wait_for(|it| it.rolls > before).await.is_ok();
        if rolled {
            return Ok(());
        }
        Err(self.failed("ends while its nodes are restarted"))
    }

    fn failed(&self, what: &'static str) -> LoadError {
        let log = self.said.borrow().last.join("\n");
        LoadError::Node { what, log }
    }

    /// Stops all of it, and waits for that.
    pub(crate) async fn stop(mut self) -> Result<(), LoadError> {
        self.terminate();
        let limit = Duration::from_secs(STOP.tv_sec.unsigned_abs());
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(self.failed("does not stop as it should")),
        }
    }

    fn terminate(&self) {
        let _ = kill_process(self.pid, Signal::TERM);
    }
}

/// Killed, it would leave its nodes behind: it is asked to end, and waited for.
impl Drop for DevCluster {
    fn drop(&mut self) {
        // None: it has been waited for, and its number may be another's.
        if self.child.id().is_none() {
            return;
        }
        if let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty()) {
            self.terminate();
            let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&STOP));
        }
    }
}

/// Reads its log to the end.
async fn follow(stream: impl AsyncRead + Unpin, says: watch::Sender<Said>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        says.send_modify(|said| said.note(line));
    }
}

impl Said {
    fn note(&mut self, line: String) {
        if let Some((_, after)) = line.split_once("ready: ")
            && let Some((_, address)) = after.split_once("http://")
        {
            self.ready = address.split(' ').next().map(str::to_owned);
        }
        self.rolls += u32::from(line.contains("all nodes were restarted"));
        if self.last.len() == LAST_LINES {
            self.last.remove(0);
        }
        self.last.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_understood() {
        let mut said = Said::default();
        said.note("dev      | starting Postgres".to_owned());
        assert_eq!(said.ready, None);
        said.note("dev | ready: 3 nodes at http://127.0.0.1:4000 (Ctrl-C stops them)".to_owned());
        assert_eq!(said.ready.as_deref(), Some("127.0.0.1:4000"));
        said.note("dev | all nodes were restarted".to_owned());
        assert_eq!(said.rolls, 1);
        for _ in 0..2 * LAST_LINES {
            said.note(String::new());
        }
        assert_eq!(said.last.len(), LAST_LINES);
    }
}
