//! Processor time of processes.

use std::time::Duration;

use rustix::process::Pid;

/// What a process has used so far, user and kernel; none if it is gone.
pub(crate) fn used(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let ticks = stat.ok().and_then(|stat| {
        // The second field, the name in parentheses, may have spaces in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let kernel: u64 = fields.next()?.parse().ok()?;
        Some(user + kernel)
    });
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.unwrap_or(0) * 1000 / per_second)
}
