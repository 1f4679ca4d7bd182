//! What a run came to: the server's cost, the receivers' latencies, and what went wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, NS_PER_S};
use crate::cpu::{self, Usage};
use crate::error::LoadError;
use crate::generator::order::{Churn, Ran, RanShare, Run};
use crate::samples::{Latency, Samples};
use crate::schedule::Schedule;
use crate::target::Scene;
use crate::verdict::Conduct;

/// From the order to run until its start: every process must have read it by then.
const LEAD_NS: u64 = NS_PER_S / 5;

/// The load of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) run: u16,
    pub(crate) rooms: u32,
    /// Connections in each room.
    pub(crate) members: u32,
    /// Messages a second in each room.
    pub(crate) rate: f64,
    pub(crate) durable: bool,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// How long late messages are waited for.
    pub(crate) tail: Duration,
    pub(crate) churn: Option<Churn>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) server: &'static str,
    pub(crate) rooms: u32,
    pub(crate) members: u32,
    pub(crate) rate: f64,
    pub(crate) durable: bool,
    pub(crate) seconds: f64,
    /// What the schedule says should be delivered in a second, and what was.
    pub(crate) meant_per_second: f64,
    pub(crate) per_second: f64,
    /// From when a message was meant to be sent until it was received.
    pub(crate) latency: Latency,
    /// Microseconds of the server for each delivery in the measured time.
    pub(crate) cpu_us_each: f64,
    pub(crate) cpu_user_us_each: f64,
    pub(crate) cpu_system_us_each: f64,
    /// The same of its Postgres.
    pub(crate) postgres_us_each: f64,
    /// The same of the Redis that several servers share.
    pub(crate) redis_us_each: f64,
    /// Cores that the server used, and the share of time for which its threads waited for one.
    pub(crate) server_cores: f64,
    pub(crate) server_waited: f64,
    /// Cores that were used by whoever has nothing to do with this.
    pub(crate) others_cores: f64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) disordered: u64,
    pub(crate) strayed: u64,
    pub(crate) verified: u64,
    pub(crate) corrupt: u64,
    pub(crate) refused: u64,
    pub(crate) ended: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Messages that waited because the server took no more from their sender.
    pub(crate) held_back: u64,
    /// Connections that came and went, those that failed to, and how long it took to come in.
    pub(crate) came: u64,
    pub(crate) failed: u64,
    pub(crate) arrival: Latency,
    /// What each of the servers, if there are several, had to do with it.
    pub(crate) shares: Vec<Share>,
    pub(crate) generator: Conduct,
    /// Why the run does not count; nothing if it does.
    pub(crate) invalid: Vec<String>,
}

/// What one of the servers did, and those who are connected to it got.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Share {
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
    /// Microseconds of this server for each delivery of its own.
    pub(crate) cpu_us_each: f64,
    pub(crate) cores: f64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
}

impl Outcome {
    /// Whether every message came to everybody, once, in order and whole, and nobody was thrown out.
    pub(crate) fn is_faultless(&self) -> bool {
        self.disordered == 0 && !self.is_faulty_but_for_order()
    }

    /// Whether anything but the order went wrong.
    pub(crate) fn is_faulty_but_for_order(&self) -> bool {
        let faults = [
            self.lost,
            self.doubled,
            self.strayed,
            self.corrupt,
            self.refused,
            self.ended,
            self.failed,
        ];
        faults.iter().any(|count| *count > 0)
    }
}

/// What everybody has used until some moment.
pub(crate) struct Look {
    at_ns: u64,
    servers: Vec<(Usage, Duration)>,
    postgres: Usage,
    redis: Usage,
    generators: Vec<(Usage, Duration)>,
    machine: Duration,
}

impl Look {
    pub(crate) fn of(scene: &Scene) -> Self {
        let each = |pid| (cpu::usage(pid), cpu::waited(pid));
        let server = &scene.server;
        Self {
            servers: server.processes().map(|it| each(it.pid)).collect(),
            postgres: server
                .postgres
                .map(cpu::usage_of_family)
                .unwrap_or_default(),
            redis: server.redis.map(cpu::usage).unwrap_or_default(),
            generators: scene.crowd.pids().map(each).collect(),
            machine: cpu::machine(),
            at_ns: clock::now(),
        }
    }
}

/// What was used between two looks.
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// Of all servers together, and of each.
    pub(crate) server: Usage,
    pub(crate) servers: Vec<Usage>,
    pub(crate) server_waited: f64,
    pub(crate) postgres: Usage,
    pub(crate) redis: Usage,
    pub(crate) others_cores: f64,
    /// Without the slip.
    pub(crate) conduct: Conduct,
}

