//! A server that dies while the node lives.

use super::{remember, remembered, start, store};
use crate::harness::eventually;
use crate::harness::node::DataFolder;

use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
async fn a_killed_server_is_started_again_with_all_that_was_stored() {
    let folder = DataFolder::new();
    let cluster = start(folder.path()).await;
    let store = store(&cluster).await;
    for word in ["one", "two"] {
        remember(&cluster, word).await;
        let killed = cluster.pid();
        folder.kill9_postgres().await;
        eventually("another server runs", async || {
            cluster.pid().filter(|pid| Some(*pid) != killed)
        })
        .await;
        eventually("the store has a connection that works", async || {
            store.ping(std::time::Duration::from_secs(5)).await.ok()
        })
        .await;
    }
    assert_eq!(remembered(cluster.url()).await, ["one", "two"]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_whose_children_still_end() {
    let folder = DataFolder::new();
    let cluster = start(folder.path()).await;
    remember(&cluster, "kept").await;
    let killed = cluster.pid().unwrap();
    // The background processes notice by themselves, while the next server is already wanted.
    kill_process(Pid::from_raw(killed).unwrap(), Signal::KILL).unwrap();
    eventually("another server runs", async || {
        cluster.pid().filter(|pid| *pid != killed)
    })
    .await;
    eventually("it answers", async || {
        let connected = crate::harness::postgres::try_connect(cluster.url()).await;
        connected.ok()
    })
    .await;
    assert_eq!(remembered(cluster.url()).await, ["kept"]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn one_that_cannot_be_started_is_tried_again_until_it_can() {
    let folder = DataFolder::new();
    let cluster = start(folder.path()).await;
    remember(&cluster, "patience").await;
    let conf = folder.path().join("postgres/postgresql.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, "no_such_setting = 1\n").unwrap();
    folder.kill9_postgres().await;
    eventually("it fails to start", async || {
        let log = std::fs::read_to_string(folder.path().join("postgres.log")).unwrap();
        log.contains("no_such_setting").then_some(())
    })
    .await;
    std::fs::write(&conf, text).unwrap();
    eventually("it answers", async || {
        let connected = crate::harness::postgres::try_connect(cluster.url()).await;
        connected.ok()
    })
    .await;
    assert_eq!(remembered(cluster.url()).await, ["patience"]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn one_that_cannot_be_started_can_be_stopped() {
    let folder = DataFolder::new();
    let cluster = start(folder.path()).await;
    let conf = folder.path().join("postgres/postgresql.conf");
    std::fs::write(&conf, "no_such_setting = 1\n").unwrap();
    folder.kill9_postgres().await;
    eventually("there is none", async || {
        cluster.pid().is_none().then_some(())
    })
    .await;
    cluster.stop().await.unwrap();
}
