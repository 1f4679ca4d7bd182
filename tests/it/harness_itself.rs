//! The harness holds what it promises.

use crate::harness::node::Node;
use crate::harness::postgres::{self, Options, TestServer};
use crate::harness::rest;
use crate::harness::socket::{End, Socket};

#[tokio::test]
async fn every_test_has_a_migrated_database_of_its_own() {
    let (a, b) = (postgres::database().await, postgres::database().await);
    assert_ne!(a.url, b.url);
    for database in [&a, &b] {
        let rooms: i64 = database
            .connect()
            .await
            .query_one("SELECT count(*) FROM rooms", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(rooms, 0);
    }
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_what_was_committed() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let client = database.connect().await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .unwrap();
    server.kill9().await;
    assert!(client.query("SELECT 1", &[]).await.is_err());
    assert!(postgres::try_connect(&database.url).await.is_err());
    server.restart().await;
    let client = database.connect().await;
    let row = client.query_one("SELECT n FROM t", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
}

#[tokio::test]
async fn a_frozen_postgres_answers_when_it_is_thawed() {
    let server = TestServer::start(Options { fsync: true }).await;
    let client = server.database().await.connect().await;
    server.freeze();
    let mut answer = std::pin::pin!(client.query_one("SELECT 1", &[]));
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut answer).await;
    assert!(early.is_err(), "it answered while frozen");
    server.thaw();
    assert_eq!(answer.await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_fault_is_carried_out_where_it_was_put() {
    let (node, _database) = Node::on_fresh_database().await;
    let alice = rest::register(&node, "alice").await;
    let room = alice.create_room("tea").await;
    let mut socket = Socket::connect(&node, &alice).await;
    socket.join(&room.id).await;
    node.fault("hub.fanout.deliver", "1*panic").await;
    assert_eq!(alice.say(&room.id, "boom", "c1").await.status, 201);
    // The fan-out's end ends its sockets.
    assert!(matches!(socket.closed().await, End::Broken(_)));
}
