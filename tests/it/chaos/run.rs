//! A run: from its plan to its verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client as Database;

use super::client::{Client, Invitations, Phase, Progress, Seat};
use super::driver::{Sse, WebSocket};
use super::figures::Figures;
use super::history::{ClientInfo, History, Recorder, RoomInfo};
use super::nemesis::Nemesis;
use super::plan::{Plan, Protocol};
use super::verdict::{self, Case, Promise, Violation};
use super::{stored, timeline};
use crate::harness::node::Node;
use crate::harness::postgres::TestServer;
use crate::harness::rest::{User, register};

/// How long everybody may take to come back, and then to catch up.
const SETTLE: Duration = Duration::from_secs(20);

/// What came of a run.
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) figures: Figures,
    pub(super) violations: Vec<Violation>,
    /// What to show of the violations.
    pub(super) story: String,
}

/// Runs a plan on a server; `inject` gives fail points their actions before the first step.
pub(super) async fn run(plan: &Plan, server: &TestServer, inject: &[(&str, &str)]) -> Outcome {
    let database = server.database().await;
    let mut node = Node::start(plan.node(&database.url)).await;
    let client = database.connect().await;
    let scene = Scene::set(plan, &node).await;
    for (point, actions) in inject {
        node.fault(point, actions).await;
    }
    let violations = scene.play(plan, &mut node, server, &client).await;
    let history = scene.recorder.history();
    let stored = stored::read(&client).await;
    let case = Case::new(&history, &stored);
    let mut all = violations;
    all.extend(verdict::all(&case));
    Outcome {
        seed: plan.seed,
        figures: Figures::of(&history, &stored),
        story: timeline::story(&history, &all, &node.log().text()),
        violations: all,
    }
}

/// Who is there.
struct Scene {
    users: Vec<User>,
    recorder: Recorder,
    rooms: Vec<RoomInfo>,
}

impl Scene {
    async fn set(plan: &Plan, node: &Node) -> Self {
        let mut users = Vec::new();
        for number in 0..plan.users {
            users.push(register(node, &format!("user{number}")).await);
        }
        let mut rooms = Vec::new();
        for (number, room) in plan.rooms.iter().enumerate() {
            let owner = &users[room.owner];
            let name = format!("room{number}");
            let body = json!({
                "name": name,
                "slug": name,
                "is_private": room.is_private,
                "history": if room.hides_past { "joined" } else { "all" },
            });
            let made = owner.create_room_with(&body).await;
            for user in users.iter().filter(|user| user.id != owner.id) {
                let body = json!({ "user_id": user.id, "role": "member" });
                let path = format!("/api/rooms/{}/members", made.id);
                owner.post(&path, &body).await.ok();
            }
            rooms.push(RoomInfo {
                id: made.id,
                name,
                epoch: u64::try_from(made.epoch).expect("an epoch"),
                owner_id: owner.id.clone(),
                hides_past: room.hides_past,
            });
        }
        let clients = plan.clients.iter().map(|user| ClientInfo {
            user_id: users[*user].id.clone(),
            name: users[*user].name.clone(),
        });
        let recorder = Recorder::new(History {
            seed: plan.seed,
            clients: clients.collect(),
            rooms: rooms.clone(),
            records: Vec::new(),
        });
        Self {
            users,
            recorder,
            rooms,
        }
    }

