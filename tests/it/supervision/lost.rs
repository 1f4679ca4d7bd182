//! Events that are lost on the way, and histories.

use serde_json::json;

use super::crowd::Scene;
use crate::harness::node::NodeOptions;
use crate::harness::socket::{End, Socket};

/// With a comparison of heads that a test does not live to see.
fn without_anti_entropy(options: NodeOptions) -> NodeOptions {
    options.set("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000")
}

#[tokio::test]
async fn events_lost_between_room_and_fanout_are_brought_again() {
    let scene = Scene::with(4, without_anti_entropy).await;
    let talk = scene.talk().await;
    for _ in 0..10 {
        talk.goes_on(20).await;
        scene.node.fault("hub.room.deliver", "3*return").await;
    }
    talk.goes_on(20).await;
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
    let holes = "hub_fanout_out_of_turn_total{kind=\"hole\"}";
    assert!(scene.metric(holes).await >= 1);
}

#[tokio::test]
async fn a_last_event_lost_between_room_and_fanout_is_brought_again() {
    let scene = Scene::with(2, without_anti_entropy).await;
    let mut bob = scene.joined(1).await;
    scene.node.fault("hub.room.deliver", "1*return").await;
    scene.users[0].say(&scene.room.id, "lost", "c1").await.ok();
    assert_eq!(bob.push("message").await["body"], "lost");
}

