//! `hubbub health`: what a container engine asks.

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::tls;

async fn health(options: &NodeOptions, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["health"], arguments].concat();
    let mut command = options.command(&arguments);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn it_says_whether_the_node_lives_and_whether_it_is_ready() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url);
    let mut node = Node::start(options.clone()).await;
    let address = node.address.clone();
    let bound = options.clone().set("HUBBUB__HTTP__BIND", &address);
    // By its settings, as in a container, and by its address.
    assert_eq!(health(&bound, &[]).await, (Some(0), String::new()));
    assert_eq!(health(&bound, &["--ready"]).await.0, Some(0));
    assert_eq!(health(&options, &["--address", &address]).await.0, Some(0));
    let (code, error) = health(&options, &[]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("port 0"), "{error}");

    // A frozen one says nothing.
    node.freeze();
    let (code, error) = health(&bound, &["--timeout", "1"]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("did not answer within 1 s"), "{error}");
    node.thaw();

    // One that is told to drain is not for clients.
    let mut drain = options.command(&["drain", "--wait"]);
    let drained = tokio::task::spawn_blocking(move || drain.output())
        .await
        .unwrap()
        .unwrap();
    assert!(drained.status.success());
    let (code, error) = health(&bound, &["--ready"]).await;
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("answers 503"), "{error}");
    assert_eq!(
        health(&bound, &[]).await.0,
        Some(0),
        "it lives all the same"
    );

    node.kill9();
    let (code, error) = health(&bound, &[]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("does not answer"), "{error}");
}

#[tokio::test]
async fn a_node_that_speaks_tls_takes_connections() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).with_tls();
    let mut node = Node::start(options.clone()).await;
    let bound = options.set("HUBBUB__HTTP__BIND", &node.own_address);
    assert!(!tls::is_wanted());
    assert_eq!(health(&bound, &[]).await.0, Some(0));
    node.kill9();
    assert_eq!(health(&bound, &[]).await.0, Some(1));
}
