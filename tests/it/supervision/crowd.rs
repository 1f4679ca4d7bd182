//! People who talk in a room all the time, and what each of them is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Room, User, http, register, send, text};
use crate::harness::socket::{End, Ended, Socket, refusal};
use crate::harness::{DEADLINE, eventually};

/// A node with a room, and people who are members of it.
pub(super) struct Scene {
    pub(super) node: Arc<Node>,
    pub(super) database: TestDatabase,
    pub(super) users: Vec<User>,
    pub(super) room: Room,
}

/// A node's settings for these tests: as many panics as a test likes, and short pauses between.
pub(super) fn options(database: &TestDatabase) -> NodeOptions {
    NodeOptions::on(&database.url)
        .set("HUBBUB__HUB__RESTART_MAX", "1000")
        .set("HUBBUB__HUB__RESTART_WINDOW_S", "1")
}

impl Scene {
    pub(super) async fn new(users: usize) -> Self {
        Self::with(users, |options| options).await
    }

    pub(super) async fn with(users: usize, set: impl FnOnce(NodeOptions) -> NodeOptions) -> Self {
        let database = postgres::database().await;
        let node = Node::start(set(options(&database))).await;
        let owner = register(&node, "user0").await;
        let room = owner.create_room("general").await;
        let mut all = vec![owner];
        for n in 1..users {
            let user = register(&node, &format!("user{n}")).await;
            user.join_room(&room).await;
            all.push(user);
        }
        Self {
            node: Arc::new(node),
            database,
            users: all,
            room,
        }
    }

    /// A connection of a user that has joined the room.
    pub(super) async fn joined(&self, user: usize) -> Socket {
        let mut socket = Socket::connect(&self.node, &self.users[user]).await;
        socket.join(&self.room.id).await;
        socket
    }

    /// A counter or gauge of the node; 0 if it has not been used.
    pub(super) async fn metric(&self, name: &str) -> u64 {
        let page = send(http().get(self.node.url("/metrics"))).await.text;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.trim().parse().expect("a whole number"))
    }

    /// How many actors of a kind have panicked.
    pub(super) async fn downs(&self, kind: &str) -> u64 {
        let name = format!("hub_actors_down_total{{kind=\"{kind}\"}}");
        self.metric(&name).await
    }

    /// Waits until so many actors of a kind have panicked.
    pub(super) async fn down(&self, kind: &str, count: u64) {
        eventually(&format!("{count} panics of kind {kind}"), async || {
            (self.downs(kind).await >= count).then_some(())
        })
        .await;
    }

    /// The room's last event.
    pub(super) async fn head(&self) -> u64 {
        let client = self.database.connect().await;
        let id: uuid::Uuid = self.room.id.parse().expect("an id");
        let row = client
            .query_one("SELECT last_seq FROM room_heads WHERE room_id = $1", &[&id])
            .await
            .expect("the room has a head");
        u64::try_from(row.get::<_, i64>(0)).expect("not below zero")
    }

    /// Everybody talks from now on.
    pub(super) async fn talk(&self) -> Talk {
        let counters = Arc::new(Counters::default());
        let mut tasks = JoinSet::new();
        for user in &self.users {
            let mut member = Member {
                node: Arc::clone(&self.node),
                user: user.clone(),
                room: self.room.id.clone(),
                socket: Socket::connect(&self.node, user).await,
                epoch: 0,
                seen: 0,
                told: BTreeMap::new(),
                acks: BTreeMap::new(),
                ends: Vec::new(),
                gaps: Vec::new(),
            };
            let joined = member.socket.join(&self.room.id).await;
            member.epoch = joined["epoch"].as_u64().expect("an epoch");
            member.seen = joined["last_seq"].as_u64().expect("a seq");
            let counters = Arc::clone(&counters);
            tasks.spawn(async move {
                member.talk(&counters).await;
                member
            });
        }
        Talk { tasks, counters }
    }
}

#[derive(Default)]
struct Counters {
    acks: AtomicUsize,
    is_over: AtomicBool,
}

/// People talking.
pub(super) struct Talk {
    tasks: JoinSet<Member>,
    counters: Arc<Counters>,
}