impl Spent {
    pub(crate) fn between(before: &Look, after: &Look) -> Self {
        let seconds = Duration::from_nanos(after.at_ns - before.at_ns).as_secs_f64();
        let conduct = Conduct::between(&before.generators, &after.generators, seconds);
        let servers: Vec<Usage> = (before.servers.iter().zip(&after.servers))
            .map(|((before, _), (after, _))| after.since(*before))
            .collect();
        let server_waited = (before.servers.iter().zip(&after.servers))
            .map(|((_, before), (_, after))| after.saturating_sub(*before).as_secs_f64())
            .sum::<f64>();
        let server = servers.iter().copied().fold(Usage::default(), Usage::and);
        let postgres = after.postgres.since(before.postgres);
        let redis = after.redis.since(before.redis);
        let known = (server.total() + postgres.total() + redis.total()).as_secs_f64() / seconds
            + conduct.cores_used;
        let machine = after.machine.saturating_sub(before.machine).as_secs_f64() / seconds;
        Self {
            seconds,
            server,
            servers,
            server_waited: server_waited / seconds,
            postgres,
            redis,
            others_cores: (machine - known).max(0.0),
            conduct,
        }
    }
}

/// Puts a load on a server whose connections are in their rooms.
pub(crate) async fn run(
    scene: &mut Scene,
    server: &'static str,
    plan: &Plan,
) -> Result<Outcome, LoadError> {
    let (warm_up, time) = (clock::ns(plan.warm_up), clock::ns(plan.time));
    let schedule =
        Schedule::new(plan.rooms, plan.rate, warm_up, time).starting(clock::now() + LEAD_NS);
    let order = Run {
        number: plan.run,
        schedule,
        tail_ns: clock::ns(plan.tail),
        durable: plan.durable,
        churn: plan.churn,
    };
    scene.crowd.begin_run(&order).await?;
    clock::sleep_until(schedule.measured_from()).await;
    let before = Look::of(scene);
    clock::sleep_until(schedule.end()).await;
    let after = Look::of(scene);
    let spent = Spent::between(&before, &after);
    let all = scene.crowd.end_run(plan.tail).await?;
    summarise(server, plan, &schedule, &spent, all)
}

fn summarise(
    server: &'static str,
    plan: &Plan,
    schedule: &Schedule,
    spent: &Spent,
    all: Vec<Ran>,
) -> Result<Outcome, LoadError> {
    let [mut latency, mut slip, mut arrival] = [Samples::new()?, Samples::new()?, Samples::new()?];
    let mut sum = Ran::default();
    let mut shares = Vec::new();
    for _ in &spent.servers {
        shares.push((RanShare::default(), Samples::new()?));
    }
    for ran in all {
        for ((sum, samples), share) in shares.iter_mut().zip(ran.shares) {
            latency.merge_counts(&share.latency);
            samples.merge_counts(&share.latency);
            sum.measured += share.measured;
            sum.received += share.received;
            sum.lost += share.lost;
        }
        slip.merge_counts(&ran.slip);
        arrival.merge_counts(&ran.arrival);
        sum.held_back += ran.held_back;
        sum.unsent += ran.unsent;
        sum.doubled += ran.doubled;
        sum.disordered += ran.disordered;
        sum.strayed += ran.strayed;
        sum.verified += ran.verified;
        sum.corrupt += ran.corrupt;
        sum.refused += ran.refused;
        sum.ended += ran.ended;
        sum.came += ran.came;
        sum.failed += ran.failed;
        for (reason, count) in ran.reasons {
            *sum.reasons.entry(reason).or_default() += count;
        }
    }
    let total = |count: fn(&RanShare) -> u64| shares.iter().map(|(share, _)| count(share)).sum();
    let (measured, received, lost): (u64, u64, u64) = (
        total(|share| share.measured),
        total(|share| share.received),
        total(|share| share.lost),
    );
    let each = |time: Duration| us_each(time, measured);
    let generator = Conduct {
        slip: slip.latency(),
        unsent: sum.unsent,
        ..spent.conduct.clone()
    };
    let seconds = Duration::from_nanos(schedule.end() - schedule.measured_from()).as_secs_f64();
    Ok(Outcome {
        server,
        rooms: plan.rooms,
        members: plan.members,
        rate: plan.rate,
        durable: plan.durable,
        seconds,
        meant_per_second: f64::from(plan.rooms) * f64::from(plan.members) * plan.rate,
        per_second: measured as f64 / seconds,
        latency: latency.latency(),
        cpu_us_each: each(spent.server.total()),
        cpu_user_us_each: each(spent.server.user),
        cpu_system_us_each: each(spent.server.system),
        postgres_us_each: each(spent.postgres.total()),
        redis_us_each: each(spent.redis.total()),
        server_cores: spent.server.total().as_secs_f64() / spent.seconds,
        server_waited: spent.server_waited,
        others_cores: spent.others_cores,
        received,
        lost,
        doubled: sum.doubled,
        disordered: sum.disordered,
        strayed: sum.strayed,
        verified: sum.verified,
        corrupt: sum.corrupt,
        refused: sum.refused,
        ended: sum.ended,
        reasons: sum.reasons,
        held_back: sum.held_back,
        came: sum.came,
        failed: sum.failed,
        arrival: arrival.latency(),
        shares: (shares.iter().zip(&spent.servers))
            .map(|((share, samples), used)| Share {
                per_second: share.measured as f64 / seconds,
                latency: samples.latency(),
                cpu_us_each: us_each(used.total(), share.measured),
                cores: used.total().as_secs_f64() / spent.seconds,
                received: share.received,
                lost: share.lost,
            })
            .collect(),
        invalid: generator.objections(),
        generator,
    })
}

fn us_each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}
