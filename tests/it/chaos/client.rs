//! A client: it takes random steps, remembers its positions, resumes, and sends again what was
//! not acknowledged.

mod comeback;
mod hearing;
mod moderation;
mod rest;
mod steps;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::cluster::Addresses;
use super::driver::Driver;
use super::history::{ClientNo, Recorder, What};
use super::outbox::Outbox;
use super::plan::{Entrance, Step};
use crate::harness::rest::User;
use comeback::Resuming;

/// Messages that a client remembers of a room, to edit them and the like.
const REMEMBERED: usize = 12;

/// What everybody is about.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Random steps.
    Load,
    /// Come back, join everywhere, send what is not acknowledged.
    Settle,
    /// This one says something in each of its rooms; the others do nothing but come back.
    LastWords(ClientNo),
    /// Find out who is present in each room. The number counts the askings.
    Who(u64),
    /// Some break off or leave, and everybody comes back.
    Stir,
    /// Have everything up to these heads. The number counts the askings.
    CatchUp(u64, Arc<BTreeMap<String, u64>>),
    Over,
}

/// What a client has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) is_settled: bool,
    /// The last asking of [`Phase::CatchUp`] that it fulfils.
    pub(super) caught_up: u64,
    pub(super) is_in_a_room: bool,
    /// It has said its last words, and they were answered.
    pub(super) has_spoken: bool,
    /// The last asking of [`Phase::Who`] that was answered.
    pub(super) knows_who: u64,
    /// How often it is back after [`Phase::Stir`].
    pub(super) returns: u64,
}

pub(super) struct Client<D> {
    no: ClientNo,
    user: User,
    /// Everybody's ids, to add and remove them.
    users: Arc<Vec<String>>,
    invitations: Invitations,
    rng: StdRng,
    recorder: Recorder,
    addresses: watch::Receiver<Addresses>,
    entrance: Entrance,
    /// Where nginx is, for those who come through it.
    nginx: Option<String>,
    phase: watch::Receiver<Phase>,
    progress: watch::Sender<Progress>,
    has_begun_to_speak: bool,
    has_begun_to_stir: bool,
    /// The last asking of [`Phase::Who`] that it has passed on.
    asked_who: u64,
    driver: Option<D>,
    connection: u32,
    rooms: Vec<InRoom>,
    /// Commands under way on the connection.
    pending: HashMap<u64, Pending>,
    /// Those of them that are a `resume`, in their order.
    resuming: VecDeque<Resuming>,
    /// The last cursor that the hub gave.
    cursor: Option<String>,
    next_key: u64,
    /// Connections in a row on which nothing was told.
    failures: u32,
    /// When it sends again, after something was refused for now.
    sends_at: Instant,
    http: reqwest::Client,
}

/// A client in a room.
#[derive(Debug)]
struct InRoom {
    id: String,
    epoch: u64,
    /// The last event that it has; none before it first joined.
    position: Option<u64>,
    /// How far the last join has come, which may have begun before the position.
    told: Option<u64>,
    joined: Joined,
    outbox: Outbox,
    messages: VecDeque<Known>,
}

/// A command under way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    cmd: &'static str,
    /// The room's place.
    place: usize,
    /// For a join: the position that it showed.
    since: Option<u64>,
}

#[derive(Debug)]
struct Known {
    id: String,
    msg_no: u64,
    is_own: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joined {
    No,
    Asked,
    Yes,
    /// Refused for good: no member.
    Never,
}

/// Tokens that somebody was given, with the places of their rooms.
pub(super) type Invitations = Arc<Mutex<Vec<(usize, String)>>>;

/// What a client is made of.
pub(super) struct Seat {
    pub(super) no: ClientNo,
    pub(super) user: User,
    pub(super) users: Arc<Vec<String>>,
    pub(super) invitations: Invitations,
    pub(super) rng: StdRng,
    pub(super) recorder: Recorder,
    pub(super) addresses: watch::Receiver<Addresses>,
    pub(super) entrance: Entrance,
    /// Where nginx is, if it is there.
    pub(super) nginx: Option<String>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) progress: watch::Sender<Progress>,
    /// Ids and epochs.
    pub(super) rooms: Vec<(String, u64)>,
}

