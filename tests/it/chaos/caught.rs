//! What is broken within a real node is found.

use std::collections::BTreeSet;

use super::bus::Bus;
use super::plan::{BusPlan, Plan};
use super::run;
use super::verdict::Promise;

/// Runs calm seeds with faults in every node until one of these promises is broken.
async fn assert_caught(nodes: usize, bus: BusPlan, inject: &[(&str, &str)], expected: &[Promise]) {
    let server = super::a_server(false).await;
    let mut found = BTreeSet::new();
    for _ in 0..5 {
        let seed = u64::from(rand::random::<u32>());
        let plan = Plan::calm(seed, nodes, bus);
        let bus = Bus::start(bus, None).await;
        let outcome = run::run(&plan, &server, bus, inject).await;
        found.extend(outcome.violations.iter().map(|violation| violation.promise));
        if expected.iter().any(|promise| found.contains(promise)) {
            return;
        }
    }
    panic!("{inject:?} broke {found:?}, and not one of {expected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event() {
    let lose = [("hub.fanout.lose", "60*off->1*return")];
    let expected = [Promise::NoHole, Promise::Complete];
    assert_caught(1, BusPlan::None, &lose, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice() {
    let double = [("hub.fanout.double", "60*off->1*return")];
    assert_caught(2, BusPlan::Redis, &double, &[Promise::NoDouble]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_the_wrong_order() {
    let swap = [("hub.fanout.swap", "60*off->1*return")];
    assert_caught(2, BusPlan::Redis, &swap, &[Promise::NoReorder]).await;
}
