//! The nodes of a run, each with ways of its own to what it needs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::sleep;

use super::bus::Bus;
use super::history::Recorder;
use super::patience::Patience;
use super::plan::Plan;
use super::verdict::{Promise, Violation};
use crate::harness::log::ProcessLog;
use crate::harness::nginx::{Nginx, kept_port};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{TestDatabase, TestServer};
use crate::harness::tcp_proxy::{Target, TcpProxy};

/// How long a node may take to start, over all attempts: longer than anything is broken.
const START: Duration = Duration::from_secs(30);

/// The pause between two attempts.
const START_AGAIN: Duration = Duration::from_millis(150);

/// How long nodes may take to come back to Redis when nothing is broken any more.
const BUS: Duration = Duration::from_secs(15);

/// Postgres, as those who break it share it.
pub(super) type Postgres = Arc<Mutex<TestServer>>;

/// Where each node is; none while it is not there.
pub(super) type Addresses = Arc<Vec<Option<String>>>;

/// The nodes.
pub(super) struct Cluster {
    members: Vec<Member>,
    pub(super) bus: Bus,
    /// Before all nodes, if somebody comes that way.
    nginx: Option<Mutex<Nginx>>,
    addresses: watch::Sender<Addresses>,
    recorder: Recorder,
}

/// A place for a node.
pub(super) struct Member {
    pub(super) number: usize,
    /// The way to Postgres.
    pub(super) postgres: Arc<TcpProxy>,
    /// The way to Redis, if there is one that can break.
    pub(super) redis: Option<Arc<TcpProxy>>,
    options: NodeOptions,
    /// None only while one is being started.
    node: Mutex<Option<Node>>,
    /// The name that it has given itself.
    id: String,
    /// What its lives have said, the last one's at the end.
    logs: parking_lot::Mutex<Vec<ProcessLog>>,
}

impl Cluster {
    /// Starts the nodes of a plan.
    pub(super) async fn start(
        plan: &Plan,
        database: &TestDatabase,
        server: &Postgres,
        bus: Bus,
        recorder: Recorder,
    ) -> Self {
        let socket = server.lock().await.socket();
        let mut members = Vec::new();
        let ports: Vec<u16> = (0..plan.nodes).map(|_| kept_port()).collect();
        for (number, port) in ports.iter().enumerate() {
            let postgres = Arc::new(TcpProxy::to(Target::Unix(socket.clone())));
            let (redis, redis_url) = bus.way().await;
            let mut options = plan.node(&database.url_at(postgres.address));
            if let Some(url) = redis_url {
                options = options.set("REDIS_URL", &url);
            }
            if plan.has_nginx() {
                // nginx knows where they are, and does not learn it anew.
                options = options
                    .set("HUBBUB__HTTP__BIND", &format!("127.0.0.1:{port}"))
                    .set("HUBBUB__HTTP__TRUSTED_PROXIES", "127.0.0.1/32");
            }
            let node = Node::start(options.clone()).await;
            members.push(Member {
                number,
                postgres,
                redis,
                options,
                id: id_of(node.log()),
                logs: parking_lot::Mutex::new(vec![node.log().clone()]),
                node: Mutex::new(Some(node)),
            });
        }
        let nginx = if plan.has_nginx() {
            let at = |port: &u16| ([127, 0, 0, 1], *port).into();
            let nginx = Nginx::before(ports.iter().map(at).collect()).await;
            Some(Mutex::new(nginx))
        } else {
            None
        };
        let cluster = Self {
            members,
            bus,
            nginx,
            addresses: watch::Sender::new(Arc::default()),
            recorder,
        };
        for member in &cluster.members {
            let address = member
                .node
                .lock()
                .await
                .as_ref()
                .map(|it| it.address.clone());
            cluster.is_at(member.number, address);
        }
        cluster
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.subscribe()
    }

