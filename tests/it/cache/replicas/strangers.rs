//! Servers that are no replicas of the node's database.

use super::{Scene, comes_to, count, health};
use crate::harness::eventually;
use crate::harness::rest::register;

#[tokio::test]
async fn what_is_no_replica_of_the_database_is_told_once_and_not_asked() {
    let scene = Scene::new().await;
    // Copied from the same files as the other.
    let elsewhere = Scene::new().await;
    scene.database.make_namesake_on(&elsewhere.primary).await;
    elsewhere.catch_up().await;
    let urls = [
        scene.database.url.clone(),
        scene.replica.url("postgres"),
        scene.database.url_on(&elsewhere.replica),
    ];
    let node = scene.node_with(&urls.join(",")).await;
    let why = [
        "it is no replica: it takes writes",
        "its database is \"postgres\", and that of database.url is",
        "it does not know of this node's start",
    ];
    eventually("each is told of", async || {
        let told = health(&node).await;
        let is_told = told.iter().zip(why).all(|(told, why)| {
            assert_eq!(told["status"], "unavailable", "{told}");
            told["error"].as_str().is_some_and(|it| it.contains(why))
        });
        is_told.then_some(())
    })
    .await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=5 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
        comes_to("not_asked", &node, &ada, &room).await;
    }
    assert_eq!(count(&node, "answered").await, 0);
    assert_eq!(count(&node, "unreachable").await, 0);
    let log = node.log().text();
    let lines = log.lines().filter(|line| line.contains("is not asked"));
    assert_eq!(lines.count(), why.len(), "{log}");
    for number in 1..=why.len() {
        assert!(log.contains(&format!("replica={number}")), "{log}");
    }
}

#[tokio::test]
async fn a_replica_that_was_promoted_is_asked_no_longer() {
    let scene = Scene::new().await;
    let node = scene.node().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    for n in 1..=5 {
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
    }
    comes_to("answered", &node, &ada, &room).await;
    let client = crate::harness::postgres::connect(&scene.replica.url("postgres")).await;
    let promoted = client.batch_execute("SELECT pg_promote()").await;
    promoted.expect("a standby can be promoted");
    eventually("it is told of", async || {
        let told = health(&node).await;
        (told[0]["error"] == "it is no replica: it takes writes").then_some(())
    })
    .await;
    comes_to("not_asked", &node, &ada, &room).await;
}
