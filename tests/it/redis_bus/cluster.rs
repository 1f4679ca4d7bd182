//! A Redis Cluster as the bus.

use serde_json::{Value, json};

use super::exchange::everything_travels;
use super::{BUS_ALONE, Scene, health, is};
use crate::harness::eventually;
use crate::harness::redis::{RedisCluster, RedisOptions};
use crate::harness::socket::Socket;

#[tokio::test]
pub(crate) async fn two_nodes_hear_of_each_other_by_a_cluster() {
    let cluster = RedisCluster::start().await;
    let scene = Scene::connected(&cluster.url(), &[BUS_ALONE]).await;
    everything_travels(&scene).await;
    let health = is(&scene.here, "redis").await;
    assert_eq!(
        (&health["servers"], &health["servers_up"]),
        (&json!(3), &json!(3))
    );
    assert!(
        scene
            .here
            .log()
            .text()
            .contains("bus: Redis Cluster with 127.0.0.1:")
    );

    // Rooms in many slots, on all masters.
    let (mut ada, mut bob) = scene.sockets().await;
    for number in 0..20 {
        let room = scene.ada.create_room(&format!("room-{number}")).await;
        scene.bob.join_room(&room).await;
        ada.join(&room.id).await;
        bob.join(&room.id).await;
        for key in ["one", "two"] {
            ada.publish(&room.id, key, key).await;
            let push = bob.next_push(key, |push: &Value| {
                push["room"] == room.id && push["body"] == key
            });
            assert_eq!(push.await["user_id"], scene.ada.id);
        }
    }
    let mut homes = 0;
    for server in &cluster.servers {
        homes += usize::from(!server.channels().await.is_empty());
    }
    assert_eq!(homes, 3, "each master has some");
}

#[tokio::test]
pub(crate) async fn one_address_a_password_and_tls_are_enough_for_a_cluster() {
    let folder = RedisOptions::new().with_password("secret").with_tls();
    let options = || {
        folder
            .clone()
            .in_another_folder()
            .set("tls-replication", "yes")
            .set("tls-cluster", "yes")
            .set("masterauth", "secret")
    };
    let cluster = RedisCluster::start_with(options).await;
    let first = &cluster.servers[0];
    let ca = first.ca_file().display().to_string();
    let settings = [
        BUS_ALONE,
        ("HUBBUB__REDIS__CLUSTER", "true"),
        ("HUBBUB__REDIS__TLS_CA", ca.as_str()),
    ];
    let scene = Scene::connected(&first.url(), &settings).await;
    everything_travels(&scene).await;
}

#[tokio::test]
pub(crate) async fn a_master_that_is_killed_is_replaced() {
    let mut cluster = RedisCluster::start().await;
    let scene = Scene::connected(&cluster.url(), &[]).await;
    let (mut ada, mut bob) = scene.sockets().await;
    scene.talk(&mut ada, &mut bob, "before").await;
    let home = cluster.home_of(&scene.room.id).await;
    cluster.servers[home].kill9();
    scene.both_are("fallback").await;
    // Nothing that is said meanwhile is lost.
    for number in 0..10 {
        let body = format!("meanwhile {number}");
        ada.publish(&scene.room.id, &body, &body).await;
        for socket in [&mut ada, &mut bob] {
            assert_eq!(socket.push("message").await["body"], body);
        }
    }
    // Its replica takes its place.
    scene.both_are("redis").await;
    scene.talk(&mut ada, &mut bob, "after").await;
    scene.emits_arrive(&mut ada, &mut bob).await;
    // And goes back when it is a replica again.
    cluster.servers[home].restart().await;
    scene.talk(&mut ada, &mut bob, "at last").await;
}

/// A slot moves to another master while its room is in use.
#[tokio::test]
pub(crate) async fn a_room_follows_its_slot() {
    let cluster = RedisCluster::start().await;
    let scene = Scene::connected(&cluster.url(), &[]).await;
    let (mut ada, mut bob) = scene.sockets().await;
    scene.talk(&mut ada, &mut bob, "before").await;
    let home = cluster.home_of(&scene.room.id).await;
    let channel = format!("hubbub:room:{}", scene.room.id.replace('-', ""));
    let ask = format!("CLUSTER KEYSLOT {channel}");
    let slot = cluster.servers[home].run(&ask).await.expect("a slot");
    let slot: u16 = redis::from_redis_value(slot).expect("a number");
    let target = (0..3).find(|number| *number != home).expect("another");
    let id = cluster.servers[target].run("CLUSTER MYID").await;
    let id: String = redis::from_redis_value(id.expect("an id")).expect("a text");
    // The new owner first, so that nobody is without one.
    for number in [target, home, 3 - target - home] {
        let set = format!("CLUSTER SETSLOT {slot} NODE {id}");
        cluster.servers[number].run(&set).await.expect("it moves");
    }
    eventually("the nodes have followed", async || {
        let channels = cluster.servers[target].channels().await;
        channels.contains(&channel).then_some(())
    })
    .await;
    scene.both_are("redis").await;
    scene.talk(&mut ada, &mut bob, "after").await;
    scene.emits_arrive(&mut ada, &mut bob).await;
    assert!(scene.here.metric("hub_bus_subscriptions_taken_total").await > 0);
}

/// Some slots have no master: the cluster is of no use for them, and the node says so.
#[tokio::test]
pub(crate) async fn a_slot_without_an_owner_is_told() {
    let cluster =
        RedisCluster::start_with(|| RedisOptions::new().set("cluster-require-full-coverage", "no"))
            .await;
    let scene = Scene::connected(&cluster.url(), &[]).await;
    let mut socket = Socket::connect(&scene.here, &scene.ada).await;
    socket.join(&scene.room.id).await;
    let why = eventually("it is noticed", async || {
        // Who has forgotten it may hear of it again from one that has not.
        for server in &cluster.servers {
            server.run("CLUSTER DELSLOTS 0").await.ok();
        }
        let health = health(&scene.here).await;
        let error = health["last_error"].as_str()?.to_owned();
        let is_told = health["path"] == "fallback" && error.contains("without a master");
        is_told.then_some(error)
    });
    why.await;
    socket.publish(&scene.room.id, "still", "still").await;
    assert_eq!(socket.push("message").await["body"], "still");
    eventually("somebody has it again", async || {
        match cluster.servers[0].run("CLUSTER ADDSLOTS 0").await {
            Ok(_) => Some(()),
            // Another one had not forgotten.
            Err(error) => error.to_string().contains("already busy").then_some(()),
        }
    })
    .await;
    is(&scene.here, "redis").await;
}
