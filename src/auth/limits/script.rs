//! Counting in Redis: one script about one key, on Redis's clock.

use redis::Value;

use super::gcra::Cell;
use super::tally::{Rule, Tally};

/// The script.
pub const TEXT: &str = include_str!("count.lua");

/// What the script is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What holds for the key.
    pub rule: Rule,
    /// What the node had heard of it last, on Redis's clock.
    pub heard: Tally,
    /// What the node has admitted since.
    pub admitted: u64,
    /// What it has refused since.
    pub refused: u64,
    /// Whether one more may pass.
    pub wants: bool,
}

/// What it answers, on Redis's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The time, microseconds since 1970.
    pub now_us: u64,
    /// What is counted now.
    pub tally: Tally,
    /// Whether the one more passes.
    pub passes: bool,
    /// What was there was not ours.
    pub was_bad: bool,
}

impl Question {
    /// The script's arguments.
    #[must_use]
    pub fn arguments(&self) -> [i64; 9] {
        let Rule { quota, block_us } = self.rule;
        let Tally {
            requests,
            refusals,
            blocked_until_us,
        } = self.heard;
        [
            quota.emission_us(),
            quota.burst_us(),
            block_us,
            requests.tat_us(),
            refusals.tat_us(),
            blocked_until_us,
            self.admitted,
            self.refused,
            u64::from(self.wants),
        ]
        .map(|number| i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Answer {
    /// Reads it. None if it is none.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let Value::Array(fields) = value else {
            return None;
        };
        let number = |field: &Value| match field {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let numbers: Option<Vec<u64>> = fields.iter().map(number).collect();
        let [now_us, requests, refusals, blocked_until_us, passes, bad] = numbers?[..] else {
            return None;
        };
        Some(Self {
            now_us,
            tally: Tally {
                requests: Cell::at(requests),
                refusals: Cell::at(refusals),
                blocked_until_us,
            },
            passes: passes == 1,
            was_bad: bad == 1,
        })
    }
}
