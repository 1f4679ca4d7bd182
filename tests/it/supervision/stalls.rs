//! Threads that are blocked.

use std::time::Duration;

use serde_json::json;

use super::crowd::Scene;
use crate::harness::eventually;
use crate::harness::rest::{http, send};

/// Waits until a stall is counted and logged that a fault has just caused.
async fn stalled(scene: &Scene, thread: &str, activity: &str, doing: &str) {
    let label = format!("{{activity=\"{activity}\",thread=\"{thread}\"}}");
    for counter in ["hub_stalls_total", "hub_stall_seconds_count"] {
        let name = format!("{counter}{label}");
        eventually(&name, async || {
            (scene.metric(&name).await > 0).then_some(())
        })
        .await;
    }
    let doing = format!("doing=\"{doing}\"");
    let is_it = |line: &str| line.contains("a thread was blocked") && line.contains(&doing);
    let line = scene
        .node
        .log()
        .find(0, |line| is_it(line).then(|| line.to_owned()));
    let line = line.await.expect("the stall is logged");
    let ms = line.split_once(" ms=").expect("its duration").1;
    let ms: u64 = ms
        .split(' ')
        .next()
        .and_then(|ms| ms.parse().ok())
        .expect("a number");
    assert!(ms >= 50, "{line}");
}

#[tokio::test]
async fn a_blocked_worker_is_noticed_with_what_it_does() {
    let scene = Scene::new(2).await;
    let mut ann = scene.joined(0).await;
    scene
        .node
        .fault("hub.connection.command", "1*sleep(200)")
        .await;
    ann.ok("ping", json!({})).await;
    stalled(&scene, "worker", "command", "command ping").await;

    scene.node.fault("hub.fanout.apply", "1*sleep(200)").await;
    ann.publish(&scene.room.id, "late", "c1").await;
    stalled(&scene, "worker", "deliver", "deliver").await;

    scene.node.fault("api.edge.poll", "1*sleep(200)").await;
    send(http().get(scene.node.url("/health"))).await;
    stalled(&scene, "worker", "rest", "rest GET /health").await;
}

#[tokio::test]
async fn a_blocked_arbiter_is_noticed_with_what_it_does() {
    let scene = Scene::new(2).await;
    let mut ann = scene.joined(0).await;
    scene.node.fault("hub.journal.settle", "1*sleep(200)").await;
    ann.publish(&scene.room.id, "late", "c1").await;
    stalled(&scene, "arbiter", "journal", "journal").await;

    scene.node.fault("hub.room.accept", "1*sleep(200)").await;
    ann.publish(&scene.room.id, "late", "c2").await;
    stalled(&scene, "arbiter", "room", "room").await;

    scene.node.fault("hub.presence.move", "1*sleep(200)").await;
    let _bob = scene.joined(1).await;
    stalled(&scene, "arbiter", "presence", "presence").await;

    // A task without a name of its own.
    scene
        .node
        .fault("hub.anti_entropy.turn", "1*sleep(200)")
        .await;
    stalled(&scene, "arbiter", "other", "other").await;
}

#[tokio::test]
async fn a_stall_is_told_of_while_it_lasts_and_counted_once() {
    let scene = Scene::new(1).await;
    let mut ann = scene.joined(0).await;
    scene
        .node
        .fault("hub.journal.settle", "1*sleep(2000)")
        .await;
    ann.publish(&scene.room.id, "late", "c1").await;
    let log = scene.node.log();
    let place = |what| {
        log.find(0, {
            let mut place = 0;
            move |line| {
                place += 1;
                (line.contains(what) && line.contains("doing=\"journal\"")).then_some(place)
            }
        })
    };
    let during = place("a thread is blocked").await.expect("while it lasts");
    let after = place("a thread was blocked")
        .await
        .expect("when it is over");
    assert!(during < after);
    stalled(&scene, "arbiter", "journal", "journal").await;
    let name = "hub_stalls_total{activity=\"journal\",thread=\"arbiter\"}";
    assert_eq!(scene.metric(name).await, 1);
}

#[tokio::test]
async fn a_machine_that_stands_still_is_told_apart() {
    let scene = Scene::new(1).await;
    scene.node.freeze();
    // That it lasts is the fault.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    scene.node.thaw();
    let count = "hub_machine_stall_seconds_count";
    eventually(count, async || {
        (scene.metric(count).await > 0).then_some(())
    })
    .await;
    let line = |line: &str| line.contains("the machine stood still").then_some(());
    scene.node.log().find(0, line).await.expect("it is logged");
}
