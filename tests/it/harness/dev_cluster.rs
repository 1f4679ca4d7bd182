//! A cluster by `hubbub dev`: Postgres, Redis, nodes, and nginx with the repository's `nginx.conf`.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::node::{DataFolder, NodeOptions};
use super::process::Process;
use super::{DEADLINE, eventually};

/// The cluster. Dropping it kills everything.
pub(crate) struct DevCluster {
    /// nginx's.
    pub(crate) address: String,
    process: Process,
    options: NodeOptions,
    nodes: usize,
    /// Lines of the log that have been looked at.
    seen: usize,
}

impl DevCluster {
    /// Starts it, with these settings of the nodes.
    pub(crate) async fn start(nodes: usize, options: NodeOptions) -> Self {
        let mut cluster = Self {
            address: String::new(),
            process: spawn(nodes, &options),
            options,
            nodes,
            seen: 0,
        };
        cluster.address = cluster.announced().await;
        cluster
    }

    /// Waits until it says that it is ready, and where.
    async fn announced(&mut self) -> String {
        let address = self
            .said(|line| {
                let (_, after) = line.split_once("ready: ")?;
                let (_, address) = after.split_once("http://")?;
                Some(address.split(' ').next().unwrap_or_default().to_owned())
            })
            .await;
        address.unwrap_or_else(|| panic!("it is not ready:\n{}", self.process.log().text()))
    }

    /// What is found in the lines that were not looked at before; none if it does not come.
    pub(crate) async fn said<T>(&mut self, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut seen = self.seen;
        let found = self
            .process
            .log()
            .find(self.seen, |line| {
                seen += 1;
                find(line)
            })
            .await;
        self.seen = seen;
        found
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        self.process.log().text()
    }

    /// Starts it anew with the same folder, after it has ended.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.try_wait().is_some(), "it still runs");
        self.process = spawn(self.nodes, &self.options);
        self.seen = 0;
        self.address = self.announced().await;
    }

    /// The process that has this name now: `node-1`, `redis`, `nginx`.
    pub(crate) async fn pid_of(&self, name: &str) -> Pid {
        let pid = eventually("it was started", async || {
            children(self.folder().path())
                .into_iter()
                .rfind(|(_, child)| child == name)
        });
        Pid::from_raw(pid.await.0).expect("a number of a process")
    }

    /// Kills one of its processes with SIGKILL.
    pub(crate) async fn kill9(&self, name: &str) {
        let pid = self.pid_of(name).await;
        kill_process(pid, Signal::KILL).expect("it can be killed");
    }

    /// Kills `hubbub dev` itself, and none of its children.
    pub(crate) fn kill9_itself(&mut self) {
        self.process.kill9();
    }

    /// Has the nodes restarted one after the other.
    pub(crate) fn roll(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        let status = self.process.wait_within(DEADLINE).await;
        status.unwrap_or_else(|| panic!("it does not end:\n{}", self.process.log().text()))
    }

    pub(crate) fn folder(&self) -> &Arc<DataFolder> {
        self.options.folder()
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        // It is killed before it could start again what is killed here.
        self.process.kill9();
        for (pid, _) in children(self.folder().path()) {
            // With what it started itself.
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            let access = self.folder().path().join("nginx/access.log");
            eprintln!("{}", std::fs::read_to_string(access).unwrap_or_default());
        }
    }
}

fn spawn(nodes: usize, options: &NodeOptions) -> Process {
    let folder = options.folder().path().display().to_string();
    let count = nodes.to_string();
    let arguments = [
        "dev",
        "--nodes",
        &count,
        "--bind",
        "127.0.0.1:0",
        "--data-dir",
        &folder,
    ];
    let process = Process::spawn("dev", &mut options.command(&arguments));
    process.expect("the binary can be run")
}

/// What `hubbub dev` has written down of its children: processes and names.
pub(crate) fn children(folder: &Path) -> Vec<(i32, String)> {
    let list = std::fs::read_to_string(folder.join("children")).unwrap_or_default();
    let child = |line: &str| {
        let mut fields = line.split(' ');
        let pid = fields.next()?.parse().ok()?;
        Some((pid, fields.nth(1)?.to_owned()))
    };
    list.lines().filter_map(child).collect()
}
