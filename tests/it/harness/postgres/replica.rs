//! A server that follows another one by streaming replication.

use std::path::Path;

use super::binaries::program;
use super::connect;
use super::server::{Options, TestServer};
use crate::harness::eventually;

/// A standby of `primary`, which takes reads. It is a [`TestServer`] of its own.
pub(crate) async fn replica_of(primary: &TestServer) -> TestServer {
    let from = primary.socket();
    let copy = move |data: &Path| {
        let output = program("pg_basebackup")
            .arg("--host")
            .arg(from.parent().expect("a folder"))
            .args(["--username=postgres", "--checkpoint=fast", "--no-sync"])
            // What makes it follow: `standby.signal` and `primary_conninfo`.
            .arg("--write-recovery-conf")
            .arg("--pgdata")
            .arg(data)
            .output()
            .expect("pg_basebackup runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_basebackup: {error}");
    };
    TestServer::start_with(Options { fsync: false }, copy).await
}

/// Waits until a replica has everything that its primary has committed by now.
pub(crate) async fn catch_up(replica: &TestServer, primary: &TestServer) {
    let end: String = value(primary, "pg_current_wal_flush_lsn()::text").await;
    let has_it = format!("pg_last_wal_replay_lsn() >= '{end}'");
    eventually("the replica has caught up", async || {
        value::<bool>(replica, &has_it).await.then_some(())
    })
    .await;
}

/// From now on the replica stays as it is, until [`resume`].
pub(crate) async fn pause(replica: &TestServer) {
    let client = connect(&replica.url("postgres")).await;
    let paused = client.batch_execute("SELECT pg_wal_replay_pause()").await;
    paused.expect("a standby can pause");
    eventually("the replica pauses", async || {
        let state: String = value(replica, "pg_get_wal_replay_pause_state()").await;
        (state == "paused").then_some(())
    })
    .await;
}

/// Lets it go on.
pub(crate) async fn resume(replica: &TestServer) {
    let client = connect(&replica.url("postgres")).await;
    let resumed = client.batch_execute("SELECT pg_wal_replay_resume()").await;
    resumed.expect("a standby can go on");
}

async fn value<T>(server: &TestServer, expression: &str) -> T
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let client = connect(&server.url("postgres")).await;
    let row = client.query_one(&format!("SELECT {expression}"), &[]).await;
    row.expect("the server answers").get(0)
}
