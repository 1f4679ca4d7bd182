//! A deploy: all nodes are restarted one after the other while people talk.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::people::{self, Acks};
use crate::harness::dev_cluster::DevCluster;
use crate::harness::node::NodeOptions;
use crate::harness::rest::register_at;

/// As many as `nginx.conf` and `compose.yaml` name.
const NODES: usize = 4;
const TALKERS: usize = 3;
const LISTENERS: usize = 4;

/// What happens to the cluster while people talk.
async fn nothing_is_lost_while(happens: impl AsyncFnOnce(&mut DevCluster)) {
    let options = NodeOptions::embedded().set("HUBBUB__HTTP__DRAIN_MS", "300");
    let mut cluster = DevCluster::start(NODES, options).await;
    let address = cluster.address.clone();
    let ada = register_at(&address, "ada").await;
    let room = ada.create_room("room").await;
    let (stop, stopped) = watch::channel(false);
    let (until, is_until) = watch::channel(None);

    let mut talkers = JoinSet::new();
    for number in 0..TALKERS {
        let (ada, address, room) = (ada.clone(), address.clone(), room.clone());
        let name = format!("talker-{number}");
        talkers.spawn(people::talk(ada, address, room, name, stopped.clone()));
    }
    let mut listeners = JoinSet::new();
    for _ in 0..LISTENERS {
        let (ada, address, room) = (ada.clone(), address.clone(), room.clone());
        listeners.spawn(people::listen(ada, address, room, is_until.clone()));
    }
    for _ in 0..LISTENERS {
        let (ada, room) = (ada.clone(), room.clone());
        listeners.spawn(people::listen_to_stream(ada, room, is_until.clone()));
    }

    happens(&mut cluster).await;
    stop.send_replace(true);
    let acks: Acks = talkers.join_all().await.into_iter().flatten().collect();
    let last = acks.values().max().copied();
    assert!(acks.len() > 50, "they talked: {}", acks.len());
    until.send_replace(last);
    let mut connections = HashMap::new();
    for seen in listeners.join_all().await {
        people::verify(&seen, &acks);
        *connections.entry(seen.connections).or_insert(0) += 1;
        // Nobody is sent from one node that goes to the next for ever.
        assert!(seen.connections <= 2 * NODES + 2, "{}", seen.connections);
    }
    println!(
        "{} acks; connections of listeners: {connections:?}",
        acks.len()
    );
    assert!(cluster.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing() {
    nothing_is_lost_while(async |cluster| {
        cluster.roll();
        let rolled = cluster.said(|line| line.contains("all nodes were restarted").then_some(()));
        rolled.await.expect("all nodes are restarted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_nothing_is_lost_and_all_of_it_is_told_in_one_log() {
    const CHILDREN: [&str; 6] = ["node-1", "redis", "node-2", "nginx", "node-3", "node-4"];
    nothing_is_lost_while(async |cluster| {
        cluster.folder().kill9_postgres().await;
        let back = cluster.said(|line| line.contains("Postgres is back").then_some(()));
        back.await.expect("Postgres is started again");
        for name in CHILDREN {
            let before = cluster.pid_of(name).await;
            cluster.kill9(name).await;
            let again = format!("{name} ended");
            let died = cluster
                .said(|line| line.contains(&again).then_some(()))
                .await;
            died.expect("its end is noticed");
            crate::harness::eventually("it is started again", async || {
                (cluster.pid_of(name).await != before).then_some(())
            })
            .await;
            if name.starts_with("node") {
                let serves = cluster.said(|line| {
                    let is_it = line.starts_with(name) && line.contains("listening on");
                    is_it.then_some(())
                });
                serves.await.expect("the node serves again");
            }
        }
        let log = cluster.log();
        for name in CHILDREN.iter().chain(&["hubbub"]) {
            let prefix = format!("{name:7} | ");
            assert!(
                log.lines().any(|line| line.starts_with(&prefix)),
                "{name}: {log}"
            );
        }
    })
    .await;
}
