//! The bus of a run: none, a Redis, or a Redis Cluster.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::plan::BusPlan;
use crate::harness::redis::{Redis, RedisCluster};
use crate::harness::tcp_proxy::{Target, TcpProxy};

/// How long a cluster may take to be whole again: some times its `cluster-node-timeout`.
const WHOLE: Duration = Duration::from_secs(30);

/// The slots of a cluster.
const SLOTS: u16 = 16_384;

/// A cluster, as the runs share it.
pub(super) type SharedCluster = Arc<Mutex<RedisCluster>>;

/// What nodes hear of each other by.
pub(super) enum Bus {
    /// Nothing but Postgres.
    None,
    Redis(Box<Mutex<Redis>>),
    Cluster(SharedCluster),
}

impl Bus {
    /// The bus of a plan. A cluster takes seconds to form, so there is one already.
    pub(super) async fn start(plan: BusPlan, cluster: Option<&SharedCluster>) -> Self {
        match plan {
            BusPlan::None => Self::None,
            BusPlan::Redis => Self::Redis(Box::new(Mutex::new(Redis::start().await))),
            BusPlan::Cluster => Self::Cluster(Arc::clone(cluster.expect("there is a cluster"))),
        }
    }

    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// A node's way to it, if there is one that can break, and its address.
    pub(super) async fn way(&self) -> (Option<Arc<TcpProxy>>, Option<String>) {
        match self {
            Self::None => (None, None),
            Self::Redis(redis) => {
                let port = redis.lock().await.port;
                let proxy = TcpProxy::to(Target::Tcp(([127, 0, 0, 1], port).into()));
                let url = format!("redis://{}", proxy.address);
                (Some(Arc::new(proxy)), Some(url))
            }
            // Its servers tell their own addresses.
            Self::Cluster(cluster) => (None, Some(cluster.lock().await.url())),
        }
    }
}

/// A server of the cluster that is a master now.
pub(super) async fn a_master(cluster: &RedisCluster, rng: &mut StdRng) -> usize {
    let mut masters = Vec::new();
    for (number, server) in cluster.servers.iter().enumerate() {
        if is_master(server).await {
            masters.push(number);
        }
    }
    masters[rng.random_range(0..masters.len())]
}

async fn is_master(server: &Redis) -> bool {
    let role = server.run("ROLE").await;
    matches!(role, Ok(redis::Value::Array(words)) if words.first()
        == Some(&redis::Value::BulkString(b"master".to_vec())))
}

/// Takes a slot from its master; gives its number.
pub(super) async fn take_a_slot(cluster: &RedisCluster, rng: &mut StdRng) -> u16 {
    let slot = rng.random_range(0..SLOTS);
    // Whoever is asked before the master may hear from it meanwhile that it has the slot.
    for server in cluster.servers.iter().chain(&cluster.servers) {
        // Replicas may have forgotten it by then.
        let _ = server.run(&format!("CLUSTER DELSLOTS {slot}")).await;
    }
    slot
}

/// Gives a slot to some master.
pub(super) async fn give_a_slot(cluster: &RedisCluster, slot: u16, rng: &mut StdRng) {
    let master = &cluster.servers[a_master(cluster, rng).await];
    let id = master.run("CLUSTER MYID").await.expect("an id");
    let id: String = redis::from_redis_value(id).expect("a text");
    let give = format!("CLUSTER SETSLOT {slot} NODE {id}");
    // The new owner first. Replicas refuse, and hear of it from their masters.
    for server in std::iter::once(master).chain(&cluster.servers) {
        let _ = server.run(&give).await;
    }
}

/// Waits until all servers say that all is well; false if they do not.
pub(super) async fn is_whole_again(cluster: &RedisCluster) -> bool {
    let end = Instant::now() + WHOLE;
    'again: while Instant::now() < end {
        let mut masters = 0;
        for server in &cluster.servers {
            masters += usize::from(is_master(server).await);
            let Ok(info) = server.run("CLUSTER INFO").await else {
                sleep(Duration::from_millis(50)).await;
                continue 'again;
            };
            let info: String = redis::from_redis_value(info).expect("a text");
            if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_ok:16384") {
                sleep(Duration::from_millis(50)).await;
                continue 'again;
            }
        }
        if masters == cluster.servers.len() / 2 {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}
