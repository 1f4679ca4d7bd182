//! Redis goes away and comes back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::{Scene, is};
use crate::harness::redis::Redis;
use crate::harness::rest::User;
use crate::harness::socket::Socket;

/// Somebody who goes on publishing until told to stop, and knows what was acknowledged.
struct Talker {
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<Vec<u64>>,
}

impl Talker {
    fn start(user: User, room: String, name: &'static str) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if stopped.try_recv().is_ok() {
                    break;
                }
                let key = format!("{name}-{number}");
                let said = user.say(&room, &key, &key).await;
                acknowledged.push(said.ok()["seq"].as_u64().expect("a seq"));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            acknowledged
        });
        Self { stop, task }
    }

    async fn stop(self) -> Vec<u64> {
        self.stop.send(()).expect("it still talks");
        self.task.await.expect("every publish was acknowledged")
    }
}

/// Reads pushes until the last of these has come, and says that they came once each, in order.
async fn heard_once_in_order(socket: &mut Socket, acknowledged: &HashSet<u64>) {
    let last = acknowledged.iter().max().expect("something was said");
    let mut heard = Vec::new();
    while heard.last() < Some(last) {
        heard.push(socket.push("message").await["seq"].as_u64().expect("a seq"));
    }
    assert!(
        heard.is_sorted_by(|a, b| a < b),
        "out of order or twice: {heard:?}"
    );
    let heard: HashSet<_> = heard.into_iter().collect();
    let missing: Vec<_> = acknowledged.difference(&heard).collect();
    assert!(missing.is_empty(), "never came: {missing:?}");
}

/// Both talk while `break_it` is done and undone; everybody hears everything once.
async fn nothing_is_lost(scene: &Scene, during: impl AsyncFnOnce()) {
    let (mut ada, mut bob) = scene.sockets().await;
    let talkers = [
        Talker::start(scene.ada.clone(), scene.room.id.clone(), "ada"),
        Talker::start(scene.bob.clone(), scene.room.id.clone(), "bob"),
    ];
    during().await;
    let mut acknowledged = HashSet::new();
    for talker in talkers {
        let seqs = talker.stop().await;
        assert!(seqs.len() > 10, "they talked on: {}", seqs.len());
        acknowledged.extend(seqs);
    }
    heard_once_in_order(&mut ada, &acknowledged).await;
    heard_once_in_order(&mut bob, &acknowledged).await;
    // The bus is used again.
    scene.emits_arrive(&mut ada, &mut bob).await;
    scene.emits_arrive(&mut bob, &mut ada).await;
}

#[tokio::test]
pub(crate) async fn a_restart_of_redis_loses_and_doubles_nothing() {
    let mut redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &[]).await;
    nothing_is_lost(&scene, async || {
        for _ in 0..3 {
            redis.kill9();
            scene.both_are("fallback").await;
            redis.restart().await;
            scene.both_are("redis").await;
        }
    })
    .await;
    let disconnects = "hub_bus_disconnects_total{connection=\"subscribe\"}";
    assert!(scene.here.metric(disconnects).await >= 3);
}

#[tokio::test]
pub(crate) async fn a_frozen_redis_freezes_nobody() {
    let redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &[]).await;
    nothing_is_lost(&scene, async || {
        redis.freeze();
        let frozen = Instant::now();
        scene.both_are("fallback").await;
        let noticed = frozen.elapsed();
        // A ping and its patience: 2 s; beyond that the machine is slow, and not the node.
        assert!(noticed < Duration::from_secs(10), "{noticed:?}");
        let last = is(&scene.here, "fallback").await["last_error"].clone();
        assert!(
            last.as_str().is_some_and(|it| it.contains("no answer")),
            "{last}"
        );
        // Everything else goes on.
        let mut socket = Socket::connect(&scene.here, &scene.ada).await;
        socket.join(&scene.room.id).await;
        socket.ping().await;
        redis.thaw();
        scene.both_are("redis").await;
    })
    .await;
}

/// Rooms that are in use when Redis comes back are all subscribed to before it is in use.
#[tokio::test]
pub(crate) async fn all_rooms_are_subscribed_to_again_in_parts() {
    const ROOMS: usize = 40;
    let mut redis = Redis::start().await;
    let settings = [("HUBBUB__REDIS__SUBSCRIBE_BATCH_MAX", "7")];
    let scene = Scene::connected(&redis.url(), &settings).await;
    let mut socket = Socket::connect(&scene.here, &scene.ada).await;
    for number in 0..ROOMS {
        let room = scene.ada.create_room(&format!("room-{number}")).await;
        socket.join(&room.id).await;
    }
    redis.kill9();
    is(&scene.here, "fallback").await;
    redis.restart().await;
    assert_eq!(is(&scene.here, "redis").await["rooms"], ROOMS);
    assert_eq!(redis.channels().await.len(), ROOMS);
}

/// What is said the moment Redis is back, and never again, is there: heads are compared then.
#[tokio::test]
pub(crate) async fn the_last_message_before_the_return_is_found_at_once() {
    let mut redis = Redis::start().await;
    let scene = Scene::connected(&redis.url(), &[super::BUS_ALONE]).await;
    let (mut ada, mut bob) = scene.sockets().await;
    scene.talk(&mut ada, &mut bob, "before").await;
    redis.kill9();
    scene.both_are("fallback").await;
    ada.publish(&scene.room.id, "meanwhile", "meanwhile").await;
    redis.restart().await;
    let push: Value = bob.push("message").await;
    assert_eq!(push["body"], "meanwhile");
}
