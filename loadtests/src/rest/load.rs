//! One load on one server: generators, what they found, and what it cost.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Pid;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};

use super::order::{Asked, Asking, Order, Pace, Wanted};
use super::spent::{Look, Spent};
use super::stage::{Listening, Stage};
use crate::child;
use crate::clock::{self, NS_PER_S};
use crate::cores::Cores;
use crate::error::LoadError;
use crate::samples::{Latency, Samples};
use crate::verdict::Conduct;

/// From the order until the first request, with the connecting of many before.
const LEAD_NS: u64 = NS_PER_S / 4;
const CONNECT_NS: u64 = 200_000;

/// How long after its time a generator may report.
const REPORTING: Duration = Duration::from_secs(20);

/// What is put on a server.
pub(super) struct Load {
    pub(super) connections: u32,
    /// Requests a second at fixed times; none: the next one when one is answered.
    pub(super) rate: Option<f64>,
    pub(super) asking: Asking,
    pub(super) wanted: Wanted,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// What it came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) server: &'static str,
    pub(super) connections: u32,
    pub(super) rate: Option<f64>,
    /// Steps of a walk that were taken, with the warm-up.
    #[serde(skip)]
    pub(super) steps: u64,
    pub(super) answered: u64,
    pub(super) per_second: f64,
    /// Of reads: until the answer was there as a whole, from when it was sent (closed loop) or meant to
    /// be sent (fixed rate).
    pub(super) latency: Latency,
    pub(super) write_latency: Latency,
    /// Microseconds of the server for each answer, and those of what stands behind it.
    pub(super) cpu_us_each: f64,
    pub(super) cpu_user_us_each: f64,
    pub(super) postgres_us_each: f64,
    pub(super) redis_us_each: f64,
    pub(super) server_cores: f64,
    pub(super) others_cores: f64,
    /// Reads by what `X-Cache` said.
    pub(super) how: BTreeMap<String, u64>,
    /// Requests that waited for a free connection, and those that were never sent for want of one.
    pub(super) held_back: u64,
    pub(super) given_up: u64,
    /// Answers whose body was looked at.
    pub(super) verified: u64,
    pub(super) generator: Conduct,
    /// Why the run does not count; nothing if it does.
    pub(super) invalid: Vec<String>,
}

/// Puts a load on a server. A wrong answer is a failure.
pub(super) async fn put(
    stage: &Stage,
    server: &Listening,
    load: &Load,
    cores: &Cores,
) -> Result<Outcome, LoadError> {
    let start_ns = clock::now() + LEAD_NS + u64::from(load.connections) * CONNECT_NS;
    let measured_from_ns = start_ns + clock::ns(load.warm_up);
    let order = Order {
        address: server.address.clone(),
        tokens: stage.tokens.clone(),
        connections: load.connections as usize,
        pace: Pace::Closed,
        asking: load.asking.clone(),
        wanted: load.wanted.clone(),
        start_ns,
        measured_from_ns,
        end_ns: measured_from_ns + clock::ns(load.time),
    };
    let processes = cores.count.min(order.connections).max(1);
    let mut askers = Vec::new();
    for number in 0..processes {
        let order = part(&order, load.rate, number, processes);
        askers.push(Asker::start(server, &order, cores).await?);
    }
    let pids: Vec<Pid> = askers.iter().map(|asker| asker.pid).collect();
    clock::sleep_until(order.measured_from_ns).await;
    let before = Look::of(stage, server, &pids);
    clock::sleep_until(order.end_ns).await;
    let after = Look::of(stage, server, &pids);
    let mut reports = Vec::new();
    for asker in askers {
        reports.push(asker.report().await?);
    }
    outcome(server, load, &reports, Spent::between(&before, &after))
}

/// All connections ask once, at the same time; gives what each generator found.
pub(super) async fn storm(
    stage: &Stage,
    server: &Listening,
    connections: u32,
    path: String,
    cores: &Cores,
) -> Result<Asked, LoadError> {
    let start_ns = clock::now() + LEAD_NS + u64::from(connections) * CONNECT_NS;
    let order = Order {
        address: server.address.clone(),
        // Whether they may read is then asked once, too.
        tokens: stage.tokens[..1].to_vec(),
        connections: connections as usize,
        pace: Pace::Once,
        asking: Asking::Same {
            path,
            if_none_match: None,
        },
        wanted: Wanted {
            status: 200,
            body: None,
            how: ["HIT", "MISS", "COALESCED"].map(str::to_owned).to_vec(),
        },
        start_ns,
        measured_from_ns: start_ns,
        end_ns: start_ns + 10 * NS_PER_S,
    };
    let asked = Asker::start(server, &order, cores).await?.report().await?;
    right(server, &asked)?;
    Ok(asked)
}

/// What one of several generators is to do.
fn part(order: &Order, rate: Option<f64>, number: usize, processes: usize) -> Order {
    let mut order = order.clone();
    let all = order.connections;
    order.connections = all / processes + usize::from(number < all % processes);
    if let Some(rate) = rate {
        let interval = NS_PER_S as f64 / rate * processes as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive, and hardly less than one in a second"
        )]
        let interval_ns = (interval.round() as u64).max(1);
        order.pace = Pace::Open { interval_ns };
        // They take turns.
        order.start_ns += interval_ns * number as u64 / processes as u64;
    }
    match &mut order.asking {
        Asking::Same { .. } => {}
        Asking::Pages { walk, .. } => {
            walk.next += number as u64;
            walk.turn = processes as u64;
        }
        Asking::Mix(mix) => mix.seed += number as u64,
    }
    order
}

