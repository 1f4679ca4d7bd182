//! Three nodes, random writes, feeds that come late: no answer is older than what the client has seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{Cluster, cached, get_with, messages, seen};
use crate::harness::redis::Redis;
use crate::harness::rest::{register, text};
use crate::harness::{eventually, rounds};

/// What each round does: says something, and now and then changes something.
async fn random_rounds(cluster: &Cluster, is_late: bool) {
    let ada = register(&cluster.nodes[0], "ada").await;
    let bob = register(&cluster.nodes[1], "bob").await;
    let room = ada.create_room("general").await;
    bob.join_room(&room).await;
    let first = text(&ada.say(&room.id, "first", "first").await.ok()["id"]);
    if is_late {
        for (node, ms) in cluster.nodes.iter().zip([5, 20, 40]) {
            node.fault("hub.changes.heard", &format!("70%sleep({ms})"))
                .await;
        }
    }
    // Others read all the time, so that there are copies, some of them just being read.
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| {
            let (bob, path, stop) = (bob.at(node), messages(&room), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    bob.get(&path).await.ok();
                    bob.get(&format!("{path}?before=1000000")).await.ok();
                }
            })
        })
        .collect();
    let mut behind: BTreeMap<u64, usize> = BTreeMap::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..rounds(25) {
        let writer = rand::random_range(0..cluster.nodes.len());
        let by = ada.at(&cluster.nodes[writer]);
        let is_edit = rand::random_bool(0.4);
        let body = format!("said in round {round}");
        let seq = if is_edit {
            let path = format!("{}/{first}", messages(&room));
            by.patch(&path, &json!({ "body": body })).await.ok()["seq"].as_u64()
        } else {
            by.say(&room.id, &body, &round.to_string()).await.ok()["seq"].as_u64()
        };
        let seq = seq.expect("an event");
        for (at, node) in cluster.nodes.iter().enumerate() {
            let bob = bob.at(node);
            // What is said without a cursor may be older; how much is told below.
            let page = bob.get(&messages(&room)).await.ok();
            let lag = seq - page["last_seq"].as_u64().unwrap().min(seq);
            *behind.entry(lag).or_default() += 1;
            assert!(
                at != writer || lag == 0,
                "the node that committed it is behind"
            );
            let cursor = seen(&room, seq);
            let cursor = [("hubbub-min-cursor", cursor.as_str())];
            for path in [
                messages(&room),
                format!("{}?before=1000000", messages(&room)),
            ] {
                let answer = get_with(&bob, &path, &cursor).await;
                *kinds.entry(cached(&answer).to_owned()).or_default() += 1;
                let page = answer.ok();
                assert!(page["last_seq"].as_u64() >= Some(seq), "{path}: {page}");
                let list = page["messages"].as_array().unwrap();
                if is_edit {
                    assert_eq!(list[0]["body"], body, "{path} of node {at}");
                } else {
                    assert_eq!(list.last().unwrap()["body"], body, "{path} of node {at}");
                }
            }
            let view = get_with(&bob, &format!("/api/rooms/{}", room.id), &cursor).await;
            assert!(view.ok()["last_seq"].as_u64() >= Some(seq));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("a reader");
    }
    println!(
        "late {is_late}: without a cursor so many events behind: {behind:?}; with one: {kinds:?}"
    );
}

#[tokio::test]
async fn with_a_cursor_no_answer_is_older_than_it() {
    let redis = Redis::start().await;
    let cluster = Cluster::new(3, &[("REDIS_URL", &redis.url())]).await;
    random_rounds(&cluster, true).await;
}

#[tokio::test]
async fn nor_without_redis() {
    let cluster = Cluster::new(3, &[]).await;
    random_rounds(&cluster, false).await;
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_found_by_comparing() {
    let redis = Redis::start().await;
    let cluster = Cluster::new(2, &[("REDIS_URL", &redis.url())]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "one", "1").await.ok();
    let there = ada.at(&cluster.nodes[1]);
    let path = format!("{}?before=1000", messages(&room));
    eventually("the other node has a copy", async || {
        let answer = there.get(&path).await;
        (cached(&answer) == "HIT").then_some(())
    })
    .await;
    cluster.nodes[1].fault("hub.changes.deaf", "return").await;
    ada.say(&room.id, "two", "2").await.ok();
    eventually("the comparison finds it", async || {
        let page = there.get(&path).await.ok();
        (page["messages"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_kick_and_a_ban_take_effect_at_once() {
    let redis = Redis::start().await;
    let cluster = Cluster::new(2, &[("REDIS_URL", &redis.url())]).await;
    let [here, there] = [&cluster.nodes[0], &cluster.nodes[1]];
    let ada = register(here, "ada").await;
    let room = ada
        .create_room_with(&json!({ "name": "secret", "slug": "secret", "is_private": true }))
        .await;
    for (n, name) in ["bob", "eve"].into_iter().enumerate() {
        let user = register(here, name).await;
        let members = format!("/api/rooms/{}/members", room.id);
        let added = ada.post(&members, &json!({ "user_id": user.id })).await;
        assert_eq!(added.status, 201, "{added:?}");
        ada.say(&room.id, "hello", &n.to_string()).await.ok();
        let paths = [
            messages(&room),
            members.clone(),
            format!("/api/rooms/{}", room.id),
        ];
        let mut tags = Vec::new();
        for path in &paths {
            for node in [here, there] {
                let answer = user.at(node).get(path).await;
                tags.push(answer.header("etag").expect("a tag").to_owned());
                answer.ok();
                user.at(node).get(path).await.ok();
            }
        }
        if name == "bob" {
            ada.delete(&format!("{members}/{}", user.id)).await.ok();
        } else {
            let bans = format!("/api/rooms/{}/bans", room.id);
            let banned = ada.post(&bans, &json!({ "user_id": user.id })).await;
            assert!(banned.status < 300, "{banned:?}");
        }
        let page = ada.get(&messages(&room)).await.ok();
        let seq = page["last_seq"].as_u64().unwrap();
        let cursor = seen(&room, seq);
        let tags = tags.join(", ");
        for path in &paths {
            // Not even that nothing has changed is said.
            let answer = get_with(&user, path, &[("if-none-match", &*tags)]).await;
            answer.problem(404, "room_not_found");
            let headers = [("hubbub-min-cursor", &*cursor), ("if-none-match", &*tags)];
            let answer = get_with(&user.at(there), path, &headers).await;
            answer.problem(404, "room_not_found");
        }
        eventually(
            "elsewhere, too, for who has seen nothing of it",
            async || {
                let answer = user.at(there).get(&paths[0]).await;
                (answer.status == 404).then_some(())
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_changed_name_is_dropped_everywhere() {
    let cluster = Cluster::new(2, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let room = ada.create_room("general").await;
    let there = ada.at(&cluster.nodes[1]);
    let (of_user, of_members) = (
        format!("/api/users/{}", ada.id),
        format!("/api/rooms/{}/members", room.id),
    );
    for path in [&of_user, &of_members] {
        eventually("there is a copy", async || {
            let answer = there.get(path).await;
            (cached(&answer) == "HIT").then_some(())
        })
        .await;
    }
    let client = cluster.database.connect().await;
    let change = "UPDATE users SET display_name = 'Countess', version = version + 1";
    client.execute(change, &[]).await.expect("changed");
    for path in [&of_user, &of_members] {
        eventually("the name is told", async || {
            let answer = there.get(path).await.ok().to_string();
            answer.contains("Countess").then_some(())
        })
        .await;
    }
}
