//! Nodes that die, stop and begin again.

use std::time::Duration;

use serde_json::Value;

use super::scene::{Cluster, named, present, told};
use crate::harness::redis::Redis;
use crate::harness::socket::Socket;

#[tokio::test]
async fn a_killed_nodes_people_go_when_its_lease_is_over() {
    let redis = Redis::start().await;
    // Nobody waits for that long.
    let settings = [
        ("HUBBUB__HUB__PRESENCE_GRACE_MS", "600000"),
        ("HUBBUB__NODE__LEASE_MS", "8000"),
    ];
    let mut cluster = Cluster::start(Some(&redis), 2, &settings).await;
    let [ann, bob, eve] = cluster.people(["ann", "bob", "eve"]).await;
    let room = cluster.room(&ann, &[&bob, &eve]).await;
    let mut at_a = Socket::connect(&cluster.nodes[0], &ann).await;
    at_a.join(&room.id).await;
    let mut there = Vec::new();
    for user in [&bob, &eve] {
        let mut socket = Socket::connect(&cluster.nodes[1], user).await;
        socket.join(&room.id).await;
        there.push(socket);
    }
    told(&mut at_a, "joins", &[&bob, &eve]).await;
    cluster.nodes[1].kill9();
    // Eve comes back elsewhere, in time.
    let mut back = Socket::connect(&cluster.nodes[0], &eve).await;
    back.join(&room.id).await;
    let died = "hub_peer_events_total{event=\"died\"}";
    present(&mut at_a, &room, &[&ann, &eve]).await;
    assert_eq!(cluster.nodes[0].metric(died).await, 1);
    told(&mut at_a, "leaves", &[&bob]).await;
    let pushes = at_a.take_pushes();
    let about = |user| {
        let named = |push: &&Value| named(push, "joins", user) || named(push, "leaves", user);
        pushes.iter().filter(named).count()
    };
    assert_eq!((about(&bob), about(&eve)), (0, 0), "{pushes:?}");
}

/// A deploy: each node in turn is stopped and started again, and its clients come back, on the
/// other one, or on the same.
#[tokio::test]
async fn a_rolling_restart_is_seen_by_nobody() {
    let redis = Redis::start().await;
    let settings = [
        ("HUBBUB__HUB__PRESENCE_GRACE_MS", "60000"),
        ("HUBBUB__HTTP__DRAIN_MS", "100"),
    ];
    let mut cluster = Cluster::start(Some(&redis), 3, &settings).await;
    let [ann, bob, eve] = cluster.people(["ann", "bob", "eve"]).await;
    let room = cluster.room(&ann, &[&bob, &eve]).await;
    let mut watcher = Socket::connect(&cluster.nodes[0], &ann).await;
    watcher.join(&room.id).await;
    let mut sockets = Vec::new();
    for (user, node) in [(&bob, 1), (&eve, 2)] {
        let mut socket = Socket::connect(&cluster.nodes[node], user).await;
        socket.join(&room.id).await;
        sockets.push(socket);
    }
    told(&mut watcher, "joins", &[&bob, &eve]).await;
    for (node, other) in [(1, 2), (2, 1)] {
        cluster.nodes[node].terminate();
        // Both may be there by now.
        for (socket, user) in sockets.iter_mut().zip([&bob, &eve]) {
            let end = socket.read_for(Duration::from_millis(500)).await;
            if end.is_some() {
                *socket = Socket::connect(&cluster.nodes[other], user).await;
                socket.join(&room.id).await;
            }
        }
        cluster.nodes[node].wait_exit().await;
        cluster.nodes[node].restart().await;
        cluster.know_each_other().await;
        for socket in &mut sockets {
            present(socket, &room, &[&ann, &bob, &eve]).await;
        }
    }
    present(&mut watcher, &room, &[&ann, &bob, &eve]).await;
    let is_seen = |push: &Value| {
        [&bob, &eve]
            .into_iter()
            .any(|user| named(push, "joins", user) || named(push, "leaves", user))
    };
    let pushes = watcher.take_pushes();
    assert!(!pushes.iter().any(is_seen), "{pushes:?}");
}