    /// Clients find the node there from now on, or not at all.
    pub(super) fn is_at(&self, number: usize, address: Option<String>) {
        self.addresses.send_modify(|addresses| {
            let addresses = Arc::make_mut(addresses);
            if addresses.len() <= number {
                addresses.resize(number + 1, None);
            }
            addresses[number] = address;
        });
    }

    /// The address of a node that is there.
    pub(super) fn address(&self, number: usize) -> Option<String> {
        self.addresses.borrow().get(number)?.clone()
    }

    /// What stands before all nodes, if there is something.
    pub(super) fn nginx(&self) -> Option<&Mutex<Nginx>> {
        self.nginx.as_ref()
    }

    /// A node for oneself, to do something to its process.
    pub(super) async fn node(&self, number: usize) -> MutexGuard<'_, Option<Node>> {
        self.members[number].node.lock().await
    }

    /// Starts a node that has ended, with the same settings and data. What it needs may be away
    /// at first.
    pub(super) async fn start_again(
        &self,
        number: usize,
        place: &mut Option<Node>,
    ) -> Result<(), Violation> {
        let member = &self.members[number];
        *place = None;
        let patience = Patience::of(START);
        loop {
            match Node::try_start(member.options.clone()).await {
                Ok(node) => {
                    self.recorder
                        .fault(format!("node {number} is at {}", node.address));
                    self.is_at(number, Some(node.address.clone()));
                    let id = id_of(node.log());
                    member.logs.lock().push(node.log().clone());
                    *place = Some(node);
                    if id != member.id {
                        let text = format!("node {number} was {}, and is {id} now", member.id);
                        return Err(Violation::new(Promise::Identity, text));
                    }
                    return Ok(());
                }
                Err(failed) => {
                    let why = failed.log.lines().last().unwrap_or_default().to_owned();
                    self.recorder
                        .fault(format!("node {number} does not start: {why}"));
                    if patience.is_over() {
                        let text = format!("node {number} does not start any more: {why}");
                        return Err(Violation::new(Promise::Ends, text));
                    }
                    sleep(START_AGAIN).await;
                }
            }
        }
    }

    /// Waits until all nodes hear of each other by Redis again, if there is one.
    pub(super) async fn has_its_bus(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let patience = Patience::of(BUS);
        for member in self.members.iter().filter(|_| self.bus.is_some()) {
            let number = member.number;
            loop {
                let path = match self.address(number) {
                    Some(address) => path_of(&address).await,
                    None => None,
                };
                if path.as_deref() == Some("redis") {
                    break;
                }
                if patience.is_over() {
                    let text = format!("node {number} does not come back to Redis: {path:?}");
                    violations.push(Violation::new(Promise::Ends, text));
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        violations
    }

    /// What the nodes have said at last.
    pub(super) fn logs(&self) -> Vec<String> {
        let of = |member: &Member| {
            let logs = member.logs.lock();
            logs.iter()
                .map(ProcessLog::text)
                .collect::<Vec<_>>()
                .join("\n")
        };
        self.members.iter().map(of).collect()
    }
}

impl Member {
    /// How often its lives have said something.
    pub(super) fn said(&self, what: &str) -> usize {
        let logs = self.logs.lock();
        logs.iter()
            .map(|log| log.text().matches(what).count())
            .sum()
    }
}

/// By which way a node hears of others.
async fn path_of(address: &str) -> Option<String> {
    let asked = reqwest::Client::new().get(format!("http://{address}/health/redis"));
    let answer = asked.timeout(BUS).send().await.ok()?.text().await.ok()?;
    let health: serde_json::Value = serde_json::from_str(&answer).ok()?;
    Some(health["path"].as_str()?.to_owned())
}

/// A node's name, from the line in which it says that it listens.
fn id_of(log: &ProcessLog) -> String {
    let text = log.text();
    let line = text.lines().find(|line| line.contains("listening on"));
    let id = line.and_then(|line| line.split_once("node=")?.1.split(' ').next());
    id.unwrap_or_else(|| panic!("a node without a name: {text}"))
        .to_owned()
}
