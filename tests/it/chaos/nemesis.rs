//! The one who breaks things: nodes, the ways to what they need, Postgres, Redis, and actors within
//! nodes.
//! Whatever is planned is done, several things at a time.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::bus::{self, Bus};
use super::cluster::{Cluster, Member, Postgres};
use super::driver::answer_of;
use super::history::{Answer, Recorder};
use super::plan::{Extent, Fault, Plan, Service, Strike};
use super::verdict::{Promise, Violation};
use crate::harness::postgres::connect;
use crate::harness::redis::{Redis, RedisCluster};
use crate::harness::rest::User;
use crate::harness::tcp_proxy::{TcpProxy, Way};

/// How long a node may take to end after SIGTERM: its grace time, and some for a busy machine.
const EXIT: Duration = Duration::from_secs(15);

/// How long a fault within a node is waited for before another node is tried.
const COMES: Duration = Duration::from_millis(700);

/// How long it is tried. It may need somebody who publishes while Postgres is there.
const TRIED: Duration = Duration::from_secs(12);

/// A request that breaks a node from within.
const REQUEST: Duration = Duration::from_secs(2);

pub(super) struct Nemesis {
    pub(super) recorder: Recorder,
    pub(super) cluster: Arc<Cluster>,
    pub(super) server: Postgres,
    /// The database, without a way in between that can break.
    pub(super) database_url: String,
    /// Somebody who has nothing to do with the run.
    pub(super) somebody: User,
}

/// What broke beyond what was to break.
type Broken = Result<(), Violation>;

impl Nemesis {
    /// Breaks what the plan says, and mends it.
    pub(super) async fn run(&self, plan: &Plan) -> Vec<Violation> {
        let began = Instant::now();
        let strike = |(number, strike): (usize, &Strike)| {
            let mut hand = Hand {
                nemesis: self,
                number,
                strike: *strike,
                rng: plan.rng(1000 + number as u64),
            };
            async move {
                sleep_until(began + Duration::from_millis(hand.strike.at_ms)).await;
                hand.strike().await
            }
        };
        let all = join_all(plan.strikes.iter().enumerate().map(strike)).await;
        all.into_iter().filter_map(Result::err).collect()
    }
}

/// One fault, from its beginning to its end.
struct Hand<'a> {
    nemesis: &'a Nemesis,
    number: usize,
    strike: Strike,
    rng: StdRng,
}

