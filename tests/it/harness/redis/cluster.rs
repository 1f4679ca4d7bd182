//! A Redis Cluster: three masters, each with a replica.

use super::{Redis, RedisOptions};
use crate::harness::eventually;

/// How many masters there are, and replicas.
const MASTERS: usize = 3;

/// The slots of a cluster.
const SLOTS: usize = 16_384;

/// The cluster. Dropping it kills it.
pub(crate) struct RedisCluster {
    /// The first three were made masters.
    pub(crate) servers: Vec<Redis>,
}

impl RedisCluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(RedisOptions::new).await
    }

    pub(crate) async fn start_with(options: impl Fn() -> RedisOptions) -> Self {
        let mut servers = Vec::new();
        for _ in 0..2 * MASTERS {
            servers.push(Redis::start_with(options().in_cluster()).await);
        }
        let cluster = Self { servers };
        cluster.form().await;
        cluster
    }

    async fn form(&self) {
        let first = &self.servers[0];
        for other in &self.servers[1..] {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", other.port, other.bus_port);
            first.run(&meet).await.expect("they meet");
        }
        for (number, master) in self.servers[..MASTERS].iter().enumerate() {
            let (from, to) = (number * SLOTS / MASTERS, (number + 1) * SLOTS / MASTERS - 1);
            let add = format!("CLUSTER ADDSLOTSRANGE {from} {to}");
            master.run(&add).await.expect("it takes slots");
        }
        for (master, replica) in self.servers.iter().zip(&self.servers[MASTERS..]) {
            let id = master.run("CLUSTER MYID").await.expect("an id");
            let id: String = redis::from_redis_value(id).expect("a text");
            eventually("a replica knows its master", async || {
                replica.run(&format!("CLUSTER REPLICATE {id}")).await.ok()
            })
            .await;
        }
        for server in &self.servers {
            eventually("the cluster is whole", async || {
                let nodes = server.run("CLUSTER NODES").await.ok()?;
                let nodes: String = redis::from_redis_value(nodes).ok()?;
                let replicas = nodes.lines().filter(|line| line.contains("slave "));
                let connected = replicas.filter(|line| line.contains(" connected")).count();
                let is_whole = info(server).await.contains("cluster_state:ok");
                (is_whole && connected == MASTERS).then_some(())
            })
            .await;
        }
        // A replica that has not been synchronised once does not take its master's place.
        for replica in &self.servers[MASTERS..] {
            eventually("a replica is in step", async || {
                let info = replica.run("INFO replication").await.ok()?;
                let info: String = redis::from_redis_value(info).ok()?;
                info.contains("master_link_status:up").then_some(())
            })
            .await;
        }
    }

    /// All addresses, as `REDIS_URL` wants them.
    pub(crate) fn url(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Redis::url).collect();
        urls.join(",")
    }

    /// The server that a room's channel lies on: the one where somebody has subscribed to it.
    pub(crate) async fn home_of(&self, room: &str) -> usize {
        let channel = room.replace('-', "");
        eventually("somebody listens to the room", async || {
            for (number, server) in self.servers.iter().enumerate() {
                let channels = server.channels().await;
                if channels.iter().any(|name| name.ends_with(&channel)) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }
}

async fn info(server: &Redis) -> String {
    let info = server.run("CLUSTER INFO").await.expect("an answer");
    redis::from_redis_value(info).expect("a text")
}