impl<D: Driver> Client<D> {
    pub(super) fn new(seat: Seat) -> Self {
        let rooms = seat.rooms.into_iter().map(|(id, epoch)| InRoom {
            id,
            epoch,
            position: None,
            told: None,
            joined: Joined::No,
            outbox: Outbox::default(),
            messages: VecDeque::new(),
        });
        Self {
            no: seat.no,
            user: seat.user,
            users: seat.users,
            invitations: seat.invitations,
            rng: seat.rng,
            recorder: seat.recorder,
            addresses: seat.addresses,
            entrance: seat.entrance,
            nginx: seat.nginx.filter(|_| seat.entrance == Entrance::Nginx),
            phase: seat.phase,
            progress: seat.progress,
            has_begun_to_speak: false,
            has_begun_to_stir: false,
            asked_who: 0,
            driver: None,
            connection: 0,
            rooms: rooms.collect(),
            pending: HashMap::new(),
            resuming: VecDeque::new(),
            cursor: None,
            next_key: 0,
            failures: 0,
            sends_at: Instant::now(),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(3))
                .build()
                .expect("a client can be built"),
        }
    }

    /// Goes on until the run is over.
    pub(super) async fn run(mut self) {
        // For which asking it was tried to join everywhere; 0 is coming to rest.
        let mut looked = None;
        loop {
            let phase = self.phase.borrow().clone();
            match phase {
                Phase::Over => return,
                Phase::Load => self.act().await,
                Phase::LastWords(_) => self.settle(&phase).await,
                Phase::Who(asking) => self.find_out_who(&phase, asking).await,
                Phase::Stir => self.stir(&phase).await,
                Phase::Settle | Phase::CatchUp(..) => {
                    let asking = match &phase {
                        Phase::CatchUp(asking, _) => *asking,
                        _ => 0,
                    };
                    // Who was no member then may have become one: others may have been a moment
                    // slower in coming to rest.
                    if looked.replace(asking) != Some(asking) {
                        for room in &mut self.rooms {
                            if room.joined == Joined::Never {
                                room.joined = Joined::No;
                            }
                        }
                    }
                    self.settle(&phase).await;
                }
            }
        }
    }

    /// One random step, and reading for a while.
    async fn act(&mut self) {
        if self.driver.is_none() && !self.connect().await {
            return;
        }
        let step = Step::random(&mut self.rng);
        self.step(step).await;
        self.send_waiting().await;
        let pause = self.rng.random_range(0..25);
        self.read_for(Duration::from_millis(pause)).await;
    }

    /// Tries to connect, after a moment.
    async fn connect(&mut self) -> bool {
        // As the protocol asks: longer after every failure.
        let longest = 40 << self.failures.min(4);
        let pause = self.rng.random_range(0..longest);
        sleep(Duration::from_millis(pause)).await;
        self.failures += 1;
        let home = match self.entrance {
            Entrance::Node(home) => Some(home),
            Entrance::Any | Entrance::Nginx => None,
        };
        let Some((node, address)) = self.a_node(home) else {
            return false;
        };
        match D::connect(&address, &self.user).await {
            Ok(driver) => {
                self.driver = Some(driver);
                self.connection += 1;
                let protocol = D::PROTOCOL;
                self.record(What::Connected { protocol, node });
                let mut away: Vec<usize> = (0..self.rooms.len()).collect();
                // Now and then a room is left aside for a while.
                away.retain(|_| self.rng.random_bool(0.9));
                away.retain(|place| self.rooms[*place].joined == Joined::No);
                if D::IS_WHOLE {
                    self.open().await;
                }
                self.come_back(away).await;
                true
            }
            Err(_) => false,
        }
    }

    /// A node that is there: this one, any, or whichever nginx takes.
    fn a_node(&mut self, home: Option<usize>) -> Option<(Option<usize>, String)> {
        if let Some(nginx) = &self.nginx {
            return Some((None, nginx.clone()));
        }
        let addresses = Arc::clone(&self.addresses.borrow());
        let there = addresses.iter().enumerate().filter_map(|(node, address)| {
            let is_meant = home.is_none_or(|home| home == node);
            Some((Some(node), address.clone().filter(|_| is_meant)?))
        });
        let there: Vec<_> = there.collect();
        let pick = self.rng.random_range(0..there.len().max(1));
        there.into_iter().nth(pick)
    }

    /// Joins a room on the connection.
    async fn join(&mut self, place: usize, since: Option<u64>) {
        if !D::speaks("join") {
            return;
        }
        let room = &mut self.rooms[place];
        room.joined = Joined::Asked;
        let mut fields = json!({ "room": room.id });
        if let Some(since) = since {
            fields["since"] = since.into();
            fields["epoch"] = room.epoch.into();
        }
        self.command("join", fields, place).await;
    }

    /// Sends a command on the connection.
    async fn command(&mut self, cmd: &'static str, fields: Value, place: usize) {
        let op = self.recorder.op();
        self.command_as(op, cmd, fields, place).await;
    }

    async fn command_as(&mut self, op: u64, cmd: &'static str, fields: Value, place: usize) {
        if !D::speaks(cmd) {
            return;
        }
        let Some(mut driver) = self.driver.take() else {
            return;
        };
        let since = fields["since"].as_u64();
        let pending = Pending { cmd, place, since };
        self.pending.insert(op, pending);
        let asked = fields.clone();
        self.record(What::Asked { op, cmd, fields });
        // A node that does not read, because it waits for something, holds this up: then what it
        // sends has to be read, or both would wait for ever.
        let sent = tokio::time::timeout(Duration::from_secs(1), driver.command(op, cmd, &asked));
        if sent.await.is_ok() {
            self.driver = Some(driver);
        } else {
            drop(driver);
            self.ended("broke off: the node takes nothing".to_owned());
        }
    }

    /// Sends what waits in the outboxes.
    async fn send_waiting(&mut self) {
        if Instant::now() < self.sends_at {
            return;
        }
        for place in 0..self.rooms.len() {
            while self.driver.is_some() {
                let op = self.recorder.op();
                let Some((cmd, fields)) = self.rooms[place].outbox.send(op) else {
                    break;
                };
                self.command_as(op, cmd, fields, place).await;
            }
        }
    }

    fn record(&self, what: What) {
        self.recorder.of(self.no, self.connection, what);
    }
}
