//! The pool: its size, its time-outs, and what it makes of the server's errors.

use std::time::Duration;

use hubbub::config::{Config, Database};
use hubbub::store::server_check::Unsuitable;
use hubbub::store::statement::Statement;
use hubbub::store::{Conn, Store, StoreError};

use crate::harness::postgres::{self, Options, TestServer};
use crate::harness::{DEADLINE, eventually};

const fn statement(sql: &'static str) -> Statement {
    Statement { name: sql, sql }
}

const ONE: Statement = statement("SELECT 1");
const SLEEP: Statement = statement("SELECT pg_sleep(60)");
const SETTING: Statement = statement("SELECT current_setting($1)");
const INSERT: Statement = statement("INSERT INTO t (n) VALUES ($1)");
const NULL: Statement = statement("INSERT INTO t (n, m) VALUES (2, NULL)");
const ALL: Statement = statement("SELECT n FROM t");
const NAMED: Statement = Statement {
    name: "test/timed_by_name",
    sql: "SELECT 1",
};

fn settings(changed: &[(&str, &str)]) -> Database {
    let always = [("HUBBUB__DATABASE__REQUIRE_FSYNC", "false")];
    let all = always.iter().chain(changed);
    let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_sources(None, all)
        .expect("the settings are valid")
        .database
}

#[tokio::test]
async fn the_sessions_settings() {
    let database = postgres::database().await;
    let config = settings(&[("HUBBUB__DATABASE__STATEMENT_TIMEOUT_MS", "1234")]);
    let store = Store::connect(&config, &database.url).await.unwrap();
    let conn = store.get().await.unwrap();
    for (name, expected) in [
        ("application_name", "hubbub"),
        ("statement_timeout", "1234ms"),
        ("idle_in_transaction_session_timeout", "1234ms"),
    ] {
        let row = conn.query_one(&SETTING, &[&name]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), expected, "{name}");
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_ends_and_its_connection_stays() {
    let database = postgres::database().await;
    let config = settings(&[
        ("HUBBUB__DATABASE__STATEMENT_TIMEOUT_MS", "100"),
        ("HUBBUB__DATABASE__POOL_MAX", "1"),
        ("HUBBUB__DATABASE__POOL_MIN", "0"),
    ]);
    let store = Store::connect(&config, &database.url).await.unwrap();
    let conn = store.get().await.unwrap();
    let error = conn.query(&SLEEP, &[]).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Timeout { what } if what == SLEEP.name),
        "{error}"
    );
    assert!(error.is_retryable());
    conn.query_one(&ONE, &[]).await.unwrap();
    drop(conn);
    assert_eq!(store.pool_size(), 1);
}

#[tokio::test]
async fn a_frozen_server_is_given_up_and_its_connections_too() {
    let server = TestServer::start(Options { fsync: false }).await;
    let database = server.database().await;
    let config = settings(&[
        ("HUBBUB__DATABASE__STATEMENT_TIMEOUT_MS", "1000"),
        ("HUBBUB__DATABASE__CONNECT_TIMEOUT_MS", "300"),
    ]);
    let store = Store::connect(&config, &database.url).await.unwrap();
    let mut conn = store.get().await.unwrap();
    conn.query_one(&ONE, &[]).await.unwrap();
    let tx = conn.transaction().await.unwrap();
    server.freeze();
    let error = tx.query_one(&ONE, &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");
    drop(tx);
    drop(conn);
    assert_eq!(store.pool_size(), 0, "the connection is not used again");
    let error = store.get().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Timeout { .. } | StoreError::Unavailable(_)
        ),
        "{error}"
    );
    server.thaw();
    let conn = found_again(&store).await;
    conn.query_one(&ONE, &[]).await.unwrap();
}

