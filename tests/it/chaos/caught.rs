//! What is broken within a real node is found.

use std::collections::BTreeSet;

use super::plan::Plan;
use super::run;
use super::verdict::Promise;
use crate::harness::postgres::{Options, TestServer};

/// Runs calm seeds with a fault in the node until one of these promises is broken.
async fn assert_caught(point: &str, actions: &str, expected: &[Promise]) {
    let server = TestServer::start(Options { fsync: false }).await;
    let mut found = BTreeSet::new();
    for _ in 0..5 {
        let seed = u64::from(rand::random::<u32>());
        let outcome = run::run(&Plan::calm(seed), &server, &[(point, actions)]).await;
        found.extend(outcome.violations.iter().map(|violation| violation.promise));
        if expected.iter().any(|promise| found.contains(promise)) {
            return;
        }
    }
    panic!("{point}={actions} broke {found:?}, and not one of {expected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event() {
    let expected = [Promise::NoHole, Promise::Complete];
    assert_caught("hub.fanout.lose", "60*off->1*return", &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice() {
    let expected = [Promise::NoDouble];
    assert_caught("hub.fanout.double", "60*off->1*return", &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_the_wrong_order() {
    let expected = [Promise::NoReorder];
    assert_caught("hub.fanout.swap", "60*off->1*return", &expected).await;
}
