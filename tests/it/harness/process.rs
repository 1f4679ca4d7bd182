//! A process that a test started.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::log::ProcessLog;
use super::watchdog;

/// A child with its log. Dropping it kills it; if the test is failing, the log is printed.
pub(crate) struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    log: ProcessLog,
}

impl Process {
    /// Starts it, in a process group of its own.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        watchdog::guard_process(child.id());
        let log = ProcessLog::default();
        if let Some(stream) = child.stdout.take() {
            log.follow(stream);
        }
        if let Some(stream) = child.stderr.take() {
            log.follow(stream);
        }
        Ok(Self {
            name: name.to_owned(),
            child,
            status: None,
            log,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn log(&self) -> &ProcessLog {
        &self.log
    }

    /// Sends a signal, unless the process has been waited for.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // It may have ended by itself: then it hears nothing, which is no failure here.
            let _ = kill_process(self.pid(), signal);
        }
    }

    /// Whether it has ended, and how.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none()
            && let Some(status) = self.child.try_wait().expect("a child can be waited for")
        {
            self.reaped(status);
        }
        self.status
    }

    /// Waits for the end; none if it does not come in time.
    pub(crate) async fn wait_within(&mut self, within: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if Instant::now() > end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills it with SIGKILL and waits for its end, which nothing can hold up.
    pub(crate) fn kill9(&mut self) {
        self.end(Signal::KILL);
    }

    /// Sends a signal that ends it, and waits.
    pub(crate) fn end(&mut self, signal: Signal) {
        if self.status.is_none() {
            self.signal(Signal::CONT);
            self.signal(signal);
            let status = self.child.wait().expect("a child can be waited for");
            self.reaped(status);
        }
    }

    fn reaped(&mut self, status: ExitStatus) {
        watchdog::process_was_reaped(self.child.id());
        self.status = Some(status);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}\n---", self.name, self.log.text());
        }
    }
}
