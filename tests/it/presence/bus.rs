//! A bus that loses, is away, or carries what no node has said.

use hubbub::bus::envelope::Payload;
use hubbub::bus::presence::channel;
use hubbub::protocol::id::{RoomId, UserId};
use hubbub::protocol::presence::{PresenceChange, PresenceDigest};
use serde_json::{Value, json};

use super::scene::{Cluster, Two, named, present, stale};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::redis::Redis;
use crate::harness::socket::Socket;

async fn path(node: &Node, state: &str) {
    let metric = format!("hub_bus_state{{state=\"{state}\"}}");
    eventually(state, async || {
        (node.metric(&metric).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_the_bus_nobody_leaves_and_with_it_all_is_right_again() {
    let mut redis = Redis::start().await;
    let settings = [("HUBBUB__HUB__PRESENCE_GRACE_MS", "0")];
    let cluster = Cluster::start(Some(&redis), 2, &settings).await;
    let [ann, bob, eve] = cluster.people(["ann", "bob", "eve"]).await;
    let room = cluster.room(&ann, &[&bob, &eve]).await;
    let mut at_a = Socket::connect(&cluster.nodes[0], &ann).await;
    at_a.join(&room.id).await;
    let mut at_b = Socket::connect(&cluster.nodes[1], &bob).await;
    at_b.join(&room.id).await;
    at_a.next_push("bob came", |push| named(push, "joins", &bob))
        .await;
    present(&mut at_a, &room, &[&ann, &bob]).await;
    at_a.take_pushes();
    redis.kill9();
    for node in &cluster.nodes {
        path(node, "fallback").await;
    }
    let push = at_a
        .next_push("it is stale", |push| push["stale"] == true)
        .await;
    assert_eq!(push["joins"], json!([]));
    assert_eq!(push["leaves"], json!([]));
    assert_eq!(push["count"], 2);
    at_b.ok("leave", json!({ "room": room.id })).await;
    let mut eves = Socket::connect(&cluster.nodes[1], &eve).await;
    eves.join(&room.id).await;
    stale(&mut at_a, &room, &[&ann, &bob]).await;
    redis.restart().await;
    present(&mut at_a, &room, &[&ann, &eve]).await;
    let push = at_a
        .next_push("eve came", |push| named(push, "joins", &eve))
        .await;
    assert_eq!(push["count"], 2);
    present(&mut eves, &room, &[&ann, &eve]).await;
    // Whatever was told in the meantime, nobody went before that.
    let early = |push: &Value| push["stale"] == true && push["leaves"] != json!([]);
    assert!(!at_a.take_pushes().iter().any(early));
}

#[tokio::test]
async fn lost_diffs_are_made_good() {
    let redis = Redis::start().await;
    let cluster = Cluster::start(Some(&redis), 2, &[]).await;
    let [ann, bob, eve] = cluster.people(["ann", "bob", "eve"]).await;
    let room = cluster.room(&ann, &[&bob, &eve]).await;
    let mut at_a = Socket::connect(&cluster.nodes[0], &ann).await;
    at_a.join(&room.id).await;
    let mut at_b = Socket::connect(&cluster.nodes[1], &bob).await;
    at_b.join(&room.id).await;
    present(&mut at_a, &room, &[&ann, &bob]).await;
    let taken = "hub_presence_heard_total{fate=\"taken\",kind=\"diff\"}";
    let before = cluster.nodes[0].metric(taken).await;
    cluster.nodes[1].fault("hub.presence.lose", "return").await;
    at_b.ok("leave", json!({ "room": room.id })).await;
    let mut eves = Socket::connect(&cluster.nodes[1], &eve).await;
    eves.join(&room.id).await;
    present(&mut at_a, &room, &[&ann, &eve]).await;
    assert_eq!(cluster.nodes[0].metric(taken).await, before);
    let pulls = "hub_presence_pulls_total{outcome=\"changes\"}";
    assert!(cluster.nodes[0].metric(pulls).await > 0);
    cluster.nodes[1].fault("hub.presence.lose", "off").await;
}

/// As `src/bus/redis/frame.rs` has it.
fn frame(node: &str, incarnation: u64, channel: RoomId, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1];
    frame.extend(incarnation.to_be_bytes());
    frame.push(u8::try_from(node.len()).expect("a short name"));
    frame.extend(node.as_bytes());
    frame.extend(channel.0.as_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn what_no_node_has_said_does_no_harm() {
    let redis = Redis::start().await;
    let cluster = Cluster::start(Some(&redis), 2, &[]).await;
    let Two {
        ann,
        bob,
        room,
        mut at_a,
        at_b,
    } = Two::meet(&cluster).await;
    present(&mut at_a, &room, &[&ann, &bob]).await;
    let sql = cluster.database.connect().await;
    let last = "SELECT id, incarnation FROM nodes ORDER BY started_at DESC LIMIT 1";
    let row = sql.query_one(last, &[]).await.expect("the second node");
    let (node, incarnation): (String, i64) = (row.get(0), row.get(1));
    let incarnation = u64::try_from(incarnation).expect("a life");

    let room_id = RoomId(room.id.parse().expect("an id"));
    let shard = u8::try_from(room_id.0.as_u64_pair().1 % 8).expect("a shard");
    let channel = channel(shard);
    let diff = |version| Payload::PresenceDiff {
        version,
        changes: vec![PresenceChange {
            room: room_id,
            joins: vec![UserId::generate()],
            leaves: vec![UserId(bob.id.parse().expect("an id"))],
        }],
    };
    let digest = |version| Payload::PresenceDigest(PresenceDigest { version, hash: 1 });
    let typing = Payload::Typing {
        user_id: UserId::generate(),
        typing: true,
    };
    let encoded = |payload: Payload| payload.encode().expect("it is encoded").to_vec();
    // The node's first generation has said one thing so far: this one would be the next.
    let next = (1 << 40) + 2;
    let said = [
        (&*node, incarnation, encoded(diff(next))),
        (&*node, incarnation, encoded(diff(u64::MAX))),
        (&*node, incarnation, encoded(digest(u64::MAX))),
        (&*node, incarnation, encoded(digest(0))),
        (&*node, incarnation - 1, encoded(diff(next))),
        (&*node, incarnation + 1, encoded(diff(next))),
        ("nobody", 7, encoded(diff(1))),
        ("nobody", 7, encoded(digest(u64::MAX))),
        (&*node, incarnation, encoded(typing)),
        (&*node, incarnation, b"\xc1garbage".to_vec()),
        (&*node, incarnation, Vec::new()),
    ];
    let mut connection = redis.connect().await;
    for (node, incarnation, payload) in said {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(format!("hubbub:room:{}", channel.0.simple()));
        publish.arg(frame(node, incarnation, channel, &payload));
        let heard: redis::RedisResult<i64> = publish.query_async(&mut connection).await;
        assert_eq!(heard.expect("it is published"), 2, "both nodes listen");
    }
    for (kind, fate, count) in [
        ("diff", "unknown", 2),
        ("digest", "unknown", 1),
        ("other", "bad", 1),
    ] {
        let metric = format!("hub_presence_heard_total{{fate=\"{fate}\",kind=\"{kind}\"}}");
        eventually(&metric, async || {
            (cluster.nodes[0].metric(&metric).await >= count).then_some(())
        })
        .await;
    }
    present(&mut at_a, &room, &[&ann, &bob]).await;
    // What is said from now on is heard.
    at_b.close().await;
    present(&mut at_a, &room, &[&ann]).await;
}