impl Talk {
    /// Waits until so many more messages have been acknowledged.
    pub(super) async fn goes_on(&self, acks: usize) {
        let enough = self.counters.acks.load(Ordering::SeqCst) + acks;
        eventually("messages are acknowledged", async || {
            (self.counters.acks.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
    }

    /// Lets everybody finish, and asserts that each was told every event after their join in
    /// order and once, the same for all, and that what was acknowledged is among it. Gives the
    /// ends of connections that there were.
    pub(super) async fn check(self, scene: &Scene) -> Vec<End> {
        self.counters.is_over.store(true, Ordering::SeqCst);
        let ended = tokio::time::timeout(DEADLINE, self.tasks.join_all()).await;
        let mut members = ended.expect("everybody gets an ack for the last message");
        let head = scene.head().await;
        let mut log: BTreeMap<u64, String> = BTreeMap::new();
        for member in &mut members {
            member.read_to(head).await;
            for (seq, id) in &member.told {
                let known = log.entry(*seq).or_insert_with(|| id.clone());
                assert_eq!(known, id, "the same at {seq} for all");
            }
        }
        for member in &members {
            assert!(member.gaps.is_empty(), "{:?}", member.gaps);
            for (seq, id) in &member.acks {
                assert_eq!(log.get(seq), Some(id), "acknowledged at {seq}");
            }
        }
        members.into_iter().flat_map(|it| it.ends).collect()
    }
}

/// Sends a command again and again until its reply is as wanted.
pub(super) async fn until<T>(
    what: &str,
    socket: &mut Socket,
    (cmd, fields): (&str, Value),
    mut wanted: impl FnMut(&Value) -> Option<T>,
) -> T {
    eventually(what, async || {
        let reply = socket.request(cmd, fields.clone()).await;
        wanted(&reply)
    })
    .await
}

/// One who talks.
struct Member {
    node: Arc<Node>,
    user: User,
    room: String,
    socket: Socket,
    epoch: u64,
    /// The last event.
    seen: u64,
    /// The ids of the events by their place.
    told: BTreeMap<u64, String>,
    /// The same of those that were acknowledged.
    acks: BTreeMap<u64, String>,
    ends: Vec<End>,
    gaps: Vec<Value>,
}

impl Member {
    async fn talk(&mut self, counters: &Counters) {
        let mut n = 0;
        while !counters.is_over.load(Ordering::SeqCst) {
            n += 1;
            self.publish(n).await;
            counters.acks.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Publishes until it is acknowledged, with the same key.
    async fn publish(&mut self, n: usize) {
        let fields = json!({
            "room": self.room, "body": format!("{n}"), "client_id": format!("{n}"),
        });
        loop {
            let reply = self.socket.try_request("publish", fields.clone()).await;
            self.take_pushes();
            match reply {
                Ok(reply) => match refusal(&reply) {
                    None => {
                        let seq = reply["ok"]["seq"].as_u64().expect("a seq");
                        self.acks.insert(seq, text(&reply["ok"]["id"]));
                        return;
                    }
                    Some(error) => {
                        assert_eq!(error["retry"], true, "{error}");
                        // As a client does: not at once again.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
                Err(Ended(end)) => self.reconnect(end).await,
            }
        }
    }

    /// Every event must be the next one.
    fn take_pushes(&mut self) {
        for push in self.socket.take_pushes() {
            let Some(seq) = push["seq"].as_u64() else {
                continue;
            };
            assert_eq!(seq, self.seen + 1, "{} is told {push}", self.user.name);
            self.seen = seq;
            self.told.insert(seq, text(&push["id"]));
        }
    }

    async fn reconnect(&mut self, end: End) {
        self.take_pushes();
        self.ends.push(end);
        self.socket = Socket::connect(&self.node, &self.user).await;
        let fields = json!({ "room": self.room, "since": self.seen, "epoch": self.epoch });
        loop {
            let reply = match self.socket.try_request("join", fields.clone()).await {
                Ok(reply) => reply,
                Err(Ended(end)) => {
                    self.ends.push(end);
                    self.socket = Socket::connect(&self.node, &self.user).await;
                    continue;
                }
            };
            match refusal(&reply) {
                None => {
                    self.gaps.extend(reply["ok"].get("gap").cloned());
                    return;
                }
                Some(error) => assert_eq!(error["retry"], true, "{error}"),
            }
        }
    }

    /// Reads until there is nothing more to be told.
    async fn read_to(&mut self, head: u64) {
        let reading = async {
            while self.seen < head {
                if let Some(end) = self.socket.read_for(Duration::from_millis(20)).await {
                    self.reconnect(end).await;
                }
                self.take_pushes();
            }
        };
        let read = tokio::time::timeout(DEADLINE, reading).await;
        let (name, seen) = (&self.user.name, self.seen);
        assert!(read.is_ok(), "{name} was told up to {seen} of {head}");
        if let Ok(reply) = self.socket.try_request("ping", json!({})).await {
            assert!(refusal(&reply).is_none(), "{reply}");
        }
        self.take_pushes();
        assert_eq!(self.seen, head, "nothing beyond the head");
    }
}