    /// The load with its faults, and coming to rest.
    async fn play(
        &self,
        plan: &Plan,
        node: &mut Node,
        server: &TestServer,
        database: &Database,
    ) -> Vec<Violation> {
        let (address, at) = watch::channel(Some(node.address.clone()));
        let (phase, in_phase) = watch::channel(Phase::Load);
        let mut tasks = JoinSet::new();
        let mut progress = Vec::new();
        let ids: Arc<Vec<String>> = Arc::new(self.users.iter().map(|it| it.id.clone()).collect());
        let invitations = Invitations::default();
        for (no, user) in plan.clients.iter().enumerate() {
            let (told, telling) = watch::channel(Progress::default());
            progress.push(telling);
            let seat = Seat {
                no,
                user: self.users[*user].clone(),
                users: Arc::clone(&ids),
                invitations: Arc::clone(&invitations),
                rng: plan.rng(no as u64 + 1),
                recorder: self.recorder.clone(),
                address: at.clone(),
                phase: in_phase.clone(),
                progress: told,
                rooms: self
                    .rooms
                    .iter()
                    .map(|it| (it.id.clone(), it.epoch))
                    .collect(),
            };
            match plan.protocols[no] {
                Protocol::WebSocket {
                    is_packed,
                    is_deflated,
                } => match (is_packed, is_deflated) {
                    (false, false) => tasks.spawn(native::<false, false>(seat)),
                    (false, true) => tasks.spawn(native::<false, true>(seat)),
                    (true, false) => tasks.spawn(native::<true, false>(seat)),
                    (true, true) => tasks.spawn(native::<true, true>(seat)),
                },
                Protocol::Sse => tasks.spawn(Client::<Sse<false>>::new(seat).run()),
                Protocol::WholeSse => tasks.spawn(Client::<Sse<true>>::new(seat).run()),
            };
        }
        let mut nemesis = Nemesis {
            rng: plan.rng(0),
            recorder: self.recorder.clone(),
            node,
            server,
            database,
            address,
            violations: Vec::new(),
        };
        nemesis
            .run(&plan.faults, Duration::from_millis(plan.load_ms))
            .await;
        let mut violations = std::mem::take(&mut nemesis.violations);
        let rest = Rest {
            phase: &phase,
            progress: &mut progress,
            deadline: Instant::now() + SETTLE,
            recorder: &self.recorder,
        };
        violations.extend(rest.come(database).await);
        phase.send_replace(Phase::Over);
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                violations.push(Violation::new(Promise::Ends, format!("a client: {error}")));
            }
        }
        violations
    }
}

/// Coming to rest.
struct Rest<'a> {
    phase: &'a watch::Sender<Phase>,
    progress: &'a mut [watch::Receiver<Progress>],
    deadline: Instant,
    recorder: &'a Recorder,
}

impl Rest<'_> {
    async fn come(mut self, database: &Database) -> Vec<Violation> {
        self.phase.send_replace(Phase::Settle);
        let late = self.everybody(|it| it.is_settled).await;
        if !late.is_empty() {
            let stuck = |no: usize| Violation::new(Promise::Ends, "does not come to rest").of(no);
            return late.into_iter().map(stuck).collect();
        }
        let mut asking = 0;
        let mut heads = heads(database).await;
        loop {
            asking += 1;
            let asked = Phase::CatchUp(asking, Arc::new(heads.clone()));
            self.phase.send_replace(asked);
            let late = self.everybody(|it| it.caught_up >= asking).await;
            // What is still missing is said by the verdict.
            let now = self::heads(database).await;
            if !late.is_empty() || now == heads {
                self.recorder.settled();
                return Vec::new();
            }
            heads = now;
        }
    }

    /// Waits until it is so for all; gives those for whom it never was.
    async fn everybody(&mut self, is_so: impl Fn(&Progress) -> bool) -> Vec<usize> {
        let mut late = Vec::new();
        for (no, progress) in self.progress.iter_mut().enumerate() {
            let waited = timeout_at(self.deadline, progress.wait_for(&is_so)).await;
            if !matches!(waited, Ok(Ok(_))) {
                late.push(no);
            }
        }
        late
    }
}

async fn heads(database: &Database) -> BTreeMap<String, u64> {
    let rows = database
        .query("SELECT room_id::text, last_seq FROM room_heads", &[])
        .await
        .expect("the heads can be read");
    rows.iter()
        .map(|row| {
            let head = u64::try_from(row.get::<_, i64>(1)).expect("a seq");
            (row.get(0), head)
        })
        .collect()
}

/// A client of the native protocol over a socket.
async fn native<const IS_PACKED: bool, const IS_DEFLATED: bool>(seat: Seat) {
    Client::<WebSocket<IS_PACKED, IS_DEFLATED>>::new(seat)
        .run()
        .await;
}
