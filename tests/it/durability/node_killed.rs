//! SIGKILL for the node, under load.

use super::ledger::{Crowd, verify, verify_history};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;

#[tokio::test]
async fn on_an_external_postgres() {
    let database = postgres::database().await;
    let mut node = Node::start(NodeOptions::on(&database.url)).await;
    let crowd = Crowd::gather(&node, 8, 3).await;
    let publishing = crowd.publish(&node, "load").await;
    publishing.acknowledged(200).await;
    node.kill9();
    let mut outcome = publishing.ended().await;
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);

    node.restart().await;
    let client = database.connect().await;
    verify(&client, &outcome.entries).await;
    verify_history(&crowd, &node, &outcome.entries).await;
    // What was under way is sent again with its old keys: stored once, whatever had happened.
    crowd.finish(&node, &mut outcome.entries).await;
    verify(&client, &outcome.entries).await;
    let after = crowd.publish(&node, "after").await;
    after.acknowledged(20).await;
    let after = after.stop().await;
    assert!(after.errors.is_empty(), "{:?}", after.errors);
}

/// What a newcomer runs: nothing configured, so the node has a Postgres of its own. It outlives
/// the node, and the next one adopts it.
#[tokio::test]
async fn on_its_own_postgres() {
    let mut node = Node::start(NodeOptions::embedded()).await;
    let crowd = Crowd::gather(&node, 4, 2).await;
    let publishing = crowd.publish(&node, "load").await;
    publishing.acknowledged(100).await;
    node.kill9();
    let mut outcome = publishing.ended().await;
    node.restart().await;
    verify_history(&crowd, &node, &outcome.entries).await;
    crowd.finish(&node, &mut outcome.entries).await;
    verify_history(&crowd, &node, &outcome.entries).await;
}

#[tokio::test]
async fn together_with_its_own_postgres() {
    let mut node = Node::start(NodeOptions::embedded()).await;
    let crowd = Crowd::gather(&node, 4, 2).await;
    let publishing = crowd.publish(&node, "load").await;
    publishing.acknowledged(100).await;
    node.kill9();
    node.folder().kill9_postgres().await;
    let mut outcome = publishing.ended().await;
    node.restart().await;
    verify_history(&crowd, &node, &outcome.entries).await;
    crowd.finish(&node, &mut outcome.entries).await;
    verify_history(&crowd, &node, &outcome.entries).await;
}
