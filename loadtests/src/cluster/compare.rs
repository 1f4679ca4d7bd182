//! The same load on one server and on two that share a Redis.

use std::fmt;

use serde::Serialize;

use super::Extent;
use crate::error::LoadError;
use crate::fanout::{self, Load};
use crate::outcome::{Outcome, Share};
use crate::saturate::{self, Saturation};
use crate::server::Kind;
use crate::target::Target;

/// A load: rooms, members, messages a second in each room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    rooms: u32,
    members: u32,
    rate: f64,
    pub(super) durable: bool,
    saturate: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rooms,
            members,
            rate,
            durable,
            ..
        } = self;
        let stored = if *durable { ", stored" } else { "" };
        write!(f, "{rooms} × {members} at {rate}/s{stored}")
    }
}

/// The loads of `bench`, and one that Hubbub stores.
pub(super) fn plans(extent: &Extent) -> Vec<Plan> {
    let volatile = crate::bench::LOADS.iter().enumerate();
    let mut plans: Vec<Plan> = volatile
        .map(|(n, (rooms, members, rate))| Plan {
            rooms: *rooms,
            members: *members,
            rate: *rate,
            durable: false,
            saturate: n < usize::from(extent.saturated),
        })
        .collect();
    plans.push(Plan {
        rooms: 100,
        members: 10,
        rate: 5.0,
        durable: true,
        saturate: false,
    });
    plans
}

/// A load on one server and on two.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) kind: Kind,
    pub(crate) load: String,
    /// A run of each for each round.
    pub(crate) alone: Vec<Outcome>,
    pub(crate) pair: Vec<Outcome>,
    pub(crate) added: Option<Added>,
    pub(crate) saturated_alone: Option<Saturation>,
    pub(crate) saturated_pair: Option<Saturation>,
}

/// What the second server adds to one alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Added {
    /// Milliseconds by which deliveries on the second server are later than on one alone.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// The same against deliveries on the first server.
    pub(crate) p50_beyond_first_ms: f64,
    /// Processor time for each delivery of both servers together, as a multiple of one alone; and
    /// with what Redis used.
    pub(crate) cpu_ratio: f64,
    pub(crate) cpu_ratio_with_redis: f64,
    /// Microseconds of everybody, Redis too, for each delivery on the second server: all but what
    /// those on the first would have cost on one alone.
    pub(crate) crossing_us: f64,
    /// Whether both runs count.
    pub(crate) counts: bool,
}

/// Measures a kind of server.
pub(super) async fn measure(
    target: &Target,
    plan: &Plan,
    extent: &Extent,
) -> Result<Comparison, LoadError> {
    let load = Load {
        rooms: plan.rooms,
        members: plan.members,
        durable: plan.durable,
        seconds: extent.seconds,
        warm_up: 1,
    };
    let mut runs = [Vec::new(), Vec::new()];
    for round in 0..extent.rounds {
        for n in 0..2 {
            // One alone first, then two; in the next round the other way about.
            let pair = (n + round) % 2 == 1;
            let target = target.with_pair(pair);
            eprintln!("… {}: {plan}", target.name());
            let outcome = fanout::measure(&target, &load, plan.rate).await?;
            runs[usize::from(pair)].push(outcome);
        }
    }
    let [alone, pair] = runs;
    let mut comparison = Comparison {
        kind: target.server,
        load: plan.to_string(),
        added: added(&alone, &pair),
        alone,
        pair,
        saturated_alone: None,
        saturated_pair: None,
    };
    if plan.saturate {
        let load = Load {
            seconds: extent.seconds.div_ceil(2),
            warm_up: 0,
            ..load
        };
        for pair in [false, true] {
            let target = target.with_pair(pair);
            eprintln!("… {}: {plan}, more and more", target.name());
            let saturation = saturate::measure(&target, &load, plan.rate).await?;
            if pair {
                comparison.saturated_pair = Some(saturation);
            } else {
                comparison.saturated_alone = Some(saturation);
            }
        }
    }
    Ok(comparison)
}

