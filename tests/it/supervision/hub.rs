//! The hub actor panics, and the comparison of heads.

use serde_json::json;

use super::crowd::{Scene, until};
use crate::harness::socket::Socket;

#[tokio::test]
async fn the_hub_actor_comes_back_and_forgets_nothing() {
    let scene = Scene::new(3).await;
    let talk = scene.talk().await;
    for n in 1..=5 {
        talk.goes_on(10).await;
        scene.node.fault("hub.supervisor.ensure", "1*panic").await;
        // A room that nobody is in yet has to be started.
        let room = scene.users[0].create_room(&format!("room{n}")).await;
        let mut socket = Socket::connect(&scene.node, &scene.users[0]).await;
        socket.join(&room.id).await;
        assert_eq!(scene.downs("hub").await, n);
        socket.publish(&room.id, "hello", "c1").await;
        assert_eq!(socket.push("message").await["body"], "hello");
        // It still hears of others.
        scene.node.fault("hub.room.accept", "1*panic").await;
        scene.down("room", n).await;
        scene.node.fault("hub.journal.writer", "1*panic").await;
        scene.down("writer", n).await;
    }
    talk.goes_on(20).await;
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
}

#[tokio::test]
async fn actors_that_panic_while_the_hub_does_come_back() {
    let scene = Scene::new(3).await;
    let talk = scene.talk().await;
    for n in 1..=5 {
        talk.goes_on(10).await;
        scene.node.fault("hub.supervisor.down", "1*panic").await;
        scene.node.fault("hub.room.accept", "1*panic").await;
        scene.down("room", n).await;
        scene.down("hub", n).await;
    }
    talk.goes_on(20).await;
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
    assert_eq!(scene.downs("room").await, 5);
}

#[tokio::test]
async fn the_comparison_of_heads_comes_back() {
    let scene = Scene::with(2, |options| {
        options.set("HUBBUB__HUB__ANTI_ENTROPY_MS", "100")
    })
    .await;
    let mut bob = scene.joined(1).await;
    scene.node.fault("hub.anti_entropy.turn", "3*panic").await;
    scene.down("anti_entropy", 3).await;
    scene.node.fault("hub.room.accept", "1*return").await;
    scene.users[0].say(&scene.room.id, "lost", "c1").await.ok();
    assert_eq!(bob.push("message").await["body"], "lost");
}

#[tokio::test]
async fn the_hub_actors_restarts_are_limited() {
    let scene = Scene::with(1, |options| {
        options
            .set("HUBBUB__HUB__RESTART_MAX", "2")
            .set("HUBBUB__HUB__RESTART_WINDOW_S", "2")
    })
    .await;
    scene.node.fault("hub.supervisor.ensure", "5*panic").await;
    let mut socket = Socket::connect(&scene.node, &scene.users[0]).await;
    let asked = ("join", json!({ "room": scene.room.id }));
    until(
        "the room is joined in the end",
        &mut socket,
        asked,
        |reply| reply.get("ok").cloned(),
    )
    .await;
    assert_eq!(scene.downs("hub").await, 5);
    let name = "hub_restarts_delayed_total{kind=\"hub\"}";
    assert!(scene.metric(name).await >= 1);
}
