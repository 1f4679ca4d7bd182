//! The server's process: its pid file, starting it or finding it running, and ending it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process, waitpid};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::EmbeddedError;
use super::place::SOCKET_FILE;

/// How often the end of a process that is not our child is looked for.
const POLL: Duration = Duration::from_millis(50);

/// What the kernel may take to end processes that are killed. One that waits for a disk ends later.
const KILLED: Duration = Duration::from_secs(2);

/// A number that no process has: systems stay far below (Linux: 2²²).
const NOBODY: i32 = i32::MAX;

/// What a running server, or one that was killed, has written down in `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: i32,
    /// The folder of its socket.
    pub(super) socket: PathBuf,
}

impl PidFile {
    pub(super) fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // pid, data folder, start time, port, socket folder, …; a standalone server's is negative
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        let socket = PathBuf::from(lines.nth(3).unwrap_or_default().trim());
        Some(Self { pid, socket })
    }

    /// Whether the process is there and is a Postgres, rather than another that got its number.
    pub(super) fn is_running(&self) -> bool {
        is_alive(self.pid) && may_be_postgres(self.pid)
    }

    /// Prepares the files of a server that is gone for the next one. Postgres refuses to start if
    /// the process in them exists and is of the same user; and it does exist if nobody waits for
    /// orphans here, or if the number is another's now, as after a restart of a container. The
    /// rest of `postmaster.pid` is what tells whether children of the old server still use its
    /// memory, so that must stay.
    pub(super) fn disown(&self, cluster: &Path) {
        if self.pid == NOBODY {
            return;
        }
        let path = cluster.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&path) else {
            return;
        };
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        if let Err(error) = fs::write(&path, format!("{NOBODY}\n{rest}")) {
            tracing::warn!(%error, "cannot write {}", path.display());
        }
        // Guards the socket against servers of other clusters, which have no access here.
        let _ = fs::remove_file(self.socket.join(format!("{SOCKET_FILE}.lock")));
    }
}

/// The server's first process.
#[derive(Debug)]
pub(super) enum Process {
    /// Started by this node.
    Child(Box<Child>, i32),
    /// Started by an earlier one.
    Adopted(i32),
}

impl Process {
    pub(super) fn pid(&self) -> i32 {
        match self {
            Self::Child(_, pid) | Self::Adopted(pid) => *pid,
        }
    }

    /// Waits for its end; returns how it ended. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        match self {
            Self::Child(child, _) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Self::Adopted(pid) => {
                while is_alive(*pid) {
                    sleep(POLL).await;
                }
                "ended".to_owned()
            }
        }
    }

    /// Ends it within about `limit`, and waits for that. What was committed stays in any case.
    ///
    /// A fast shutdown, which writes a checkpoint, has three quarters of that; then the server is
    /// told to leave without, which makes the next start replay its log; and then, as one that is
    /// frozen hears nothing, all of its processes are killed.
    pub(super) async fn stop(&mut self, limit: Duration) -> Result<(), EmbeddedError> {
        let pid = self.pid();
        for (sign, limit) in [(Signal::INT, limit * 3 / 4), (Signal::QUIT, limit / 4)] {
            signal(pid, sign);
            let ended = timeout_at(Instant::now() + limit, self.ended()).await;
            if ended.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid, ms = limit.as_millis(), "Postgres is slow to stop");
        }
        // Each of its processes leads a group of its own. The first is killed first, so that it
        // starts no more of them.
        let children = children(pid);
        signal(pid, Signal::KILL);
        for child in &children {
            signal(*child, Signal::KILL);
        }
        tracing::warn!(
            pid,
            children = children.len(),
            "Postgres did not stop and was killed: what was committed is in its log, which the next \
             start replays"
        );
        let all = async {
            self.ended().await;
            // A new server cannot start beside them.
            while children.iter().any(|child| is_alive(*child)) {
                sleep(POLL).await;
            }
        };
        let ended = timeout_at(Instant::now() + KILLED, all).await;
        ended.map_err(|_| EmbeddedError::NotStopping { pid })
    }
}

/// Sends a signal; a process that is gone has no need of it.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn is_alive(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else {
        return false;
    };
    // As the first process of a container we inherit orphans: a dead one stays until it is waited
    // for.
    if matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))) {
        return false;
    }
    // Another's process may not be signalled, and is alive.
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)) && !is_zombie(pid)
}

/// Dead, but its parent has not noticed.
fn is_zombie(pid: Pid) -> bool {
    state_and_parent(pid.as_raw_nonzero().get()).is_some_and(|(state, _)| state == "Z")
}

/// The processes that this one has started, where the system has `/proc`.
fn children(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes
        .filter(|pid| state_and_parent(*pid).is_some_and(|(_, its)| its == parent))
        .collect()
}

/// A process's state and its parent, where the system has `/proc`.
fn state_and_parent(pid: i32) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// By its name, where the system has `/proc`.
fn may_be_postgres(pid: i32) -> bool {
    if !Path::new("/proc/self/comm").exists() {
        return true;
    }
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| matches!(name.trim(), "postgres" | "postmaster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files() {
        let text = "4711\n/data/postgres\n1700000000\n5432\n/tmp/s\n\n  123 4\nready   \n";
        let file = PidFile::parse(text).unwrap();
        assert_eq!((file.pid, file.socket), (4711, PathBuf::from("/tmp/s")));
        assert_eq!(PidFile::parse("-12\n"), None);
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("12\n").unwrap().socket, PathBuf::new());
    }

    #[test]
    fn a_process_that_is_not_postgres_is_not_taken_for_it() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(is_alive(me));
        let file = PidFile {
            pid: me,
            socket: PathBuf::new(),
        };
        assert!(!file.is_running());
    }

    #[test]
    #[allow(
        clippy::zombie_processes,
        reason = "that nobody waits is what is tested"
    )]
    fn a_dead_child_that_nobody_waited_for_is_not_alive() {
        #[expect(clippy::zombie_processes, reason = "that is what it is about")]
        let child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while is_alive(pid) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_number_of_a_server_that_is_gone_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join(".s.PGSQL.5432.lock");
        fs::write(&lock, "1\n").unwrap();
        let path = folder.path().join("postmaster.pid");
        let parent = std::os::unix::process::parent_id();
        let socket = folder.path().display();
        fs::write(&path, format!("{parent}\n/data\n1\n5432\n{socket}\n")).unwrap();
        PidFile::read(folder.path()).unwrap().disown(folder.path());
        let expected = format!("{NOBODY}\n/data\n1\n5432\n{socket}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert!(!lock.exists());
    }
}
