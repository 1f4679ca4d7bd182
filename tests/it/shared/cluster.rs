//! Sessions and limits on a Redis Cluster.

use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::from_redis_value;

use super::{LIMITED, Scene, keys, write};
use crate::harness::eventually;
use crate::harness::redis::RedisCluster;
use crate::harness::rest::register;

/// Writes are counted together, also when the key's slot moves to another master and the nodes are
/// told so by nobody but the servers.
#[tokio::test]
async fn a_limit_follows_its_slot() {
    let cluster = RedisCluster::start().await;
    let settings = [
        LIMITED,
        ("HUBBUB__LIMITS__WRITES_PER_MIN", "10"),
        ("HUBBUB__REDIS__TOPOLOGY_INTERVAL_MS", "3600000"),
    ];
    let scene = Scene::new(&cluster.url(), &settings).await;
    let ada = register(&scene.here, "ada").await;
    let began = Instant::now();
    let mut passed = 0;
    for number in 0..6 {
        let node = [&scene.here, &scene.there][number % 2];
        passed += usize::from(write(node, &ada, number).await.status == 201);
    }
    assert_eq!(passed, 6);
    let mut masters: Vec<MultiplexedConnection> = Vec::new();
    for server in &cluster.servers[..3] {
        masters.push(server.connect().await);
    }
    let mut home = None;
    for (number, master) in masters.iter_mut().enumerate() {
        if let Some(key) = keys(master, "limit:writes").await.pop() {
            home = Some((number, key));
        }
    }
    let (home, key) = home.expect("somebody has the counter");
    let target = (home + 1) % 3;
    let ask = async |at: usize, command: &str| {
        let answer = cluster.servers[at].run(command).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    };
    let slot: u16 =
        from_redis_value(ask(home, &format!("CLUSTER KEYSLOT {key}")).await).expect("it");
    let id = async |at: usize| -> String {
        from_redis_value(ask(at, "CLUSTER MYID").await).expect("an id")
    };
    let (home_id, target_id) = (id(home).await, id(target).await);
    ask(
        target,
        &format!("CLUSTER SETSLOT {slot} IMPORTING {home_id}"),
    )
    .await;
    ask(
        home,
        &format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"),
    )
    .await;
    let port = cluster.servers[target].port;
    ask(home, &format!("MIGRATE 127.0.0.1 {port} {key} 0 5000")).await;
    // Now the old master says ASK, and then MOVED.
    passed += usize::from(write(&scene.here, &ada, 7).await.status == 201);
    let set = format!("CLUSTER SETSLOT {slot} NODE {target_id}");
    for at in [target, home, 3 - target - home] {
        ask(at, &set).await;
    }
    for number in 8..20 {
        let node = [&scene.here, &scene.there][number % 2];
        passed += usize::from(write(node, &ada, number).await.status == 201);
    }
    let dripped = usize::try_from(began.elapsed().as_secs() / 6 + 1).expect("not so long");
    // A call that met the move may have been counted by its node alone.
    assert!((10..=12 + dripped).contains(&passed), "{passed}");
    eventually("the nodes were sent elsewhere", async || {
        let (here, there) = (&scene.here, &scene.there);
        let redirects = "redis_redirects_total";
        (here.metric(redirects).await > 0 && there.metric(redirects).await > 0).then_some(())
    })
    .await;
}