impl Hand<'_> {
    async fn strike(&mut self) -> Broken {
        let node = self.strike.node;
        match self.strike.fault {
            Fault::Kill => {
                let mut place = self.nemesis.cluster.node(node).await;
                self.struck(format!("node {node} is killed"));
                self.nemesis.cluster.is_at(node, None);
                if let Some(node) = place.as_mut() {
                    node.kill9();
                }
                self.lasts().await;
                self.nemesis.cluster.start_again(node, &mut place).await
            }
            Fault::KillCommitted => self.kill_committed().await,
            Fault::Drain => self.drain().await,
            Fault::Pause => {
                let place = self.nemesis.cluster.node(node).await;
                if let Some(it) = place.as_ref() {
                    self.struck(format!("node {node} stands still"));
                    it.freeze();
                    self.lasts().await;
                    it.thaw();
                    self.over(format!("node {node} goes on"));
                }
                Ok(())
            }
            Fault::EndBackends => {
                self.end_backends().await;
                Ok(())
            }
            Fault::FreezePostgres => {
                let server = self.nemesis.server.lock().await;
                self.struck("Postgres stands still".to_owned());
                server.freeze();
                self.lasts().await;
                server.thaw();
                self.over("Postgres goes on".to_owned());
                Ok(())
            }
            Fault::RestartPostgres | Fault::KillPostgres => {
                let mut server = self.nemesis.server.lock().await;
                if self.strike.fault == Fault::KillPostgres {
                    self.struck("Postgres is killed".to_owned());
                    server.kill9().await;
                } else {
                    self.struck("Postgres is stopped".to_owned());
                    server.stop().await;
                }
                self.lasts().await;
                server.restart().await;
                self.over("Postgres is back".to_owned());
                Ok(())
            }
            Fault::RestartRedis | Fault::FreezeRedis => self.redis_away().await,
            Fault::EndRedisLinks => self.end_redis_links().await,
            Fault::LoseSlot => self.lose_a_slot().await,
            Fault::Bus(point) => {
                self.bus_errs(point).await;
                Ok(())
            }
            Fault::Way(service, trouble, extent) => {
                let way = trouble.way(&mut self.rng);
                self.way(service, way, extent).await;
                Ok(())
            }
            Fault::Panic(point) => {
                self.panic(point).await;
                Ok(())
            }
        }
    }

    /// It has happened.
    fn struck(&self, what: String) {
        let kind = self.strike.fault.kind();
        self.nemesis.recorder.struck(self.number, kind, what);
    }

    /// And is over, or something else that belongs to it.
    fn over(&self, what: String) {
        self.nemesis.recorder.fault(what);
    }

    async fn lasts(&self) {
        sleep(Duration::from_millis(self.strike.lasts_ms)).await;
    }

    async fn drain(&self) -> Broken {
        let node = self.strike.node;
        let mut place = self.nemesis.cluster.node(node).await;
        self.struck(format!("node {node} is asked to stop"));
        let mut broken = Ok(());
        if let Some(it) = place.as_mut() {
            let asked = Instant::now();
            it.terminate();
            let status = it.wait_exit_within(EXIT).await;
            self.nemesis.cluster.is_at(node, None);
            let took = asked.elapsed().as_millis();
            self.over(format!("node {node} has stopped after {took} ms"));
            if !status.is_some_and(|status| status.success()) {
                let text = format!("after SIGTERM node {node} ended with {status:?}");
                broken = Err(Violation::new(Promise::Ends, text));
                it.kill9();
            }
        }
        self.lasts().await;
        self.nemesis.cluster.start_again(node, &mut place).await?;
        broken
    }

    /// Has a node die when it has committed something that nobody was told of: whichever node does
    /// so first.
    async fn kill_committed(&mut self) -> Broken {
        const POINT: &str = "hub.delivery.committed";
        let end = Instant::now() + TRIED;
        let nodes = self.nemesis.cluster.members().len();
        for node in (0..nodes).cycle().skip(self.strike.node) {
            if Instant::now() > end {
                return Ok(());
            }
            let mut place = self.nemesis.cluster.node(node).await;
            let Some(it) = place.as_mut() else {
                drop(place);
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let skipped = self.rng.random_range(0..6);
            self.point(node, POINT, &after(skipped, "return")).await;
            let mut status = it.wait_exit_within(COMES).await;
            if status.is_none() {
                self.point(node, POINT, "off").await;
                // It may have been just then.
                status = it.wait_exit_within(Duration::from_millis(50)).await;
            }
            let Some(status) = status else {
                continue;
            };
            self.nemesis.cluster.is_at(node, None);
            if status.signal() != Some(Signal::ABORT.as_raw()) {
                let text = format!("node {node} ended with {status:?}");
                return Err(Violation::new(Promise::Ends, text));
            }
            self.struck(format!(
                "node {node} dies between a commit and telling of it"
            ));
            self.lasts().await;
            return self.nemesis.cluster.start_again(node, &mut place).await;
        }
        Ok(())
    }

    /// Redis ends and starts again, or stands still; of a cluster one of the masters.
    async fn redis_away(&mut self) -> Broken {
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

    async fn end_redis_links(&mut self) -> Broken {
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

    async fn lose_a_slot(&mut self) -> Broken {
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

    /// One node loses, doubles or reorders what goes by the bus.
    async fn bus_errs(&mut self, point: &'static str) {
        let end = Instant::now() + TRIED;
        let nodes = self.nemesis.cluster.members().len();
        for node in (0..nodes).cycle().skip(self.strike.node) {
            if self.point(node, point, "40%return").await {
                self.struck(format!("{point} in node {node}"));
                self.lasts().await;
                self.point(node, point, "off").await;
                return self.over(format!("{point} in node {node} is over"));
            }
            if Instant::now() > end {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn way(&self, service: Service, way: Way, extent: Extent) {
        let members = self.nemesis.cluster.members();
        let hit = match extent {
            Extent::OneNode => &members[self.strike.node..=self.strike.node],
            Extent::AllNodes => members,
        };
        let way_of = |member: &Member| match service {
            Service::Postgres => Some(Arc::clone(&member.postgres)),
            Service::Redis => member.redis.clone(),
        };
        let ways: Vec<Arc<TcpProxy>> = hit.iter().filter_map(way_of).collect();
        let who: Vec<usize> = hit.iter().map(|member| member.number).collect();
        self.struck(format!("{service:?} is {way:?} for {who:?}"));
        ways.iter().for_each(|it| it.set(way));
        self.lasts().await;
        ways.iter().for_each(|it| it.heal());
        self.over(format!("{service:?} is there for {who:?}"));
    }

    /// Has an actor panic, in whichever node it does so first.
    async fn panic(&mut self, point: &'static str) {
        let end = Instant::now() + TRIED;
        let message = format!("failpoint {point} panic");
        let nodes = self.nemesis.cluster.members().len();
        for node in (0..nodes).cycle().skip(self.strike.node) {
            if Instant::now() > end {
                return;
            }
            let member = &self.nemesis.cluster.members()[node];
            let before = member.said(&message);
            // The first ones are let through, so that it is not always the first of a batch.
            let skipped = match point {
                "hub.supervisor.down" | "hub.supervisor.ensure" => 0,
                _ => self.rng.random_range(0..4),
            };
            if !self.point(node, point, &after(skipped, "panic")).await {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            match point {
                // What only happens when something else does.
                "hub.supervisor.down" => {
                    self.point(node, "hub.room.accept", "1*panic").await;
                }
                "hub.supervisor.ensure" => self.open_a_room(node).await,
                _ => {}
            }
            let waited = Instant::now() + COMES;
            while Instant::now() < waited {
                if member.said(&message) > before {
                    return self.struck(format!("{point} panics in node {node}"));
                }
                sleep(Duration::from_millis(10)).await;
            }
            self.point(node, point, "off").await;
            if member.said(&message) > before {
                return self.struck(format!("{point} panics in node {node}"));
            }
        }
    }

    /// Has a node take a room into use that it did not have.
    async fn open_a_room(&self, node: usize) {
        let Some(address) = self.nemesis.cluster.address(node) else {
            return;
        };
        let token = &self.nemesis.somebody.token;
        let http = reqwest::Client::new();
        let name = format!("spare{}-{}", self.number, self.nemesis.recorder.op());
        let made = http
            .post(format!("http://{address}/api/rooms"))
            .bearer_auth(token)
            .json(&json!({ "name": name, "slug": name }))
            .timeout(REQUEST);
        if let Answer::Done(room) = answer_of(made).await
            && let Some(id) = room["id"].as_str()
        {
            let stream = http
                .get(format!("http://{address}/api/rooms/{id}/events"))
                .bearer_auth(token);
            // When it has begun, the room is in use.
            let _ = tokio::time::timeout(COMES, stream.send()).await;
        }
    }

    /// Sets a fail point. False if the node does not answer.
    async fn point(&self, node: usize, point: &str, actions: &str) -> bool {
        let Some(address) = self.nemesis.cluster.address(node) else {
            return false;
        };
        let request = reqwest::Client::new()
            .put(format!("http://{address}/_fault/{point}"))
            .body(actions.to_owned())
            .timeout(REQUEST);
        let is_set = request
            .send()
            .await
            .is_ok_and(|it| it.status().is_success());
        if !is_set {
            self.over(format!("{point} could not be set in node {node}"));
        }
        is_set
    }

    async fn end_backends(&mut self) {
        // Not while Postgres does not answer.
        let server = self.nemesis.server.lock().await;
        let database = connect(&self.nemesis.database_url).await;
        let rows = database
            .query(
                "SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid",
                &[],
            )
            .await
            .expect("the catalogue answers");
        let chance = self.rng.random_range(0.2..1.0);
        let ended = rows.iter().map(|row| row.get::<_, i32>(0));
        let ended: Vec<i32> = ended.filter(|_| self.rng.random_bool(chance)).collect();
        self.struck(format!("{} backends of Postgres end", ended.len()));
        database
            .execute(
                "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid",
                &[&ended],
            )
            .await
            .expect("they can be ended");
        drop(server);
    }
}

/// The action for a fail point that lets some pass first.
fn after(skipped: u32, action: &str) -> String {
    match skipped {
        0 => format!("1*{action}"),
        skipped => format!("{skipped}*off->1*{action}"),
    }
}