/// What one thread lacks, and the room does not remember any more, is read for it alone: the others
/// are not given again what they have.
#[tokio::test]
async fn what_one_thread_lacks_is_brought_to_that_one() {
    const EVENTS: u64 = 20;
    let scene = Scene::with(2, |options| {
        without_anti_entropy(options)
            .set("HUBBUB__HTTP__WORKERS", "2")
            .set("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "1")
            .set("HUBBUB__HUB__REPLAY_PAGE_EVENTS", "3")
    })
    .await;
    let before = scene.head().await;
    // Connections are spread over the threads.
    let mut members = Vec::new();
    for _ in 0..8 {
        members.push(scene.joined(1).await);
    }
    let gaps = scene.metric("hub_room_gaps_total").await;
    scene.node.fault("hub.room.deliver", "1*return").await;
    for n in 0..EVENTS {
        let message = json!({ "room": scene.room.id, "body": "x", "client_id": n.to_string() });
        members[0].send_command("publish", message).await;
    }
    for _ in 0..EVENTS {
        members[0].reply().await.expect("it is open");
    }
    for member in &mut members {
        for seq in before + 1..=before + EVENTS {
            assert_eq!(member.push("message").await["seq"], seq);
        }
    }
    let holes = "hub_fanout_out_of_turn_total{kind=\"hole\"}";
    assert!(scene.metric(holes).await >= 1);
    // The room itself lacked nothing.
    assert_eq!(scene.metric("hub_room_gaps_total").await, gaps);
}

#[tokio::test]
async fn events_lost_before_the_room_are_found_in_the_log() {
    let scene = Scene::with(4, without_anti_entropy).await;
    let talk = scene.talk().await;
    for _ in 0..10 {
        talk.goes_on(20).await;
        scene.node.fault("hub.room.accept", "2*return").await;
    }
    talk.goes_on(20).await;
    // Whatever comes next shows the last hole.
    scene.users[0]
        .say(&scene.room.id, "and so on", "x")
        .await
        .ok();
    assert_eq!(talk.check(&scene).await, [], "nobody was disconnected");
}

#[tokio::test]
async fn a_lost_last_event_is_found_by_comparing_heads() {
    let scene = Scene::with(2, |options| {
        options.set("HUBBUB__HUB__ANTI_ENTROPY_MS", "200")
    })
    .await;
    let mut bob = scene.joined(1).await;
    // Nothing comes after that by which the room would notice the hole.
    bob.push("presence").await;
    scene.node.fault("hub.room.accept", "1*return").await;
    scene.users[0].say(&scene.room.id, "lost", "c1").await.ok();
    assert_eq!(bob.push("message").await["body"], "lost");
    assert_eq!(scene.metric("hub_anti_entropy_behind_total").await, 1);
}

#[tokio::test]
async fn a_join_is_answered_when_the_room_has_come_as_far_as_the_check() {
    let scene = Scene::with(2, without_anti_entropy).await;
    let mut ann = scene.joined(0).await;
    scene.node.fault("hub.room.accept", "1*return").await;
    let room = &scene.room.id;
    let lost = scene.users[0].say(room, "lost", "c1").await.ok();
    let seq = lost["seq"].as_u64().expect("a seq");
    let mut bob = Socket::connect(&scene.node, &scene.users[1]).await;
    // The client knows the event by other ways: that is no other log.
    let fields = json!({ "room": room, "since": seq, "epoch": scene.room.epoch });
    let joined = bob.ok("join", fields).await;
    assert_eq!(
        (&joined["last_seq"], &joined["replayed"]),
        (&json!(seq), &json!(0))
    );
    assert_eq!(joined.get("gap"), None, "{joined}");
    assert_eq!(ann.push("message").await["seq"], seq);
    // A position beyond the head is.
    let fields = json!({ "room": room, "since": seq + 1, "epoch": scene.room.epoch });
    let joined = bob.ok("join", fields).await;
    assert_eq!(joined["gap"]["reason"], "epoch", "{joined}");
}

#[tokio::test]
async fn a_history_that_was_lost_is_another_log_from_then_on() {
    let scene = Scene::with(2, |options| {
        options.set("HUBBUB__HUB__ANTI_ENTROPY_MS", "200")
    })
    .await;
    let mut bob = scene.joined(1).await;
    let room = &scene.room.id;
    for n in 0..3 {
        scene.users[0].say(room, "x", &format!("c{n}")).await.ok();
        bob.push("message").await;
    }
    let seq = scene.head().await;
    lose_two_events(&scene, seq).await;
    let end = bob.closed().await;
    assert!(matches!(end, End::Closed { code: 4004, .. }), "{end:?}");
    let other = scene.users[0].say(room, "something else", "d1").await.ok();
    scene.users[0].say(room, "y", "d2").await.ok();
    scene.users[0].say(room, "z", "d3").await.ok();
    assert!(
        other["seq"].as_u64() <= Some(seq),
        "the numbers are used again"
    );
    let mut again = Socket::connect(&scene.node, &scene.users[1]).await;
    let fields = json!({ "room": room, "since": seq, "epoch": scene.room.epoch });
    let joined = again.ok("join", fields).await;
    assert_eq!(joined["gap"]["reason"], "epoch", "{joined}");
    assert_ne!(joined["epoch"], scene.room.epoch);
    assert_eq!(scene.metric("hub_histories_lost_total").await, 1);
}

/// Takes the last two events out of the room's log, as a failover to a replica does that was behind.
async fn lose_two_events(scene: &Scene, head: u64) {
    let client = scene.database.connect().await;
    let id: uuid::Uuid = scene.room.id.parse().expect("an id");
    let lost = i64::try_from(head).expect("small") - 1;
    for statement in [
        "UPDATE room_heads SET last_seq = $2::int8 - 1, last_msg_no = last_msg_no - 2 WHERE room_id = $1",
        "DELETE FROM room_events WHERE room_id = $1 AND seq >= $2",
        "DELETE FROM messages WHERE room_id = $1 AND seq >= $2",
        "DELETE FROM publish_keys WHERE room_id = $1 AND seq >= $2",
    ] {
        client
            .execute(statement, &[&id, &lost])
            .await
            .expect("it is changed");
    }
}

#[tokio::test]
async fn a_number_that_is_given_again_before_heads_were_compared_is_noticed() {
    let scene = Scene::with(2, |options| {
        options.set("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000")
    })
    .await;
    let mut bob = scene.joined(1).await;
    let room = &scene.room.id;
    for n in 0..3 {
        scene.users[0].say(room, "x", &format!("c{n}")).await.ok();
        bob.push("message").await;
    }
    let seq = scene.head().await;
    lose_two_events(&scene, seq).await;
    for n in 0..3 {
        scene.users[0]
            .say(room, "something else", &format!("d{n}"))
            .await
            .ok();
    }
    let end = bob.closed().await;
    assert!(matches!(end, End::Closed { code: 4004, .. }), "{end:?}");
    // The log is longer by now than what bob has: only its epoch tells that it is another.
    assert!(scene.head().await > seq);
    let mut again = Socket::connect(&scene.node, &scene.users[1]).await;
    let fields = json!({ "room": room, "since": seq, "epoch": scene.room.epoch });
    let joined = again.ok("join", fields).await;
    assert_eq!(joined["gap"]["reason"], "epoch", "{joined}");
    assert_eq!(scene.metric("hub_histories_lost_total").await, 1);
}