/// A connection, as soon as the server is known to answer again.
async fn found_again(store: &Store) -> Conn {
    eventually("the server answers", async || store.get().await.ok()).await
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_and_found_again() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let store = Store::connect(&settings(&[]), &database.url).await.unwrap();
    let conn = store.get().await.unwrap();
    server.kill9().await;
    let error = conn.query_one(&ONE, &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.is_retryable());
    drop(conn);
    let error = store.get().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.restart().await;
    let conn = found_again(&store).await;
    conn.query_one(&ONE, &[]).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_in_order_is_unavailable_too() {
    let mut server = TestServer::start(Options { fsync: true }).await;
    let database = server.database().await;
    let store = Store::connect(&settings(&[]), &database.url).await.unwrap();
    let conn = store.get().await.unwrap();
    let asked = conn.query_one(&SLEEP, &[]);
    let (error, ()) = tokio::join!(asked, server.stop());
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn an_exhausted_pool_makes_wait_and_then_refuses() {
    let database = postgres::database().await;
    let config = settings(&[
        ("HUBBUB__DATABASE__POOL_MAX", "2"),
        ("HUBBUB__DATABASE__POOL_MIN", "0"),
        ("HUBBUB__DATABASE__ACQUIRE_TIMEOUT_MS", "50"),
    ]);
    let store = Store::connect(&config, &database.url).await.unwrap();
    let first = store.get().await.unwrap();
    let _second = store.get().await.unwrap();
    let error = store.get().await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");
    drop(first);
    store.get().await.unwrap();
}

#[tokio::test]
async fn a_violated_constraint_is_named() {
    let database = postgres::database().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "CREATE TABLE t (n int CONSTRAINT t_n_small CHECK (n < 9), m int NOT NULL DEFAULT 0);
             CREATE UNIQUE INDEX t_n ON t (n)",
        )
        .await
        .unwrap();
    let store = Store::connect(&settings(&[]), &database.url).await.unwrap();
    let conn = store.get().await.unwrap();
    assert_eq!(conn.execute(&INSERT, &[&1_i32]).await.unwrap(), 1);
    let twice = conn.execute(&INSERT, &[&1_i32]).await.unwrap_err();
    assert!(twice.violates("t_n"), "{twice}");
    assert!(!twice.is_retryable());
    let large = conn.execute(&INSERT, &[&9_i32]).await.unwrap_err();
    assert!(large.violates("t_n_small"), "{large}");
    let null = conn.execute(&NULL, &[]).await.unwrap_err();
    assert!(null.violates("m"), "{null}");
}

#[tokio::test]
async fn a_transaction_counts_only_when_committed() {
    let database = postgres::database().await;
    let client = database.connect().await;
    client
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();
    let store = Store::connect(&settings(&[]), &database.url).await.unwrap();
    let mut conn = store.get().await.unwrap();
    for (n, commit) in [(1_i32, true), (2, false)] {
        let tx = conn.transaction().await.unwrap();
        tx.execute(&INSERT, &[&n]).await.unwrap();
        if commit {
            tx.commit().await.unwrap();
        }
    }
    let row = conn.query_opt(&ALL, &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn the_pool_takes_what_the_server_can_give() {
    let mut server = TestServer::start(Options { fsync: false }).await;
    let database = server.database().await;
    server.stop().await;
    server
        .restart_with(&["max_connections=20", "superuser_reserved_connections=3"])
        .await;
    let config = settings(&[]);
    let connect = |outside| Store::connect_beside(&config, &database.url, outside);
    // Three of the 17 are left for what is no node's.
    assert_eq!(connect(9).await.unwrap().pool_max(), 5);
    let error = connect(17).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Unsuitable(Unsuitable::TooFewConnections { .. })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn idle_connections_are_closed_down_to_the_least() {
    let database = postgres::database().await;
    let config = settings(&[
        ("HUBBUB__DATABASE__IDLE_TIMEOUT_S", "1"),
        ("HUBBUB__DATABASE__POOL_MIN", "2"),
    ]);
    let store = Store::connect(&config, &database.url).await.unwrap();
    let five = futures_util::future::join_all((0..5).map(|_| store.get())).await;
    assert!(five.iter().all(Result::is_ok));
    drop(five);
    assert_eq!(store.pool_size(), 5);
    eventually("three are closed", async || {
        (store.pool_size() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_end_with_the_store() {
    let database = postgres::database().await;
    let store = Store::connect(&settings(&[]), &database.url).await.unwrap();
    store
        .get()
        .await
        .unwrap()
        .query_one(&ONE, &[])
        .await
        .unwrap();
    drop(store);
    let client = database.connect().await;
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'hubbub'";
    eventually("the server sees them go", async || {
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn statements_are_timed_by_name() {
    let database = postgres::database().await;
    let store = Store::connect(&settings(&[]), &database.url).await.unwrap();
    let conn = store.get().await.unwrap();
    for _ in 0..3 {
        conn.query(&NAMED, &[]).await.unwrap();
    }
    let families = prometheus::gather();
    let family = families
        .iter()
        .find(|family| family.name() == "database_query_duration_seconds")
        .expect("the histogram is registered");
    let counts: Vec<u64> = family
        .get_metric()
        .iter()
        .filter(|metric| metric.get_label().iter().any(|l| l.value() == NAMED.name))
        .map(|metric| metric.get_histogram().get_sample_count())
        .collect();
    assert_eq!(counts, [3]);
}

#[tokio::test]
async fn a_connection_outside_the_pool_survives_no_frozen_start() {
    let server = TestServer::start(Options { fsync: false }).await;
    let database = server.database().await;
    let mut options = hubbub::store::SessionOptions::from_config(&settings(&[]));
    options.connect_timeout = Duration::from_millis(200);
    server.freeze();
    let attempt = hubbub::store::connect_single(&database.url, &options);
    let error = tokio::time::timeout(DEADLINE, attempt)
        .await
        .expect("it does not wait for ever")
        .unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");
    server.thaw();
}
