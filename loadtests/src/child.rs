//! Another process of this program, which generates load: it is told what to do by its standard input.

use std::process::Stdio;

use rustix::process::Pid;
use tokio::process::{Child, ChildStdin, Command};

use crate::cores::Cores;
use crate::error::LoadError;

/// Starts one with this subcommand on these processors. It ends when it is dropped.
pub(crate) fn start(task: &str, cores: &Cores) -> Result<(Child, Pid, ChildStdin), LoadError> {
    let us = std::env::current_exe().map_err(LoadError::io("finding this program"))?;
    let mut command = Command::new(us);
    command
        .arg(task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = cores
        .within(|| command.spawn())?
        .map_err(LoadError::io("starting a generator"))?;
    let orders = child.stdin.take().ok_or_else(without_pipes)?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(Pid::from_raw).ok_or_else(without_pipes)?;
    Ok((child, pid, orders))
}

/// It was started otherwise.
pub(crate) fn without_pipes() -> LoadError {
    LoadError::Unexpected("a generator without pipes".to_owned())
}
