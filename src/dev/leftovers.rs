//! What an earlier run that was killed has left running.
//!
//! The file `children` in the data folder lists the processes that were started, each with the time of
//! its start, so that another process with the same number is let alone, and its name.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};

/// What was left is killed after this.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// The list. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Leftovers {
    file: PathBuf,
    turn: Arc<Mutex<()>>,
}

impl Leftovers {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            file: data_dir.join("children"),
            turn: Arc::default(),
        }
    }

    /// A process was started.
    pub(super) fn note(&self, name: &str, pid: u32) {
        let _turn = self.turn.lock();
        let known = fs::read_to_string(&self.file).unwrap_or_default();
        let running = known
            .lines()
            .filter(|line| parse(line).is_some_and(is_running));
        let mut list = String::new();
        // Writing to a string does not fail.
        for line in running {
            let _ = writeln!(list, "{line}");
        }
        if let Some(started) = i32::try_from(pid).ok().and_then(start_time) {
            let _ = writeln!(list, "{pid} {started} {name}");
        }
        // Without the list only somebody who kills us has more to clear away.
        let _ = fs::write(&self.file, list);
    }

    /// Ends what an earlier run has left, and waits until it has ended.
    pub(super) async fn end(&self) {
        let list = fs::read_to_string(&self.file).unwrap_or_default();
        let left: Vec<_> = list.lines().filter_map(parse).collect();
        for signal in [Signal::TERM, Signal::KILL] {
            let begun = std::time::Instant::now();
            for (pid, _) in left.iter().filter(|it| is_running(**it)) {
                tracing::warn!(pid, ?signal, "ending what an earlier run has left");
                // Each leads a group, with what it has started itself.
                if let Some(pid) = Pid::from_raw(*pid) {
                    let _ = kill_process_group(pid, signal);
                }
            }
            while left.iter().any(|it| is_running(*it)) && begun.elapsed() < GRACE {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Nothing is left.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn parse(line: &str) -> Option<(i32, u64)> {
    let mut fields = line.split(' ');
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn is_running((pid, started): (i32, u64)) -> bool {
    start_time(pid) == Some(started)
}

/// When a process was started, in the kernel's ticks since its boot; none if it has ended.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so what counts comes after its last bracket.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[actix_rt::test]
    async fn what_was_left_is_ended_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let leftovers = Leftovers::new(folder.path());
        let sleep = || {
            std::process::Command::new("sleep")
                .arg("60")
                .process_group(0)
                .spawn()
                .unwrap()
        };
        let (mut left, mut other) = (sleep(), sleep());
        leftovers.note("left", left.id());
        // Another process has got the number of one that was ours.
        let list = fs::read_to_string(&leftovers.file).unwrap();
        fs::write(
            &leftovers.file,
            format!("{list}{} 1 other\ngarbage\n", other.id()),
        )
        .unwrap();
        let reaped = std::thread::spawn(move || left.wait().unwrap());
        leftovers.end().await;
        assert!(!reaped.join().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "it was let alone");
        other.kill().unwrap();
        other.wait().unwrap();
        leftovers.forget();
        assert!(!leftovers.file.exists());
    }
}
