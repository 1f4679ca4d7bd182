//! A Postgres that hears nothing does not outlast the node.

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{freeze_in, has_ended};
use crate::harness::rest::register;

/// It is killed when its part of the grace time is over, and what was acknowledged is there at the
/// next start.
#[tokio::test]
async fn one_that_is_frozen_is_killed_and_loses_nothing() {
    let options = NodeOptions::embedded()
        .set("HUBBUB__HTTP__DRAIN_MS", "0")
        .set("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "100")
        .set("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "5100");
    let mut node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("room").await;
    let mut said = Vec::new();
    for n in 0..50 {
        let body = format!("message {n}");
        ada.say(&room.id, &body, &body).await.ok();
        said.push(body);
    }
    let processes = freeze_in(node.folder().path());
    assert!(processes.len() > 5, "{processes:?}");
    node.terminate();
    let status = node.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
    node.log().complete().await;
    let log = node.log().text();
    assert!(
        log.contains("Postgres did not stop and was killed"),
        "{log}"
    );
    eventually("all of its processes have ended", async || {
        processes.iter().all(|pid| has_ended(*pid)).then_some(())
    })
    .await;

    node.restart().await;
    let history = ada.at(&node).history(&room.id).await;
    let bodies: Vec<&str> = history
        .iter()
        .filter_map(|message| message["body"].as_str())
        .collect();
    assert_eq!(bodies, said);
    // It stops by itself where it can.
    node.terminate();
    assert_eq!(node.wait_exit().await.code(), Some(0));
    node.log().complete().await;
    assert!(!node.log().text().contains("was killed"));
}
