//! One node has lost Redis, and the others have not: what they commit comes to it by NOTIFY, and what
//! it commits comes so to them, while they go on hearing of each other by Redis.

use std::collections::HashSet;

use serde_json::Value;

use super::{BUS_ALONE, is};
use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::redis::Redis;
use crate::harness::rest::{User, register, text};
use crate::harness::socket::Socket;
use crate::harness::tcp_proxy::{Target, TcpProxy, Way};

/// What each node's publisher says.
const MESSAGES: usize = 100;

const HINTED: &str = "hub_room_hinted_reads_total";

/// Heads are compared when a way changes, here and there, and once more a while later. The first
/// node has seen it change and change back when each of the others started, and when it broke.
const COMPARISONS: u64 = 10;

const COMPARED: &str = "hub_anti_entropy_seconds_count";
const TOLD: &str = "hub_head_notices_total{fate=\"told\"}";

/// Three nodes, the last of which has a way of its own to Redis.
struct Trio {
    nodes: [Node; 3],
    way: TcpProxy,
    ada: User,
    room: String,
    /// Somebody at each node, in the room.
    readers: Vec<Socket>,
    _redis: Redis,
    _database: TestDatabase,
}

impl Trio {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let way = TcpProxy::to(Target::Tcp(([127, 0, 0, 1], redis.port).into()));
        let database = postgres::database().await;
        let node = async |redis_url: &str| {
            let options = NodeOptions::on(&database.url)
                .set("REDIS_URL", redis_url)
                // Nothing but bus and notices brings an event in time.
                .set(BUS_ALONE.0, BUS_ALONE.1)
                .set("HUBBUB__REDIS__PING_INTERVAL_MS", "200")
                .set("HUBBUB__REDIS__RESPONSE_TIMEOUT_MS", "300")
                .set("HUBBUB__REDIS__RECONNECT_MAX_MS", "200");
            Node::start(options).await
        };
        let nodes = [
            node(&redis.url()).await,
            node(&redis.url()).await,
            node(&format!("redis://{}", way.address)).await,
        ];
        let ada = register(&nodes[0], "ada").await;
        let room = ada.create_room("general").await.id;
        let mut readers = Vec::new();
        for node in &nodes {
            is(node, "redis").await;
            let mut reader = Socket::connect(node, &ada).await;
            reader.join(&room).await;
            readers.push(reader);
        }
        let trio = Self {
            nodes,
            way,
            ada,
            room,
            readers,
            _redis: redis,
            _database: database,
        };
        trio.notices_are(0).await;
        trio
    }

    /// Whether all nodes tell of heads by NOTIFY.
    async fn notices_are(&self, wanted: u64) {
        for node in &self.nodes {
            eventually("the nodes know how each hears of events", async || {
                (node.metric("hub_head_notices_wanted").await == wanted).then_some(())
            })
            .await;
        }
    }

    async fn each(&self, metric: &str) -> Vec<u64> {
        let mut values = Vec::new();
        for node in &self.nodes {
            values.push(node.metric(metric).await);
        }
        values
    }

    /// Somebody says one thing at a node, and all hear it.
    async fn say(&mut self, node: usize, what: &str) {
        let mut publisher = Socket::connect(&self.nodes[node], &self.ada).await;
        publisher.publish(&self.room, what, what).await;
        for reader in &mut self.readers {
            assert_eq!(reader.push("message").await["body"], what);
        }
    }

    /// Somebody says something at a node, and these nodes read it because of a notice.
    async fn says_by_notice(&mut self, node: usize, others: &[usize]) {
        // A comparison may be faster, and there are no more of them than that.
        for attempt in 0..=COMPARISONS {
            let before = self.each(HINTED).await;
            self.say(node, &format!("{attempt} by {node}")).await;
            let after = self.each(HINTED).await;
            if others.iter().all(|it| after[*it] > before[*it]) {
                return;
            }
        }
        panic!("what node {node} commits comes to {others:?} without notices");
    }

    /// Somebody at each node publishes as fast as they are told that it is stored: all hear all, each
    /// once, in the order of `seq`.
    async fn all_publish(&mut self, name: &str) {
        let mut publishing = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut publisher = Socket::connect(node, &self.ada).await;
            let (room, name) = (self.room.clone(), format!("{name}-{number}"));
            publishing.push(tokio::spawn(async move {
                for n in 0..MESSAGES {
                    publisher.publish(&room, "x", &format!("{name}-{n}")).await;
                }
            }));
        }
        let total = MESSAGES * self.nodes.len();
        let mut all: Vec<Vec<(u64, String)>> = Vec::new();
        for reader in &mut self.readers {
            let mut heard = Vec::new();
            while heard.len() < total {
                let push = reader.push("message").await;
                let seq = push["seq"].as_u64().expect("a seq");
                heard.push((seq, text(&push["client_id"])));
            }
            reader.ping().await;
            let is_message = |push: &Value| push["push"] == "message";
            let more = reader.take_pushes();
            assert!(!more.iter().any(is_message), "too many: {more:?}");
            all.push(heard);
        }
        for published in publishing {
            published.await.expect("everything is published");
        }
        let heard = &all[0];
        assert!(
            heard.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0),
            "a hole, a double or disorder: {heard:?}"
        );
        let keys: HashSet<_> = heard.iter().map(|(_, key)| key).collect();
        assert_eq!(keys.len(), total);
        assert!(all.iter().all(|it| it == heard), "the nodes tell the same");
    }
}

async fn with_a_node_whose_redis_is(way: Way) {
    let mut trio = Trio::start().await;
    let told = trio.each(TOLD).await;
    trio.say(2, "before").await;
    assert_eq!(trio.each(TOLD).await, told, "the bus is enough");
    trio.way.set(way);
    is(&trio.nodes[2], "fallback").await;
    trio.notices_are(1).await;
    for node in &trio.nodes[..2] {
        is(node, "redis").await;
    }
    let compared = trio.each(COMPARED).await;
    // When all is quiet nothing but a notice tells the one, or of the one.
    trio.says_by_notice(0, &[2]).await;
    trio.says_by_notice(2, &[0, 1]).await;
    trio.all_publish("meanwhile").await;
    // That many comparisons bring none of hundreds of events in time.
    let after = trio.each(COMPARED).await;
    assert!(
        compared
            .iter()
            .zip(&after)
            .all(|(before, after)| after - before <= COMPARISONS),
        "comparisons of heads before and after: {compared:?} {after:?}"
    );

    trio.way.heal();
    is(&trio.nodes[2], "redis").await;
    trio.notices_are(0).await;
    trio.say(2, "after").await;
    trio.all_publish("after").await;
    assert_eq!(trio.each("hub_histories_lost_total").await, [0; 3]);
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_redis_hears_and_is_heard_by_notices() {
    with_a_node_whose_redis_is(Way::Cut).await;
}

#[tokio::test]
async fn so_does_one_whose_way_to_redis_carries_nothing() {
    with_a_node_whose_redis_is(Way::Frozen).await;
}
