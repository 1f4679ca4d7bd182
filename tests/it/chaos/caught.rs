//! What is broken within a real node is found.

use std::collections::BTreeSet;

use super::plan::Plan;
use super::run;
use super::verdict::Promise;

/// Runs calm seeds with faults in every node until one of these promises is broken.
async fn assert_caught(nodes: usize, inject: &[(&str, &str)], expected: &[Promise]) {
    let server = super::a_server(false).await;
    let mut found = BTreeSet::new();
    for _ in 0..5 {
        let seed = u64::from(rand::random::<u32>());
        let outcome = run::run(&Plan::calm(seed, nodes), &server, inject).await;
        found.extend(outcome.violations.iter().map(|violation| violation.promise));
        if expected.iter().any(|promise| found.contains(promise)) {
            return;
        }
    }
    panic!("{inject:?} broke {found:?}, and not one of {expected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event() {
    let expected = [Promise::NoHole, Promise::Complete];
    assert_caught(1, &[("hub.fanout.lose", "60*off->1*return")], &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice() {
    let expected = [Promise::NoDouble];
    assert_caught(1, &[("hub.fanout.double", "60*off->1*return")], &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_the_wrong_order() {
    let expected = [Promise::NoReorder];
    assert_caught(1, &[("hub.fanout.swap", "60*off->1*return")], &expected).await;
}

/// Without a comparison of heads a node does not hear of what another commits last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_hear_of_another() {
    let expected = [Promise::Complete];
    assert_caught(2, &[("hub.anti_entropy.compare", "return")], &expected).await;
}

/// The last step in one node of several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_one_node_loses() {
    let expected = [Promise::NoHole, Promise::Complete];
    assert_caught(3, &[("hub.fanout.lose", "60*off->1*return")], &expected).await;
}