fn right(server: &Listening, asked: &Asked) -> Result<(), LoadError> {
    if asked.wrong.is_empty() {
        return Ok(());
    }
    let wrong = asked.wrong.iter();
    let wrong: Vec<String> = wrong.map(|(what, n)| format!("{n} × {what}")).collect();
    let (who, wrong) = (server.who.name(), wrong.join("; "));
    Err(LoadError::Unexpected(format!(
        "wrong answers of {who}: {wrong}"
    )))
}

fn outcome(
    server: &Listening,
    load: &Load,
    reports: &[Asked],
    spent: Spent,
) -> Result<Outcome, LoadError> {
    let [mut latency, mut write_latency, mut slip] =
        [Samples::new()?, Samples::new()?, Samples::new()?];
    let mut how = BTreeMap::new();
    let mut sum = Asked::default();
    for asked in reports {
        right(server, asked)?;
        latency.merge_counts(&asked.latency);
        write_latency.merge_counts(&asked.write_latency);
        slip.merge_counts(&asked.slip);
        sum.answered += asked.answered;
        sum.held_back += asked.held_back;
        sum.given_up += asked.given_up;
        sum.verified += asked.verified;
        for (name, count) in &asked.how {
            *how.entry(name.clone()).or_default() += count;
        }
    }
    if sum.answered == 0 {
        let what = format!("{} answered nothing", server.who.name());
        return Err(LoadError::Unexpected(what));
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / sum.answered as f64;
    let mut generator = spent.conduct;
    generator.slip = slip.latency();
    Ok(Outcome {
        server: server.who.name(),
        connections: load.connections,
        rate: load.rate,
        steps: reports.iter().map(|it| it.sent).max().unwrap_or(0) * reports.len() as u64,
        answered: sum.answered,
        per_second: sum.answered as f64 / spent.seconds,
        latency: latency.latency(),
        write_latency: write_latency.latency(),
        cpu_us_each: each(spent.server.total()),
        cpu_user_us_each: each(spent.server.user),
        postgres_us_each: each(spent.postgres.total()),
        redis_us_each: each(spent.redis.total()),
        server_cores: spent.server.total().as_secs_f64() / spent.seconds,
        others_cores: spent.others_cores,
        how,
        held_back: sum.held_back,
        given_up: sum.given_up,
        verified: sum.verified,
        invalid: generator.objections(),
        generator,
    })
}

/// A generator process; killed when dropped.
struct Asker {
    /// Whom it asks.
    whom: &'static str,
    pid: Pid,
    /// Its end says that nobody waits for the report any more.
    _orders: ChildStdin,
    child: Child,
    until_ns: u64,
}

impl Asker {
    async fn start(server: &Listening, order: &Order, cores: &Cores) -> Result<Self, LoadError> {
        let (child, pid, mut orders) = child::start("ask", cores)?;
        let mut line =
            serde_json::to_vec(order).map_err(|error| LoadError::Unexpected(error.to_string()))?;
        line.push(b'\n');
        orders
            .write_all(&line)
            .await
            .map_err(LoadError::io("giving orders to a generator"))?;
        Ok(Self {
            whom: server.who.name(),
            pid,
            _orders: orders,
            child,
            until_ns: order.end_ns,
        })
    }

    async fn report(mut self) -> Result<Asked, LoadError> {
        let output = self.child.stdout.take();
        let mut output = output.ok_or_else(child::without_pipes)?;
        let mut text = String::new();
        let left = Duration::from_nanos(self.until_ns.saturating_sub(clock::now()));
        match tokio::time::timeout(left + REPORTING, output.read_to_string(&mut text)).await {
            Err(_) => return Err(LoadError::Generator("does not report in time".to_owned())),
            Ok(read) => read.map_err(LoadError::io("reading a generator's report"))?,
        };
        let asked: Asked = serde_json::from_str(&text)
            .map_err(|error| LoadError::Unexpected(format!("a report: {error}")))?;
        match asked.failed {
            Some(what) => Err(LoadError::Unexpected(format!("{}: {what}", self.whom))),
            None => Ok(asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::walk::Walk;
    use super::*;

    #[test]
    fn several_generators_share_the_load() {
        let walk = Walk {
            rooms: 10,
            messages: 100,
            shortest: 50,
            next: 40,
            turn: 1,
        };
        let order = Order {
            address: String::new(),
            tokens: Vec::new(),
            connections: 8,
            pace: Pace::Closed,
            asking: Asking::Pages { walk, limit: 50 },
            wanted: Wanted {
                status: 200,
                body: None,
                how: Vec::new(),
            },
            start_ns: 1000,
            measured_from_ns: 2000,
            end_ns: 3000,
        };
        let parts: Vec<Order> = (0..3).map(|n| part(&order, Some(1e6), n, 3)).collect();
        let connections: Vec<usize> = parts.iter().map(|it| it.connections).collect();
        assert_eq!(connections, [3, 3, 2]);
        let starts: Vec<u64> = parts.iter().map(|it| it.start_ns).collect();
        assert_eq!(starts, [1000, 2000, 3000]);
        for (n, part) in (0..).zip(&parts) {
            assert!(matches!(part.pace, Pace::Open { interval_ns: 3000 }));
            let Asking::Pages { walk, .. } = &part.asking else {
                panic!("{part:?}");
            };
            assert_eq!((walk.next, walk.turn), (40 + n, 3));
        }
    }
}
