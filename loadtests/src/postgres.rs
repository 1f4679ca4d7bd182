//! The Postgres that a node runs in its data folder.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio_postgres::{Client, NoTls};

use crate::error::LoadError;

/// How deep in the data folder the cluster may lie.
const LEVELS: u32 = 3;

/// How long an orderly stop may take.
const STOP: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// A running server, as its `postmaster.pid` tells.
pub(crate) struct Running {
    pub(crate) pid: Pid,
    socket_folder: String,
    port: String,
}

impl Running {
    /// The server in a data folder.
    pub(crate) fn find(folder: &Path) -> Result<Self, LoadError> {
        let missing = || LoadError::Unexpected(format!("no Postgres in {}", folder.display()));
        let file = pid_file(folder, LEVELS).ok_or_else(missing)?;
        let text = read_to_string(file).map_err(LoadError::io("reading postmaster.pid"))?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // Process, data folder, start time, port, socket folder, …
        let [pid, _, _, port, socket_folder, ..] = lines[..] else {
            return Err(missing());
        };
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        Ok(Self {
            pid: pid.ok_or_else(missing)?,
            socket_folder: socket_folder.to_owned(),
            port: port.to_owned(),
        })
    }

    /// The address of a database.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let (folder, port) = (&self.socket_folder, &self.port);
        format!("postgres://{user}@/{database}?host={folder}&port={port}")
    }
}

/// Connects.
pub(crate) async fn connect(url: &str) -> Result<Client, LoadError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Ends a server that was left running in a data folder.
pub(crate) fn end_in(folder: &Path) {
    let Ok(running) = Running::find(folder) else {
        return;
    };
    // It is not our child, so its end is told by a descriptor of it.
    let Ok(process) = pidfd_open(running.pid, PidfdFlags::empty()) else {
        return;
    };
    let _ = pidfd_send_signal(&process, Signal::INT);
    let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&STOP));
}

fn pid_file(folder: &Path, levels: u32) -> Option<PathBuf> {
    let file = folder.join("postmaster.pid");
    if file.is_file() {
        return Some(file);
    }
    let below = std::fs::read_dir(folder).ok()?.flatten();
    below
        .filter(|_| levels > 0)
        .find_map(|entry| pid_file(&entry.path(), levels - 1))
}
