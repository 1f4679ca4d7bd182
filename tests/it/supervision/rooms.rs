//! Rooms that panic.

use serde_json::json;

use super::crowd::{Scene, until};
use crate::harness::eventually;
use crate::harness::socket::{End, Socket, refusal};

#[tokio::test]
async fn a_room_comes_back_beneath_its_connections() {
    let scene = Scene::new(4).await;
    let talk = scene.talk().await;
    let mut panics = 0;
    for point in ["hub.room.accept", "hub.room.deliver"] {
        for _ in 0..5 {
            talk.goes_on(20).await;
            scene.node.fault(point, "1*panic").await;
            panics += 1;
            scene.down("room", panics).await;
        }
    }
    talk.goes_on(20).await;
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
    assert_eq!(scene.downs("room").await, panics);
}

#[tokio::test]
async fn a_room_that_panics_now_and_then_loses_nothing() {
    let scene = Scene::new(4).await;
    let talk = scene.talk().await;
    scene.node.fault("hub.room.accept", "5%panic").await;
    scene.node.fault("hub.room.deliver", "1%panic").await;
    scene.down("room", 15).await;
    scene.node.fault("hub.room.accept", "off").await;
    scene.node.fault("hub.room.deliver", "off").await;
    talk.goes_on(20).await;
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
}

#[tokio::test]
async fn a_recreated_room_counts_its_connections_and_retires() {
    let scene = Scene::with(2, |options| options.set("HUBBUB__HUB__ROOM_IDLE_S", "1")).await;
    let (mut one, mut two) = (scene.joined(0).await, scene.joined(1).await);
    let room = &scene.room.id;
    scene.node.fault("hub.room.accept", "1*panic").await;
    one.publish(room, "boom", "c1").await;
    assert_eq!(two.push("message").await["client_id"], "c1");
    assert_eq!(one.push("message").await["client_id"], "c1");
    one.ok("leave", json!({ "room": room })).await;
    // One is left: the room stays, over several of its looks.
    two.read_for(std::time::Duration::from_millis(2500)).await;
    assert_eq!(scene.metric("hub_active_rooms").await, 1);
    two.publish(room, "still here", "c2").await;
    assert_eq!(two.push("message").await["client_id"], "c2");
    two.ok("leave", json!({ "room": room })).await;
    eventually("the room retires", async || {
        (scene.metric("hub_active_rooms").await == 0).then_some(())
    })
    .await;
    assert_eq!(two.join(room).await["last_seq"], scene.head().await);
}

#[tokio::test]
async fn a_room_that_always_panics_is_given_up_for_a_while() {
    let scene = Scene::with(2, |options| {
        options
            .set("HUBBUB__HUB__RESTART_MAX", "3")
            // Longer than four panics take on a busy machine.
            .set("HUBBUB__HUB__RESTART_WINDOW_S", "10")
    })
    .await;
    let mut ann = scene.joined(0).await;
    let mut bob = scene.joined(1).await;
    let other = scene.users[1].create_room("other").await;
    let mut elsewhere = Socket::connect(&scene.node, &scene.users[1]).await;
    elsewhere.join(&other.id).await;
    scene.node.fault("hub.room.accept", "panic").await;
    let room = &scene.room.id;
    let begun = std::time::Instant::now();
    for n in 0..4 {
        let said = scene.users[0].say(room, "boom", &format!("c{n}")).await;
        assert_eq!(said.status, 201, "it is in the log: {said:?}");
        scene.down("room", n + 1).await;
    }
    for socket in [&mut ann, &mut bob] {
        assert_eq!(socket.close_code().await.0, 4004);
    }
    let mut again = Socket::connect(&scene.node, &scene.users[0]).await;
    let refused = again.err("join", json!({ "room": room })).await;
    assert_eq!(
        (&refused["code"], &refused["retry"]),
        (&json!("unavailable"), &json!(true))
    );
    let downs = scene.downs("room").await;
    // On a very slow machine the window is over by now, and another attempt was made.
    let is_over = begun.elapsed() >= std::time::Duration::from_secs(10);
    assert!(downs == 4 || (is_over && downs <= 6), "it spins: {downs}");
    let delayed = scene
        .metric("hub_restarts_delayed_total{kind=\"room\"}")
        .await;
    assert!(delayed >= 1, "{delayed}");
    // Another room of the same node goes on.
    scene.node.fault("hub.room.accept", "off").await;
    elsewhere.publish(&other.id, "fine", "c1").await;
    assert_eq!(elsewhere.push("message").await["client_id"], "c1");
    let asked = ("join", json!({ "room": room, "since": 1 }));
    let joined = until("the room can be joined", &mut again, asked, |reply| {
        refusal(reply).is_none().then(|| reply.clone())
    })
    .await;
    assert_eq!(joined["ok"]["last_seq"], scene.head().await);
}

#[tokio::test]
async fn joins_wait_for_a_room_that_is_being_recreated() {
    let scene = Scene::new(2).await;
    let mut ann = scene.joined(0).await;
    let room = &scene.room.id;
    for n in 0..20 {
        scene.node.fault("hub.room.accept", "1*panic").await;
        let key = format!("c{n}");
        let mut bob = Socket::connect(&scene.node, &scene.users[1]).await;
        let publishing = ann.publish(room, "x", &key);
        let (ack, joined) = tokio::join!(publishing, bob.join(room));
        let (seq, last) = (ack["seq"].as_u64(), joined["last_seq"].as_u64());
        assert_eq!(ann.push("message").await["client_id"], key);
        if last < seq {
            assert_eq!(bob.push("message").await["client_id"], key);
        }
        scene.down("room", n + 1).await;
        assert!(!matches!(bob.close().await, End::Broken(_)));
    }
}
