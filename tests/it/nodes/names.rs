//! Whose a node's name is.

use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::{bodies_until, living, options};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::{self, Options, TestServer};
use crate::harness::rest::{register, text};
use crate::harness::socket::Socket;

const NAME: (&str, &str) = ("HUBBUB__NODE__ID", "node-7");

#[tokio::test]
async fn a_second_node_of_the_same_name_is_refused() {
    let database = postgres::database().await;
    let first = Node::start(options(&database.url, &[NAME])).await;
    let refused = Node::try_start(options(&database.url, &[NAME])).await;
    let refused = refused.err().expect("it is refused");
    assert!(!refused.status.success());
    let address = &first.own_address;
    for expected in ["node-7", "node.id", "life 1", address.as_str()] {
        assert!(
            refused.log.contains(expected),
            "{expected}: {}",
            refused.log
        );
    }
    // The first has lost nothing by it.
    let ada = register(&first, "ada").await;
    let room = ada.create_room("room").await;
    let mut socket = Socket::connect(&first, &ada).await;
    socket.join(&room.id).await;
    socket.publish(&room.id, "here", "c").await;
    let row = database.connect().await;
    let row = row.query_one("SELECT incarnation FROM nodes", &[]).await;
    assert_eq!(row.expect("a node").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_killed_node_starts_again_at_once() {
    let database = postgres::database().await;
    // Its lease is of no concern to itself.
    let settings = [NAME, ("HUBBUB__NODE__LEASE_MS", "600000")];
    let mut node = Node::start(options(&database.url, &settings)).await;
    for life in 2..5 {
        node.kill9();
        let killed = Instant::now();
        node.restart().await;
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        let text = node.log().text();
        assert!(text.contains(&format!("incarnation={life}")), "{text}");
    }
}

/// A node whose processes are stopped holds its connections; nobody waits for it longer than for
/// its lease. When it goes on it finds that it has been succeeded, and stops.
#[tokio::test]
async fn a_frozen_node_loses_its_name_and_stops() {
    let database = postgres::database().await;
    let settings = [
        NAME,
        ("HUBBUB__NODE__LEASE_MS", "2000"),
        ("HUBBUB__NODE__REPORT_MS", "500"),
        ("HUBBUB__HTTP__DRAIN_MS", "200"),
    ];
    let mut frozen = Node::start(options(&database.url, &settings)).await;
    let ada = register(&frozen, "ada").await;
    let room = ada.create_room("room").await;
    let mut socket = Socket::connect(&frozen, &ada).await;
    socket.join(&room.id).await;
    socket.publish(&room.id, "before", "c1").await;
    frozen.freeze();
    let second = Node::start(options(&database.url, &settings)).await;
    let log = second.log().text();
    assert!(log.contains("not heard of within its lease"), "{log}");
    assert!(log.contains("incarnation=2"), "{log}");
    let mut there = Socket::connect(&second, &ada).await;
    there.join(&room.id).await;
    there.publish(&room.id, "meanwhile", "c2").await;

    frozen.thaw();
    // Its clients are told to move, and can resume.
    let drain = socket.push("drain").await;
    assert!(drain["cursor"].is_string(), "{drain}");
    assert_eq!(socket.close_code().await.0, 4000);
    let status = frozen.wait_exit().await;
    assert!(!status.success());
    let log = frozen.log().text();
    assert!(log.contains("has taken this one's name"), "{log}");
    assert!(log.contains(&second.own_address), "{log}");
    // What was said meanwhile came before the end, or comes now: pushes after the order to move are
    // beyond its cursor, so the client goes by what it has.
    let mut all = socket.take_pushes();
    all.retain(|push| push["push"] == "message");
    let since = all.last().expect("it had the first")["seq"].clone();
    let mut moved = Socket::connect(&second, &ada).await;
    let fields = json!({ "room": room.id, "since": since, "epoch": room.epoch });
    moved.ok("join", fields).await;
    moved.publish(&room.id, "after", "c3").await;
    let mut all: Vec<_> = all.iter().map(|push| text(&push["body"])).collect();
    all.extend(bodies_until(&mut moved, "after").await);
    assert_eq!(all, ["before", "meanwhile", "after"]);
}

/// The connection that holds the name breaks: the node takes it again.
#[tokio::test]
async fn a_name_is_taken_again_after_its_connection_broke() {
    let database = postgres::database().await;
    let node = Node::start(options(&database.url, &[NAME])).await;
    let sql = database.connect().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'hubbub-listen' AND datname = current_database()";
    for _ in 0..3 {
        sql.query(cut, &[]).await.expect("it is ended");
        let held = "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS s USING (pid)
            WHERE l.locktype = 'advisory' AND l.granted AND s.datname = current_database()
                AND s.application_name = 'hubbub-listen'";
        eventually("it has its name again", async || {
            let row = sql.query_one(held, &[]).await.expect("an answer");
            (row.get::<_, i64>(0) == 1).then_some(())
        })
        .await;
    }
    let refused = Node::try_start(options(&database.url, &[NAME])).await;
    assert!(refused.is_err(), "nobody else can have it");
    living(&node, 0).await;
    assert!(!node.log().text().contains("has taken this one's name"));
}

/// With the server all locks are gone. Whoever comes first does not get the name for that.
#[tokio::test]
async fn a_name_is_not_taken_while_its_node_has_yet_to_come_back_to_postgres() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    // Nobody waits for its end.
    let settings = [NAME, ("HUBBUB__NODE__LEASE_MS", "600000")];
    let first = Node::start(options(&database.url, &settings)).await;
    let ada = register(&first, "ada").await;
    let room = ada.create_room("room").await;
    first.freeze();
    server.stop().await;
    server.restart().await;
    let sql = database.connect().await;
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let starting = Node::try_start(options(&database.url, &settings));
    let coming_back = async {
        eventually("the second has the lock", async || {
            let row = sql.query_one(held, &[]).await.expect("an answer");
            (row.get::<_, i64>(0) > 0).then_some(())
        })
        .await;
        first.thaw();
    };
    let (refused, ()) = tokio::join!(starting, coming_back);
    let refused = refused.err().expect("it is refused");
    for expected in ["may be about to come back", "life 1", "node.id"] {
        let log = &refused.log;
        assert!(log.contains(expected), "{expected}: {log}");
    }
    // The first has its name again, and goes on.
    eventually("it has its name again", async || {
        let row = sql.query_one(held, &[]).await.expect("an answer");
        (row.get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    eventually("it speaks again", async || {
        let body = json!({ "body": "again", "client_id": "c" });
        let path = format!("/api/rooms/{}/messages", room.id);
        (ada.post(&path, &body).await.status == 201).then_some(())
    })
    .await;
    let row = sql.query_one("SELECT incarnation FROM nodes", &[]).await;
    assert_eq!(row.expect("a node").get::<_, i64>(0), 1);
    assert!(!first.log().text().contains("has taken this one's name"));
}

/// Its node does not come back: then the name is free when its lease is over.
#[tokio::test]
async fn a_name_is_free_when_its_node_does_not_come_back_to_postgres() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let settings = [
        NAME,
        ("HUBBUB__NODE__LEASE_MS", "5000"),
        ("HUBBUB__NODE__REPORT_MS", "500"),
    ];
    let mut node = Node::start(options(&database.url, &settings)).await;
    node.kill9();
    server.stop().await;
    server.restart().await;
    node.restart().await;
    let log = node.log().text();
    assert!(log.contains("incarnation=2"), "{log}");
}

/// Containers often have a new name with each start.
#[tokio::test]
async fn names_that_nobody_has_had_for_long_are_forgotten() {
    let database = postgres::database().await;
    let sql = database.connect().await;
    let mut node = Node::start(options(&database.url, &[NAME])).await;
    let rows = "INSERT INTO nodes (id, incarnation, lease_until) VALUES
        ('old', 7, now() - interval '31 days'), ('recent', 7, now() - interval '29 days')";
    sql.batch_execute(rows).await.expect("rows");
    let names = async || {
        let query = "SELECT id, incarnation FROM nodes ORDER BY id";
        let rows = sql.query(query, &[]).await.expect("an answer");
        let name = |row: &tokio_postgres::Row| {
            format!("{}~{}", row.get::<_, &str>(0), row.get::<_, i64>(1))
        };
        rows.iter().map(name).collect::<Vec<_>>()
    };
    node.kill9();
    node.restart().await;
    assert_eq!(names().await, ["node-7~2", "recent~7"]);
    // Its own is kept, however long it was away.
    node.kill9();
    sql.batch_execute("UPDATE nodes SET lease_until = now() - interval '1 year'")
        .await
        .expect("it is changed");
    node.restart().await;
    assert_eq!(names().await, ["node-7~3"]);
}
