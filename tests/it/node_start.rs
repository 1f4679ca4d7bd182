//! Starts of the binary that cannot succeed: refused soon, with what to do about it.

use std::time::{Duration, Instant};

use crate::harness::node::{DataFolder, Node, NodeOptions};
use crate::harness::rest::register;

#[tokio::test]
async fn a_second_node_on_the_same_data_folder() {
    let folder = DataFolder::new();
    let first = Node::start(NodeOptions::embedded().in_folder(&folder)).await;
    let ada = register(&first, "ada").await;
    let second = Node::try_start(NodeOptions::embedded().in_folder(&folder)).await;
    let failed = second.err().expect("it is refused");
    assert_eq!(failed.status.code(), Some(1), "{}", failed.log);
    let told = failed.log.contains(&folder.path().display().to_string());
    assert!(told, "it names the folder: {}", failed.log);
    // The first has noticed nothing.
    let room = ada.create_room("general").await;
    assert_eq!(ada.say(&room.id, "still here", "1").await.status, 201);
}

#[tokio::test]
async fn no_postgres_anywhere() {
    let nowhere = DataFolder::new();
    let options = NodeOptions::embedded()
        .set("HUBBUB__DATABASE__EMBEDDED__BIN_DIR", "/nonexistent")
        .set("PATH", &nowhere.path().display().to_string());
    let failed = Node::try_start(options).await.err();
    let failed = failed.expect("it is refused");
    assert_eq!(failed.status.code(), Some(1), "{}", failed.log);
    assert!(failed.log.contains("/nonexistent"), "{}", failed.log);
}

#[tokio::test]
async fn a_postgres_that_is_away() {
    let begun = Instant::now();
    let options = NodeOptions::on("postgres://postgres@127.0.0.1:1/hubbub");
    let failed = Node::try_start(options).await.err();
    let failed = failed.expect("it is refused");
    assert_eq!(failed.status.code(), Some(1), "{}", failed.log);
    assert!(failed.log.contains("refused"), "{}", failed.log);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// A password in the address stays out of the log.
#[tokio::test]
async fn a_password_that_is_wrong_is_not_told() {
    let options = NodeOptions::on("postgres://somebody:s3cret-pa55@127.0.0.1:1/hubbub")
        .set("HUBBUB__TELEMETRY__LOG", "debug");
    let failed = Node::try_start(options).await.err();
    let failed = failed.expect("it is refused");
    assert!(!failed.log.is_empty());
    assert!(!failed.log.contains("s3cret-pa55"), "{}", failed.log);
}

#[tokio::test]
async fn cheap_passwords_are_noted() {
    let (node, _database) = Node::on_fresh_database().await;
    let noted = |line: &str| line.contains("auth.argon2_memory_kib = 64").then_some(());
    node.log().find(0, noted).await.expect("it is said");
}
