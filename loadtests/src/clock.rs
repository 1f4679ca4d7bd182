//! The one clock of a measurement: it is the same in every process of a machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(crate) const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| value.unsigned_abs();
    part(time.tv_sec) * NS_PER_S + part(time.tv_nsec)
}

/// Sleeps until that time; not at all if it has passed.
pub(crate) async fn sleep_until(time_ns: u64) {
    let left = Duration::from_nanos(time_ns.saturating_sub(now()));
    tokio::time::sleep(left).await;
}

/// Nanoseconds of a time span.
pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
