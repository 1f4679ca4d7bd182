//! Collects what the sections find wrong, so that all of it is reported together.

use std::fmt::Display;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::error::{ConfigError, Problem};
use super::sources::Origins;

/// A day, the longest that most waits in seconds may be.
pub(super) const DAY_S: u64 = 86_400;
/// An hour, the longest that a wait in milliseconds may be.
pub(super) const HOUR_MS: u64 = 3_600_000;
/// Ten minutes, the longest that a client may be made to wait, in milliseconds.
pub(super) const TEN_MINUTES_MS: u64 = 600_000;
/// A gibibyte, the largest that a message or buffer may be.
pub(super) const GIB: usize = 1 << 30;

/// Refuses a network of IPv4 addresses that is written as one of IPv6: addresses are compared in
/// their IPv4 form, and none would be in it.
pub(super) fn network(checks: &mut Checks, key: &'static str, network: &IpNet) {
    let is_mapped = match network {
        IpNet::V4(_) => false,
        IpNet::V6(v6) => v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some(),
    };
    checks.require(!is_mapped, key, || {
        format!("{network} is a network of IPv4: write it as that, without ::ffff:")
    });
}

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    findings: Vec<(&'static str, String)>,
}

impl Checks {
    /// Refuses `key` unless `holds`; `what` says what is wrong with it. One finding for a key
    /// is enough: a number out of range needs no remark on its relation to others.
    pub(super) fn require(
        &mut self,
        holds: bool,
        key: &'static str,
        what: impl FnOnce() -> String,
    ) {
        if !holds && self.findings.iter().all(|(found, _)| *found != key) {
            self.findings.push((key, what()));
        }
    }

    /// Refuses a number outside of `allowed`.
    pub(super) fn range<T: PartialOrd + Display + Copy>(
        &mut self,
        key: &'static str,
        value: T,
        allowed: RangeInclusive<T>,
    ) {
        self.require(allowed.contains(&value), key, || {
            let side = if value < *allowed.start() {
                "small"
            } else {
                "large"
            };
            format!("{value} is too {side}")
        });
    }

    /// Refuses the first number when it is larger than the second.
    pub(super) fn at_most<T: PartialOrd + Display>(
        &mut self,
        (key, value): (&'static str, T),
        (other, bound): (&'static str, T),
    ) {
        self.require(value <= bound, key, || {
            format!("{value} is larger than {other}, which is {bound}")
        });
    }

    /// Refuses the first number when it is smaller than the second.
    pub(super) fn at_least<T: PartialOrd + Display>(
        &mut self,
        (key, value): (&'static str, T),
        (other, bound): (&'static str, T),
    ) {
        self.require(value >= bound, key, || {
            format!("{value} is smaller than {other}, which is {bound}")
        });
    }

    /// The verdict.
    pub(super) fn into_result(self, origins: &Origins) -> Result<(), ConfigError> {
        if self.findings.is_empty() {
            return Ok(());
        }
        let problems: Vec<Problem> = self
            .findings
            .into_iter()
            .map(|(key, what)| origins.problem(key, what))
            .collect();
        Err(ConfigError::Refused(problems))
    }
}
