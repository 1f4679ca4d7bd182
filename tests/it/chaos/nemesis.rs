//! The one who breaks things: nodes, the ways to what they need, Postgres, Redis, and actors within
//! nodes.
//! Whatever is planned is done, several things at a time.

mod redis;
mod within;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::{Cluster, Member, Postgres};
use super::history::Recorder;
use super::patience::Patience;
use super::plan::{Extent, Fault, Plan, Service, Strike};
use super::verdict::{Promise, Violation};
use crate::harness::postgres::connect;
use crate::harness::rest::User;
use crate::harness::tcp_proxy::{TcpProxy, Way};

/// How long a node may take to end after SIGTERM: its grace time, and some for a busy machine.
const EXIT: Duration = Duration::from_secs(15);

/// How often it is looked whether patience is over.
const LOOK: Duration = Duration::from_millis(100);

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

    /// Has a node die of the next thing that it commits, which `go` brings about.
    pub(super) async fn dies_of(&self, plan: &Plan, node: usize, go: impl FnOnce()) -> Broken {
        let strike = Strike {
            at_ms: plan.load_ms,
            fault: Fault::KillCommitted,
            node,
            lasts_ms: 0,
        };
        let mut hand = Hand {
            nemesis: self,
            number: plan.strikes.len(),
            strike,
            rng: plan.rng(3000),
        };
        hand.die_of(go).await
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
            Fault::RestartNginx => {
                if let Some(nginx) = self.nemesis.cluster.nginx() {
                    let mut nginx = nginx.lock().await;
                    self.struck("nginx is killed".to_owned());
                    nginx.kill9();
                    self.lasts().await;
                    nginx.restart().await;
                    self.over("nginx is back".to_owned());
                }
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
            let ended = async {
                loop {
                    if let Some(status) = it.wait_exit_within(LOOK).await {
                        return status;
                    }
                }
            };
            let status = Patience::of(EXIT).wait_for(ended).await;
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
        for it in &ways {
            it.set(way);
        }
        self.lasts().await;
        for it in &ways {
            it.heal();
        }
        self.over(format!("{service:?} is there for {who:?}"));
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