/// Of several rounds the one whose cost is the median, the lower one of two; those that count come
/// first.
pub(super) fn median(runs: &[Outcome]) -> Option<&Outcome> {
    let mut runs: Vec<&Outcome> = runs.iter().collect();
    runs.sort_by(|a, b| {
        let counts = a.invalid.is_empty().cmp(&b.invalid.is_empty()).reverse();
        counts.then(a.cpu_us_each.total_cmp(&b.cpu_us_each))
    });
    let valid = runs.iter().filter(|run| run.invalid.is_empty()).count();
    let counted = if valid > 0 { valid } else { runs.len() };
    runs.get(counted.saturating_sub(1) / 2).copied()
}

fn added(alone: &[Outcome], pair: &[Outcome]) -> Option<Added> {
    let (alone, pair) = (median(alone)?, median(pair)?);
    let [first, second] = &pair.shares[..] else {
        return None;
    };
    Some(Added {
        counts: alone.invalid.is_empty() && pair.invalid.is_empty(),
        ..of_second(
            alone.latency,
            alone.cpu_us_each,
            [first, second],
            pair.redis_us_each,
        )?
    })
}

/// What it adds; nothing if nothing was delivered on one of them.
fn of_second(
    alone: crate::samples::Latency,
    alone_us_each: f64,
    [first, second]: [&Share; 2],
    redis_us_each: f64,
) -> Option<Added> {
    let all = first.per_second + second.per_second;
    if first.per_second <= 0.0 || second.per_second <= 0.0 || alone_us_each <= 0.0 {
        return None;
    }
    let ms = |later: u64, earlier: u64| (later as f64 - earlier as f64) / 1000.0;
    let nodes_us = first.cpu_us_each * first.per_second + second.cpu_us_each * second.per_second;
    let all_us = nodes_us + redis_us_each * all;
    Some(Added {
        p50_ms: ms(second.latency.p50_us, alone.p50_us),
        p99_ms: ms(second.latency.p99_us, alone.p99_us),
        p50_beyond_first_ms: ms(second.latency.p50_us, first.latency.p50_us),
        cpu_ratio: nodes_us / all / alone_us_each,
        cpu_ratio_with_redis: all_us / all / alone_us_each,
        crossing_us: (all_us - alone_us_each * first.per_second) / second.per_second,
        counts: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Latency;

    fn latency(p50_us: u64, p99_us: u64) -> Latency {
        Latency {
            p50_us,
            p99_us,
            ..Latency::default()
        }
    }

    fn share(per_second: f64, cpu_us_each: f64, p50_us: u64) -> Share {
        Share {
            per_second,
            cpu_us_each,
            latency: latency(p50_us, 2 * p50_us),
            ..Share::default()
        }
    }

    #[test]
    fn what_the_second_adds_is_told_apart() {
        // 1,000 deliveries a second on each; the first spends 5 µs on each, the second 7, Redis 1
        // on each of all; one alone spends 4.
        let [first, second] = [share(1000.0, 5.0, 1200), share(1000.0, 7.0, 1500)];
        let added = of_second(latency(1000, 2500), 4.0, [&first, &second], 1.0).unwrap();
        let wanted = Added {
            p50_ms: 0.5,
            p99_ms: 0.5,
            p50_beyond_first_ms: 0.3,
            cpu_ratio: 1.5,
            cpu_ratio_with_redis: 1.75,
            crossing_us: 10.0,
            counts: true,
        };
        assert_eq!(added, wanted);
    }

    #[test]
    fn where_nothing_crosses_there_is_no_ratio() {
        let [first, second] = [share(1000.0, 5.0, 1200), share(0.0, 0.0, 0)];
        assert_eq!(of_second(latency(1, 1), 4.0, [&first, &second], 0.0), None);
    }
}
