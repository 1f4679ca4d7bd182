//! Migrations on a real server.

use hubbub::store::migrate::{MIGRATIONS, Migration, apply};
use hubbub::store::{MigrateError, migrate};

use crate::harness::postgres::{self, TestDatabase};

const TWO: [Migration; 2] = [
    Migration {
        version: 1,
        name: "one",
        sql: "CREATE TABLE one (n int)",
    },
    Migration {
        version: 2,
        name: "two",
        sql: "CREATE TABLE two (n int); INSERT INTO two VALUES (1), (2)",
    },
];

/// A database without our schema.
async fn bare() -> TestDatabase {
    let database = postgres::database().await;
    let client = database.connect().await;
    client
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .expect("the schema can be dropped");
    database
}

async fn tables(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let rows = database.connect().await.query(sql, &[]).await;
    let rows = rows.expect("the catalogue answers");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn all_are_applied_once() {
    let database = bare().await;
    let first = migrate(&database.url).await.unwrap();
    assert_eq!(first.names.len(), MIGRATIONS.len());
    assert_eq!(Some(first.version), MIGRATIONS.last().map(|m| m.version));
    let second = migrate(&database.url).await.unwrap();
    assert!(second.names.is_empty());
    assert_eq!(second.version, first.version);
}

#[tokio::test]
async fn nodes_that_start_together_take_turns() {
    let database = bare().await;
    let all = (0..8).map(|_| migrate(&database.url));
    let mut applied = 0;
    for outcome in futures_util::future::join_all(all).await {
        applied += outcome.unwrap().names.len();
    }
    assert_eq!(applied, MIGRATIONS.len());
}

#[tokio::test]
async fn later_ones_are_added() {
    let database = bare().await;
    assert_eq!(
        apply(&database.url, &TWO[..1]).await.unwrap().names,
        ["one"]
    );
    let second = apply(&database.url, &TWO).await.unwrap();
    assert_eq!((second.names, second.version), (vec!["two"], 2));
    assert_eq!(tables(&database).await, ["one", "schema_migrations", "two"]);
}

#[tokio::test]
async fn nothing_remains_of_one_that_fails() {
    let database = bare().await;
    let mut broken = TWO;
    broken[1].sql = "CREATE TABLE two (n int); INSERT INTO nowhere VALUES (1)";
    let error = apply(&database.url, &broken).await.unwrap_err();
    assert!(matches!(error, MigrateError::Failed { version: 2, .. }));
    assert_eq!(tables(&database).await, ["one", "schema_migrations"]);
    assert_eq!(apply(&database.url, &TWO).await.unwrap().names, ["two"]);
}

#[tokio::test]
async fn one_that_was_changed_afterwards_is_refused() {
    let database = bare().await;
    apply(&database.url, &TWO).await.unwrap();
    let mut changed = TWO;
    changed[0].sql = "CREATE TABLE one (n bigint)";
    let error = apply(&database.url, &changed).await.unwrap_err();
    assert!(
        matches!(&error, MigrateError::Changed { version: 1, name } if name == "one"),
        "{error}"
    );
    assert!(error.to_string().contains("new migration"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let database = bare().await;
    apply(&database.url, &TWO).await.unwrap();
    let error = apply(&database.url, &TWO[..1]).await.unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found: 2, known: 1 }));
    assert!(error.to_string().contains("newer hubbub"), "{error}");
}
