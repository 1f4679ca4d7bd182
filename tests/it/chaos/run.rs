//! A run: from its plan to its verdict.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::bus::Bus;
use super::client::{Client, Invitations, Phase, Progress, Seat};
use super::cluster::{Cluster, Postgres};
use super::driver::{SocketIo, Sse, WebSocket};
use super::figures::Figures;
use super::history::{ClientInfo, History, Recorder, RoomInfo};
use super::nemesis::Nemesis;
use super::patience::Patience;
use super::plan::{Plan, Protocol};
use super::probes::Probes;
use super::rest::Rest;
use super::verdict::{self, Case, Promise, Violation};
use super::{scene, stored, timeline};
use crate::harness::rest::User;

/// Events that must be acknowledged in a run.
const ACKS_MIN: u64 = 100;

/// How much longer clients may take for that.
const MORE: Duration = Duration::from_secs(10);

/// What came of a run.
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) figures: Figures,
    pub(super) violations: Vec<Violation>,
    /// The first of them, in a line each.
    pub(super) headlines: Vec<String>,
    /// What to show of them.
    pub(super) story: String,
}

/// Something that goes wrong within a node for the whole run: a fail point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrong {
    /// None: in every node.
    pub(super) node: Option<usize>,
    pub(super) point: &'static str,
    pub(super) actions: &'static str,
}

/// How many violations are told in a line each.
const HEADLINES: usize = 3;

/// Runs a plan on a server; what is `wrong` is so from before the first step on.
pub(super) async fn run(plan: &Plan, server: &Postgres, bus: Bus, wrong: &[Wrong]) -> Outcome {
    let database = server.lock().await.database().await;
    let recorder = Recorder::new(History {
        seed: plan.seed,
        strikes: plan.strikes.iter().map(|it| it.fault.name()).collect(),
        acks_min: ACKS_MIN,
        nodes: plan.nodes,
        ..History::default()
    });
    let cluster = Cluster::start(plan, &database, server, bus, recorder.clone()).await;
    let scene = Scene::set(plan, &cluster, recorder).await;
    for member in cluster.members() {
        let place = cluster.node(member.number).await;
        let here = |it: &&Wrong| it.node.is_none_or(|node| node == member.number);
        for Wrong { point, actions, .. } in wrong.iter().filter(here) {
            place.as_ref().expect("it runs").fault(point, actions).await;
        }
    }
    let cluster = Arc::new(cluster);
    let nemesis = Nemesis {
        recorder: scene.recorder.clone(),
        cluster: Arc::clone(&cluster),
        server: Arc::clone(server),
        database_url: database.url.clone(),
        somebody: scene.somebody.clone(),
    };
    let violations = scene.play(plan, &nemesis).await;
    let history = scene.recorder.history();
    let stored = stored::read(&database.connect().await).await;
    let case = Case::new(&history, &stored);
    let mut all = violations;
    all.extend(verdict::all(&case));
    Outcome {
        seed: plan.seed,
        figures: Figures::of(&history, &stored, plan),
        headlines: (all.iter().take(HEADLINES))
            .map(|violation| timeline::headline(&history, violation))
            .collect(),
        story: timeline::story(&history, &all, &cluster.logs()),
        violations: all,
    }
}

/// Who is there.
struct Scene {
    users: Vec<User>,
    /// Who has nothing to do with all that.
    somebody: User,
    recorder: Recorder,
    rooms: Vec<RoomInfo>,
}

impl Scene {
    async fn set(plan: &Plan, cluster: &Cluster, recorder: Recorder) -> Self {
        let node = cluster.node(0).await;
        let node = node.as_ref().expect("it runs");
        let mut users = Vec::new();
        for number in 0..plan.users {
            users.push(scene::user(node, &format!("user{number}")).await);
        }
        let somebody = scene::user(node, "somebody").await;
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
            let made = scene::room(owner, &body).await;
            for user in users.iter().filter(|user| user.id != owner.id) {
                let body = json!({ "user_id": user.id, "role": "member" });
                scene::member(owner, &made, &body).await;
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
        recorder.begin(clients.collect(), rooms.clone());
        Self {
            users,
            somebody,
            recorder,
            rooms,
        }
    }

    /// The load with its faults, and coming to rest.
    async fn play(&self, plan: &Plan, nemesis: &Nemesis) -> Vec<Violation> {
        let (phase, in_phase) = watch::channel(Phase::Load);
        let mut tasks = JoinSet::new();
        let mut progress = Vec::new();
        let ids: Arc<Vec<String>> = Arc::new(self.users.iter().map(|it| it.id.clone()).collect());
        let invitations = Invitations::default();
        let nginx = match nemesis.cluster.nginx() {
            Some(nginx) => Some(nginx.lock().await.address.clone()),
            None => None,
        };
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
                addresses: nemesis.cluster.addresses(),
                entrance: plan.entrances[no],
                nginx: nginx.clone(),
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
                Protocol::SocketIo { is_polling: false } => {
                    tasks.spawn(Client::<SocketIo<false>>::new(seat).run())
                }
                Protocol::SocketIo { is_polling: true } => {
                    tasks.spawn(Client::<SocketIo<true>>::new(seat).run())
                }
                Protocol::Sse => tasks.spawn(Client::<Sse<false>>::new(seat).run()),
                Protocol::WholeSse => tasks.spawn(Client::<Sse<true>>::new(seat).run()),
            };
        }
        let began = Instant::now();
        let mut violations = nemesis.run(plan).await;
        sleep_until(began + Duration::from_millis(plan.load_ms)).await;
        // Whatever was broken, enough must have been done.
        let enough = async {
            while self.recorder.acks() < ACKS_MIN {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // If not, the verdict says so.
        let _ = Patience::of(MORE).wait_for(enough).await;
        self.recorder.mended();
        let rest = Rest {
            phase: &phase,
            progress: &mut progress,
            patience: Patience::of(plan.patience),
            recorder: &self.recorder,
            plan,
            nemesis,
            users: &self.users,
            probes: Probes::default(),
            asked_who: 0,
        };
        violations.extend(rest.come().await);
        phase.send_replace(Phase::Over);
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                violations.push(Violation::new(Promise::Ends, format!("a client: {error}")));
            }
        }
        violations
    }
}

/// A client of the native protocol over a socket.
async fn native<const IS_PACKED: bool, const IS_DEFLATED: bool>(seat: Seat) {
    Client::<WebSocket<IS_PACKED, IS_DEFLATED>>::new(seat)
        .run()
        .await;
}
