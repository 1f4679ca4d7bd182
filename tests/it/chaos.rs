//! The checker: it proves, for as many seeds as one has patience, that the hub loses nothing.
//!
//! A **seed** stands for a [`plan`]: nodes, users, rooms, settings, what breaks when, and each
//! client's random steps. A [`run`] starts a [`cluster`] of one to four real nodes on a real
//! Postgres and mostly a real Redis, each with ways of its own to them that can break; [`client`]s publish, emit, change
//! messages, join and leave, come and go as members, ban, mute and invite each other, read slowly,
//! break off, come back on whichever node there is, resume from their positions or from cursors and
//! send again what was not acknowledged, while the [`nemesis`] kills, drains, stops and restarts
//! nodes, ends and freezes Postgres and Redis, breaks the ways to them and makes actors panic. In some
//! runs clients come through nginx with the repository's `nginx.conf`, which is killed, too. Then nothing
//! is broken any more, everybody comes back, some to each node, and everybody must have everything. At
//! last one of them says one thing more in each room, at times on a node that dies when it has committed
//! it: nothing follows, so no later event shows what was lost of that.
//!
//! A run in which a fault that was planned did not come, or hardly anything was acknowledged, has
//! failed, too.
//!
//! Each client speaks a protocol through a [`driver`]. What it sent, was told and observed is
//! written into one [`history`]. The [`verdict`]s are pure functions over that history and what is
//! [`stored`] in the end; each is a [`verdict::Promise`]. A room's reference is a [`model`]: the
//! fold of its events.
//!
//! The processes are real, so a seed does not repeat a run to the microsecond: it repeats who does
//! what and what breaks. A violation is told with its seed and a [`timeline`] of what surrounds it.
//!
//! - `HUBBUB_CHAOS_SEED=n` runs that seed, `HUBBUB_CHAOS_SEEDS=k` so many (`make chaos SEEDS=k`);
//!   both go on after a violation unless `FAIL_FAST` is set.
//! - Without them a few seeds run, whose random base is printed.
//! - What broke is said once more, in a line for each of the first violations, when a test fails.
//! - [`caught`] shows that what is broken within real nodes is found.
//!
//! What is waited for has a time that a busy machine may stretch: [`patience`].

mod bus;
mod caught;
mod client;
mod cluster;
mod driver;
mod figures;
mod history;
mod model;
mod nemesis;
mod outbox;
mod patience;
mod plan;
mod probes;
mod rest;
mod run;
mod scene;
mod stored;
mod subscription;
mod timeline;
mod verdict;

use std::sync::Arc;
use std::time::Instant;

use bus::{Bus, SharedCluster};
use cluster::Postgres;
use figures::Figures;
use plan::{BusPlan, LastWords, Plan};
use tokio::sync::Mutex;

use crate::harness::postgres::{Options, TestServer};
use crate::harness::redis::{RedisCluster, RedisOptions};
use crate::harness::rounds;

/// Runs of `make test`: about 5 s each.
const SEEDS: usize = 8;

/// Those on a Redis Cluster.
const CLUSTER_SEEDS: usize = 1;

/// The seeds to run, and whether to stop at the first violation.
fn seeds(count: usize) -> (Vec<u64>, bool) {
    let number = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        let number = value.trim().parse::<u64>();
        Some(number.unwrap_or_else(|error| panic!("{name}={value}: {error}")))
    };
    let fail_fast = std::env::var_os("FAIL_FAST").is_some_and(|value| !value.is_empty());
    if let Some(seed) = number("HUBBUB_CHAOS_SEED") {
        let times = number("HUBBUB_CHAOS_SEEDS").unwrap_or(1);
        return (vec![seed; usize::try_from(times).unwrap_or(1)], fail_fast);
    }
    // Short enough to be typed; as many as anybody runs.
    let base = u64::from(rand::random::<u32>());
    let count = number("HUBBUB_CHAOS_SEEDS").unwrap_or(rounds(count) as u64);
    ((base..base + count).collect(), fail_fast)
}

/// A Postgres for runs.
async fn a_server(fsync: bool) -> Postgres {
    Arc::new(Mutex::new(TestServer::start(Options { fsync }).await))
}

/// Runs the seeds that are asked for, or so many, and tells what was found.
async fn check(count: usize, plan: impl Fn(u64) -> Plan, cluster: Option<&SharedCluster>) {
    let (seeds, fail_fast) = seeds(count);
    println!("chaos: {} seeds from {}", seeds.len(), seeds[0]);
    let shared = a_server(false).await;
    let mut total = Figures::default();
    let mut broken = Vec::new();
    let mut headlines = Vec::new();
    for (number, seed) in seeds.iter().enumerate() {
        let began = Instant::now();
        let plan = plan(*seed);
        let server = if plan.ends_postgres() {
            a_server(true).await
        } else {
            Arc::clone(&shared)
        };
        let bus = Bus::start(plan.bus, cluster).await;
        let outcome = run::run(&plan, &server, bus, &[]).await;
        total += outcome.figures.clone();
        let (number, of) = (number + 1, seeds.len());
        let found = outcome.violations.len();
        let took = began.elapsed().as_secs_f64();
        println!(
            "chaos: {number}/{of} seed {seed} {took:.1} s, {found} violations; {}",
            outcome.figures
        );
        if found > 0 {
            println!("{}", outcome.story);
            broken.push(outcome.seed);
            headlines.push(format!("seed {seed}: {found} violations"));
            headlines.extend(outcome.headlines.iter().map(|line| format!("  {line}")));
            if fail_fast {
                break;
            }
        }
    }
    println!("chaos: {total}; broken: {broken:?}");
    // Logs are cut, and what is said last is left of them.
    assert!(
        broken.is_empty(),
        "violations with the seeds {broken:?}\n{}",
        headlines.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_never_loses() {
    check(SEEDS, Plan::of, None).await;
}

/// The same on a Redis Cluster, whose masters die and whose slots are without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_never_loses_on_a_redis_cluster() {
    let coverage = ["yes", "no"][usize::from(rand::random::<bool>())];
    println!("chaos: cluster-require-full-coverage {coverage}");
    let options = || RedisOptions::new().set("cluster-require-full-coverage", coverage);
    let cluster = RedisCluster::start_with(options).await;
    let cluster = Arc::new(Mutex::new(cluster));
    check(CLUSTER_SEEDS, Plan::of_a_cluster, Some(&cluster)).await;
}

/// What is found by [`caught`] is what is wrong there: the same runs without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_never_loses_where_nothing_breaks() {
    let server = a_server(false).await;
    for last_words in [LastWords::AreSaid, LastWords::AreCommitted] {
        let seed = u64::from(rand::random::<u32>());
        let plan = Plan::calm(seed, 3, BusPlan::Redis, last_words);
        let bus = Bus::start(plan.bus, None).await;
        let outcome = run::run(&plan, &server, bus, &[]).await;
        assert!(outcome.violations.is_empty(), "{}", outcome.story);
    }
}
