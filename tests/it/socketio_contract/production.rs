//! Where the contract is not served.

use reqwest::Method;

use super::{ENGINE, SOCKET, contract};
use crate::harness::engineio::Place;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{http, send};

#[tokio::test]
async fn the_contract_is_off_unless_it_is_asked_for() {
    let (node, _database) = Node::on_fresh_database().await;
    let engine = Place::new(&node.address, ENGINE, 4);
    let answer = engine.ask(Method::GET, "EIO=4&transport=polling").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    // The hub asks who it is.
    let session = Place::new(&node.address, SOCKET, 4).open().await;
    assert_eq!(session.post("40/custom").await.ok(), "ok");
    let polled = session.get().await;
    assert!(polled.ok().starts_with("44/custom,"), "{polled:?}");
}

#[tokio::test]
async fn the_contract_is_refused_where_others_get_to() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true")
        .set("HUBBUB__HTTP__BIND", "0.0.0.0:0");
    let failed = Node::try_start(options).await;
    let failed = failed.err().expect("it is refused");
    assert!(
        failed.log.contains("socketio.echo_contract"),
        "{}",
        failed.log
    );
}

#[tokio::test]
async fn socketio_can_be_switched_off_or_moved() {
    let (node, _database) =
        Node::on_fresh_database_with(&[("HUBBUB__SOCKETIO__ENABLED", "false")]).await;
    let place = Place::new(&node.address, SOCKET, 4);
    let answer = place.ask(Method::GET, "EIO=4&transport=polling").await;
    assert_eq!(answer.status, 404);
    let answer = place.refused_socket("EIO=4&transport=websocket").await;
    assert_eq!(answer.status, 404);

    let (node, _database) =
        Node::on_fresh_database_with(&[("HUBBUB__SOCKETIO__PATH", "/live/")]).await;
    let moved = Place::new(&node.address, "/live/", 4);
    moved.open().await;
    moved.open_socket().await;
}

#[tokio::test]
async fn the_rest_of_the_node_is_served_beside_the_contract() {
    let (node, _database) = contract().await;
    send(http().get(node.url("/health"))).await.ok();
}
