//! What happens to Redis, or to a Redis Cluster.

use rand::RngExt as _;

use super::{Broken, Hand};
use crate::chaos::bus::{self, Bus};
use crate::chaos::plan::Fault;
use crate::chaos::verdict::{Promise, Violation};
use crate::harness::redis::{Redis, RedisCluster};

impl Hand<'_> {
    /// Redis ends and starts again, or stands still; of a cluster one of the masters.
    pub(super) async fn redis_away(&mut self) -> Broken {
        match &self.nemesis.cluster.bus {
            Bus::None => {}
            Bus::Redis(redis) => {
                let mut redis = redis.lock().await;
                self.away(&mut redis, "Redis").await;
            }
            Bus::Cluster(shared) => {
                let mut cluster = shared.lock().await;
                let master = bus::a_master(&cluster, &mut self.rng).await;
                let who = format!("server {master} of the Redis Cluster");
                self.away(&mut cluster.servers[master], &who).await;
                return self.is_whole(&cluster).await;
            }
        }
        Ok(())
    }

    async fn away(&self, redis: &mut Redis, who: &str) {
        if self.strike.fault == Fault::RestartRedis {
            self.struck(format!("{who} is killed"));
            redis.kill9();
            self.lasts().await;
            redis.restart().await;
        } else {
            self.struck(format!("{who} stands still"));
            redis.freeze();
            self.lasts().await;
            redis.thaw();
        }
        self.over(format!("{who} is back"));
    }

    /// Until the cluster is whole, nothing else is done to it.
    async fn is_whole(&self, cluster: &RedisCluster) -> Broken {
        if !bus::is_whole_again(cluster).await {
            let text = "the Redis Cluster is not whole again";
            return Err(Violation::new(Promise::Tried, text));
        }
        self.over("the Redis Cluster is whole".to_owned());
        Ok(())
    }

    pub(super) async fn end_redis_links(&mut self) -> Broken {
        let kind = ["pubsub", "normal"][self.rng.random_range(0..2)];
        let kill = format!("CLIENT KILL TYPE {kind} SKIPME yes");
        self.struck(format!("Redis ends connections: {kind}"));
        match &self.nemesis.cluster.bus {
            Bus::None => {}
            Bus::Redis(redis) => drop(redis.lock().await.run(&kill).await),
            Bus::Cluster(shared) => {
                for server in &shared.lock().await.servers {
                    let _ = server.run(&kill).await;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn lose_a_slot(&mut self) -> Broken {
        if let Bus::Cluster(shared) = &self.nemesis.cluster.bus {
            let cluster = shared.lock().await;
            let slot = bus::take_a_slot(&cluster, &mut self.rng).await;
            self.struck(format!("slot {slot} has no master"));
            self.lasts().await;
            bus::give_a_slot(&cluster, slot, &mut self.rng).await;
            self.over(format!("slot {slot} has a master"));
            return self.is_whole(&cluster).await;
        }
        Ok(())
    }
}
