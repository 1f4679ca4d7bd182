//! Whether the generator kept its own promises. A measurement by a generator that was late tells
//! about the generator, not about the server.

use std::time::Duration;

use serde::Serialize;

use crate::cpu::Usage;
use crate::samples::Latency;

/// A message may be sent this much later than meant, in 99 of 100 cases.
const SLIP_P99_MAX_US: u64 = 10_000;

/// A generator process has one thread: from here on it has no time left.
const BUSY_MAX: f64 = 0.95;

/// How much of the time it may have waited for a processor that somebody else had.
const WAITED_MAX: f64 = 0.20;

/// What is printed below each page.
pub(crate) const RULE: &str = "A run is INVALID when the generator was late: p99 of sending more \
than 10 ms behind the schedule, a message that was never sent while the server took what there was, \
a generator process that used 95 % of a core, or that waited for one more than 20 % of the time.";

/// The generators' own figures in the measured time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Conduct {
    pub(crate) processes: usize,
    /// Of the busiest process: its share of a core.
    pub(crate) busiest: f64,
    /// Of the one that waited longest: the share of the time for which it waited for a core.
    pub(crate) waited: f64,
    /// All of them together, in cores.
    pub(crate) cores_used: f64,
    /// How much later than meant was sent (or begun).
    pub(crate) slip: Latency,
    /// What was not sent (or begun) at all although it was the generator's turn.
    pub(crate) unsent: u64,
}

impl Conduct {
    /// Between two looks at what each process has used, and for how long it has waited for a core, so many
    /// seconds apart. Without the slip.
    pub(crate) fn between(
        before: &[(Usage, Duration)],
        after: &[(Usage, Duration)],
        seconds: f64,
    ) -> Self {
        let mut conduct = Self {
            processes: after.len(),
            ..Self::default()
        };
        for ((before, before_waited), (after, after_waited)) in before.iter().zip(after) {
            let used = after.since(*before).total().as_secs_f64() / seconds;
            let waited = after_waited.saturating_sub(*before_waited).as_secs_f64() / seconds;
            conduct.cores_used += used;
            conduct.busiest = conduct.busiest.max(used);
            conduct.waited = conduct.waited.max(waited);
        }
        conduct
    }

    /// Why the run does not count; nothing if it does.
    pub(crate) fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        if self.slip.p99_us > SLIP_P99_MAX_US {
            let ms = self.slip.p99_us as f64 / 1000.0;
            objections.push(format!("it sent late: p99 {ms:.1} ms behind the schedule"));
        }
        if self.unsent > 0 {
            objections.push(format!("{} messages were never sent", self.unsent));
        }
        if self.busiest >= BUSY_MAX {
            let share = self.busiest * 100.0;
            objections.push(format!("a generator process used {share:.0} % of a core"));
        }
        if self.waited > WAITED_MAX {
            let share = self.waited * 100.0;
            objections.push(format!("it waited {share:.0} % of the time for a core"));
        }
        objections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Conduct {
        Conduct {
            processes: 2,
            busiest: 0.94,
            waited: 0.20,
            cores_used: 1.5,
            slip: Latency {
                p99_us: 10_000,
                max_us: 90_000,
                ..Latency::default()
            },
            unsent: 0,
        }
    }

    #[test]
    fn a_generator_in_time_is_not_objected_to() {
        assert_eq!(good().objections(), [""; 0]);
    }

    #[test]
    fn each_way_of_being_late_is_objected_to() {
        let late = |change: fn(&mut Conduct)| {
            let mut conduct = good();
            change(&mut conduct);
            conduct.objections().len()
        };
        assert_eq!(late(|it| it.slip.p99_us = 10_001), 1);
        assert_eq!(late(|it| it.unsent = 1), 1);
        assert_eq!(late(|it| it.busiest = 0.95), 1);
        assert_eq!(late(|it| it.waited = 0.21), 1);
    }
}
