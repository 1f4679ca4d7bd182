//! What processes use: processor time and memory, as `/proc` tells.

use std::fs::read_to_string;
use std::time::Duration;

use rustix::process::Pid;

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Usage {
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

/// What a process has used so far, user and kernel; none if it is gone.
pub(crate) fn used(pid: Pid) -> Duration {
    usage(pid).total()
}

/// The same, user and kernel apart.
pub(crate) fn usage(pid: Pid) -> Usage {
    let stat = read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let fields = stat.ok().and_then(|stat| {
        // The second field, the name in parentheses, may have spaces in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11);
        let user = fields.next()?.parse().ok()?;
        let system = fields.next()?.parse().ok()?;
        Some((user, system))
    });
    let (user, system) = fields.unwrap_or((0, 0));
    Usage {
        user: of_ticks(user),
        system: of_ticks(system),
    }
}

/// The same for a process and its children.
pub(crate) fn usage_of_family(pid: Pid) -> Usage {
    let raw = pid.as_raw_nonzero();
    let children = read_to_string(format!("/proc/{raw}/task/{raw}/children")).unwrap_or_default();
    let children = children.split_whitespace();
    let pids = children.filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw));
    pids.map(usage).fold(usage(pid), Usage::and)
}

/// How long a process's threads, ready to run, have waited for a processor.
pub(crate) fn waited(pid: Pid) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let tasks = tasks.into_iter().flatten().flatten();
    let waits = tasks.filter_map(|task| {
        let stat = read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waits.sum())
}

/// What the whole machine has used, all processors together.
pub(crate) fn machine() -> Duration {
    let stat = read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(1).take(8);
    let ticks = fields.map(|field| field.parse().unwrap_or(0));
    // User, nice, system, idle, waiting for a disk, interrupts: all but idle and waiting.
    let busy = ticks.enumerate().filter(|(n, _)| !matches!(n, 3 | 4));
    of_ticks(busy.map(|(_, ticks): (usize, u64)| ticks).sum())
}

/// Resident bytes of a process; 0 if it is gone.
pub(crate) fn resident_bytes(pid: Pid) -> u64 {
    let statm = read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero()));
    let pages: Option<u64> = statm
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

fn of_ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks * 1000 / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_uses_something() {
        let us = rustix::process::getpid();
        assert!(resident_bytes(us) > 100_000);
        assert!(machine() > Duration::ZERO);
        assert!(usage_of_family(us).total() >= usage(us).total());
        let gone = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!((used(gone), resident_bytes(gone)), (Duration::ZERO, 0));
    }
}
