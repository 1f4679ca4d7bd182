//! The same key twice: one event, and everybody who sent it is told of that one.

use std::slice::from_ref;

use futures_util::future::join_all;
use serde_json::json;
use tokio::join;

use super::cluster::{Cluster, remove};
use super::log::verified;
use super::pipeline::{Publish, ack, ascending, burst, code, refused};

#[tokio::test]
async fn from_two_nodes_at_once_it_is_stored_once_and_both_are_acknowledged_alike() {
    let cluster = Cluster::start(2, &[]).await;
    let [ada] = cluster.users(["ada"]).await;
    let room = cluster.room("room", from_ref(&ada)).await;
    let mut first = cluster.socket(0, &ada).await;
    let mut second = cluster.socket(1, &ada).await;
    for n in 0..20 {
        let (body, key) = (format!("body {n}"), format!("one{n}"));
        let (one, other) = join!(
            first.publish(&room.id, &body, &key),
            second.publish(&room.id, &body, &key),
        );
        assert_eq!(one, other);
    }
    // Whole bursts, over each protocol.
    let publishes = Publish::numbered(&room, "many", 60);
    let ada_there = ada.at(&cluster.nodes[1]);
    let (here, there, posted) = join!(
        burst(&mut first, &publishes),
        burst(&mut second, &publishes),
        join_all(publishes[..20].iter().map(|publish| ada_there.say(
            &room.id,
            &publish.body,
            &publish.client_id
        ))),
    );
    let here: Vec<_> = here.iter().map(ack).collect();
    let there: Vec<_> = there.iter().map(ack).collect();
    assert_eq!(here, there);
    for (posted, ack) in posted.iter().zip(&here) {
        assert_eq!(posted.status, 201, "{posted:?}");
        assert_eq!(posted.json(), *ack);
    }
    let log = verified(&cluster.sql, &room.id).await;
    assert_eq!(log.len(), 20 + 60, "each is stored once");
}

#[tokio::test]
async fn with_another_body_or_kind_it_is_refused() {
    let cluster = Cluster::start(2, &[]).await;
    let [ada, bob] = cluster.users(["ada", "bob"]).await;
    let room = cluster.room("room", &[ada.clone(), bob.clone()]).await;
    let other_room = cluster.room("other", from_ref(&ada)).await;
    let mut first = cluster.socket(0, &ada).await;
    let mut second = cluster.socket(1, &ada).await;
    let before = cluster.last_seq(&room).await;
    for n in 0..20 {
        let key = format!("key{n}");
        let fields = |body| json!({ "room": room.id, "body": body, "client_id": key });
        let (one, other) = join!(
            first.request("publish", fields("one")),
            second.request("publish", fields("other")),
        );
        let codes = [code(&one), code(&other)];
        let one_of_them = codes.contains(&None);
        let refusal = codes.contains(&Some(refused("client_id_reused", false)));
        assert!(one_of_them && refusal, "{one} {other}");
    }
    let event = json!({ "room": room.id, "name": "one", "data": "one", "volatile": false, "client_id": "key0" });
    assert_eq!(second.err("emit", event).await["code"], "client_id_reused");
    let answer = ada.say(&room.id, "a third", "key0").await;
    answer.problem(409, "client_id_reused");
    assert_eq!(cluster.last_seq(&room).await, before + 20);
    // The key is the sender's, in the room.
    assert_eq!(bob.say(&room.id, "Bob's", "key0").await.status, 201);
    let elsewhere = ada.say(&other_room.id, "elsewhere", "key0").await;
    assert_eq!(elsewhere.status, 201);
    verified(&cluster.sql, &room.id).await;
}

#[tokio::test]
async fn after_the_senders_removal_it_is_still_the_original() {
    for is_private in [false, true] {
        let cluster = Cluster::start(2, &[]).await;
        let [ada, bob] = cluster.users(["ada", "bob"]).await;
        let body = json!({ "name": "room", "is_private": is_private });
        let room = ada.create_room_with(&body).await;
        super::cluster::add(&ada, &room, &bob, "member").await.ok();
        let mut here = cluster.socket(0, &bob).await;
        let mut there = cluster.socket(1, &bob).await;
        let original = here.publish(&room.id, "mine", "key").await;
        let removed = remove(&ada.at(&cluster.nodes[1]), &room, &bob).await;
        assert_eq!(removed.status, 204, "{removed:?}");

        for socket in [&mut here, &mut there] {
            assert_eq!(socket.publish(&room.id, "mine", "key").await, original);
        }
        for node in &cluster.nodes {
            let answer = bob.at(node).say(&room.id, "mine", "key").await;
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(answer.json(), original);
        }
        let another = json!({ "room": room.id, "body": "more", "client_id": "key2" });
        let error = there.err("publish", another).await;
        let stranger = if is_private {
            "room_not_found"
        } else {
            "not_a_member"
        };
        assert_eq!(error["code"], stranger);
        verified(&cluster.sql, &room.id).await;
    }
}

#[tokio::test]
async fn within_one_burst_it_is_found_too() {
    let cluster = Cluster::start(1, &[("WRITERS", "1")]).await;
    let [ada] = cluster.users(["ada"]).await;
    let room = cluster.room("room", from_ref(&ada)).await;
    let mut socket = cluster.socket(0, &ada).await;
    let say = |body, key| Publish::new(&room, body, key);
    let sent = [
        say("one", "a"),
        say("one", "a"),
        say("two", "b"),
        say("other", "a"),
        say("three", "c"),
        say("one", "a"),
        say("two", "b"),
    ];
    // Held up together, so that they are together in the queue.
    let lock = cluster.lock_head(&room).await;
    let ids = super::pipeline::send(&mut socket, &sent).await;
    cluster.queued(0, 7).await;
    lock.release().await;
    let replies = super::pipeline::replies(&mut socket, &ids).await;
    assert_eq!(code(&replies[3]), Some(refused("client_id_reused", false)));
    let [a, b, c] = [0, 2, 4].map(|n| ack(&replies[n]));
    ascending([&a, &b, &c]);
    assert_eq!(ack(&replies[1]), a);
    assert_eq!(ack(&replies[5]), a);
    assert_eq!(ack(&replies[6]), b);
    assert_eq!(verified(&cluster.sql, &room.id).await.len(), 3);
}
