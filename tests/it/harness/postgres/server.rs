//! One Postgres instance, on a Unix socket only.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::super::process::Process;
use super::super::{DEADLINE, eventually, watchdog};
use super::{TestDatabase, binaries, template};

/// How an instance is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// As in production. Without it tests are faster, and a killed server loses data.
    pub(crate) fsync: bool,
}

/// A Postgres that can be stopped, killed and frozen. Dropping it ends it and removes its data.
pub(crate) struct TestServer {
    folder: PathBuf,
    options: Options,
    process: Option<Process>,
}

impl TestServer {
    /// Starts an instance with the migrated template in it.
    pub(crate) async fn start(options: Options) -> Self {
        let server = Self::start_with(options, template::copy_to).await;
        super::create_template(&server).await;
        server
    }

    /// Starts an instance with the data that `fill` puts into a folder.
    pub(super) async fn start_with(
        options: Options,
        fill: impl FnOnce(&Path) + Send + 'static,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = template::root().join(format!("pg-{}-{number}", std::process::id()));
        watchdog::guard_folder(&folder);
        let prepared = folder.clone();
        tokio::task::spawn_blocking(move || {
            // A killed run of the same process id may have left one.
            let _ = std::fs::remove_dir_all(&prepared);
            template::make_folder(&prepared);
            fill(&prepared.join("data"));
        })
        .await
        .expect("the data folder is made");
        let mut server = Self {
            folder,
            options,
            process: None,
        };
        server.restart().await;
        server
    }

    /// A fresh, migrated database.
    pub(crate) async fn database(&self) -> TestDatabase {
        super::create(self, !self.options.fsync).await
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@/{database}?host={}",
            self.folder.display()
        )
    }

    /// The socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Where its data lie.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it again after [`TestServer::stop`] or [`TestServer::kill9`], and waits until it
    /// accepts connections.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// As [`TestServer::restart`], with further settings.
    pub(crate) async fn restart_with(&mut self, settings: &[&str]) {
        assert!(self.process.is_none(), "it still runs");
        let on_off = |on| if on { "on" } else { "off" };
        let fsync = on_off(self.options.fsync);
        let mut command = binaries::program("postgres");
        command.arg("-D").arg(self.data_folder());
        command.arg("-k").arg(&self.folder);
        for setting in [
            "listen_addresses=",
            &format!("fsync={fsync}"),
            &format!("full_page_writes={fsync}"),
            "max_connections=400",
            "shared_buffers=64MB",
            // Segments in files of the data folder: a killed server leaves none behind.
            "dynamic_shared_memory_type=mmap",
            "log_min_messages=warning",
            "log_checkpoints=off",
            "jit=off",
        ] {
            command.arg("-c").arg(setting);
        }
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        let process = Process::spawn("Postgres", &mut command).expect("postgres starts");
        let ready = process
            .log()
            .find(0, |line| {
                // A replica: read-only connections.
                let is_ready = line.contains("is ready to accept") && line.contains("connections");
                is_ready.then_some(())
            })
            .await;
        assert!(ready.is_some(), "Postgres does not start");
        self.process = Some(process);
    }

    /// Stops it in an orderly way; open connections are ended.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::INT);
        let status = process.wait_within(DEADLINE).await;
        assert!(status.is_some(), "Postgres does not stop");
    }

    /// Kills every process of it with SIGKILL, as the kernel does when memory runs out.
    pub(crate) async fn kill9(&mut self) {
        let mut process = self.process.take().expect("it runs");
        kill_all(process.pid(), || process.kill9()).await;
    }

    /// Stops every process of it in its tracks: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        let process = self.process.as_ref().expect("it runs");
        process.signal(Signal::STOP);
        for child in children(process.pid()) {
            let _ = kill_process(child, Signal::STOP);
        }
    }

    /// Lets it go on after [`TestServer::freeze`].
    pub(crate) fn thaw(&self) {
        let process = self.process.as_ref().expect("it runs");
        for child in children(process.pid()) {
            let _ = kill_process(child, Signal::CONT);
        }
        process.signal(Signal::CONT);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            for child in children(process.pid()) {
                let _ = kill_process(child, Signal::CONT);
            }
            // SIGQUIT is Postgres's immediate shutdown.
            process.end(Signal::QUIT);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Kills a postmaster and its children with SIGKILL.
async fn kill_all(postmaster: Pid, kill_postmaster: impl FnOnce()) {
    // The postmaster is stopped first, so that it starts no more children.
    let _ = kill_process(postmaster, Signal::STOP);
    let children = children(postmaster);
    for child in &children {
        let _ = kill_process(*child, Signal::KILL);
    }
    kill_postmaster();
    // A new server refuses to start while a process of the old one holds its shared memory.
    eventually("Postgres's processes end", async || {
        children.iter().all(|pid| has_ended(*pid)).then_some(())
    })
    .await;
}

/// Kills the Postgres that a node runs somewhere in its data folder.
pub(crate) async fn kill9_in(folder: &Path) {
    let postmaster = postmaster_in(folder, 4).expect("a Postgres runs there");
    kill_all(postmaster, || {
        let _ = kill_process(postmaster, Signal::KILL);
    })
    .await;
    eventually("the postmaster ends", async || {
        has_ended(postmaster).then_some(())
    })
    .await;
}

/// Stops every process of the Postgres that a node runs somewhere in its data folder in its tracks.
pub(crate) fn freeze_in(folder: &Path) -> Vec<Pid> {
    let postmaster = postmaster_in(folder, 4).expect("a Postgres runs there");
    let _ = kill_process(postmaster, Signal::STOP);
    let mut all = children(postmaster);
    all.push(postmaster);
    for process in &all {
        let _ = kill_process(*process, Signal::STOP);
    }
    all
}

/// Ends the Postgres that a node may have left in its data folder, at once.
pub(crate) fn stop_in(folder: &Path) {
    if let Some(postmaster) = postmaster_in(folder, 4) {
        let _ = kill_process(postmaster, Signal::CONT);
        let _ = kill_process(postmaster, Signal::QUIT);
    }
}

/// The running postmaster whose `postmaster.pid` is in a folder or, so many levels, below it.
fn postmaster_in(folder: &Path, levels: u32) -> Option<Pid> {
    let file = folder.join("postmaster.pid");
    if let Ok(text) = std::fs::read_to_string(file) {
        let pid = text.lines().next()?.trim().parse().ok()?;
        return Pid::from_raw(pid).filter(|pid| !has_ended(*pid));
    }
    let below = std::fs::read_dir(folder).ok()?.flatten();
    below
        .filter(|_| levels > 0)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .find_map(|entry| postmaster_in(&entry.path(), levels - 1))
}

/// The children of a process.
fn children(parent: Pid) -> Vec<Pid> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some((_, ppid)) = state_and_parent(&entry.path())
            && ppid == parent.as_raw_nonzero().get()
            && let Some(pid) = Pid::from_raw(pid)
        {
            children.push(pid);
        }
    }
    children
}

pub(crate) fn has_ended(pid: Pid) -> bool {
    let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    state_and_parent(&folder).is_none_or(|(state, _)| state == 'Z')
}

/// A process's state and parent, from `/proc/<pid>/stat`; its second field, the name in
/// parentheses, may have any character in it.
fn state_and_parent(folder: &Path) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((state, parent))
}
