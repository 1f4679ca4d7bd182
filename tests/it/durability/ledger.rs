//! Concurrent publishers who write down what was acknowledged, and the check against what is
//! stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::{Socket, refusal};

/// A publish as its sender remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) user_id: String,
    pub(super) room_id: String,
    pub(super) client_id: String,
    /// The ack; none as long as there is none.
    pub(super) ack: Option<Ack>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    seq: i64,
    msg_no: i64,
    id: String,
}

/// People and rooms; everybody is a member of every room.
pub(super) struct Crowd {
    pub(super) users: Vec<User>,
    pub(super) rooms: Vec<Room>,
}

impl Crowd {
    pub(super) async fn gather(node: &Node, users: usize, rooms: usize) -> Self {
        let mut crowd = Self {
            users: Vec::new(),
            rooms: Vec::new(),
        };
        for n in 0..users {
            crowd.users.push(register(node, &format!("user{n}")).await);
        }
        for n in 0..rooms {
            let room = crowd.users[0].create_room(&format!("room{n}")).await;
            for user in &crowd.users[1..] {
                user.join_room(&room).await;
            }
            crowd.rooms.push(room);
        }
        crowd
    }

    /// Everybody publishes, one message after the other, in turn to each room, under keys that
    /// begin with `round`. It goes on until the connection or a publish fails, or
    /// [`Publishing::stop`].
    pub(super) async fn publish(&self, node: &Node, round: &str) -> Publishing {
        let counters = Arc::new(Counters::default());
        let mut tasks = JoinSet::new();
        for user in &self.users {
            let socket = Socket::connect(node, user).await;
            let rooms = self.rooms.iter().map(|room| room.id.clone()).collect();
            let (user_id, round) = (user.id.clone(), round.to_owned());
            tasks.spawn(publish(socket, user_id, rooms, round, counters.clone()));
        }
        Publishing { tasks, counters }
    }

    /// Publishes in every room until it is acknowledged there: then Postgres is back for all.
    pub(super) async fn wake(&self, node: &Node, key: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self
            .rooms
            .iter()
            .map(|room| Entry {
                user_id: self.users[0].id.clone(),
                room_id: room.id.clone(),
                client_id: key.to_owned(),
                ack: None,
            })
            .collect();
        self.finish(node, &mut entries).await;
        entries
    }

    /// Sends what was not acknowledged once more, with the keys of then, until it is.
    pub(super) async fn finish(&self, node: &Node, entries: &mut [Entry]) {
        let mut sockets = HashMap::new();
        for user in &self.users {
            let authorization = format!("Bearer {}", user.token);
            // While Postgres is away, so may be the proof of who this is.
            let socket = eventually("the handshake is accepted", async || {
                let headers = [("authorization", authorization.as_str())];
                Socket::open(node, "/ws", &headers).await.ok()
            })
            .await;
            sockets.insert(user.id.clone(), tokio::sync::Mutex::new(socket));
        }
        for entry in entries.iter_mut().filter(|entry| entry.ack.is_none()) {
            let socket = &sockets[&entry.user_id];
            let ack = eventually("the publish is acknowledged", async || {
                let mut socket = socket.lock().await;
                let reply = socket.request("publish", fields(entry)).await;
                match refusal(&reply) {
                    None => Some(ack(&reply["ok"])),
                    Some(error) => {
                        assert_eq!(error["retry"], true, "{error}");
                        None
                    }
                }
            })
            .await;
            entry.ack = Some(ack);
        }
    }
}

#[derive(Default)]
struct Counters {
    acks: AtomicU64,
    stopping: std::sync::atomic::AtomicBool,
    changed: Notify,
}

/// Publishers at work.
pub(super) struct Publishing {
    tasks: JoinSet<(Vec<Entry>, Option<Value>)>,
    counters: Arc<Counters>,
}

impl Publishing {
    /// Waits until there are so many acks.
    pub(super) async fn acknowledged(&self, acks: u64) {
        let enough = async {
            loop {
                let changed = self.counters.changed.notified();
                if self.counters.acks.load(Ordering::SeqCst) >= acks {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(crate::harness::DEADLINE, enough)
            .await
            .expect("publishes are acknowledged");
    }

    /// Lets everybody finish the publish that is under way, and no more.
    pub(super) async fn stop(self) -> Outcome {
        self.counters.stopping.store(true, Ordering::SeqCst);
        self.ended().await
    }

    /// Waits until everybody has stopped.
    pub(super) async fn ended(self) -> Outcome {
        let results = tokio::time::timeout(crate::harness::DEADLINE, self.tasks.join_all()).await;
        let mut outcome = Outcome::default();
        for (entries, error) in results.expect("the publishers end") {
            outcome.entries.extend(entries);
            outcome.errors.extend(error);
        }
        outcome
    }
}

/// What the publishers know in the end.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) entries: Vec<Entry>,
    /// The refusals that stopped publishers; those whose connection ended have none.
    pub(super) errors: Vec<Value>,
}

async fn publish(
    mut socket: Socket,
    user_id: String,
    rooms: Vec<String>,
    round: String,
    counters: Arc<Counters>,
) -> (Vec<Entry>, Option<Value>) {
    let mut entries = Vec::new();
    for (n, room_id) in rooms.iter().cycle().enumerate() {
        if counters.stopping.load(Ordering::SeqCst) {
            break;
        }
        entries.push(Entry {
            user_id: user_id.clone(),
            room_id: room_id.clone(),
            client_id: format!("{round}-{n}"),
            ack: None,
        });
        let entry = entries.last_mut().expect("just pushed");
        let Ok(reply) = socket.try_request("publish", fields(entry)).await else {
            break;
        };
        if let Some(error) = refusal(&reply) {
            return (entries, Some(error));
        }
        entry.ack = Some(ack(&reply["ok"]));
        counters.acks.fetch_add(1, Ordering::SeqCst);
        counters.changed.notify_waiters();
    }
    (entries, None)
}

pub(super) fn fields(entry: &Entry) -> Value {
    json!({
        "room": entry.room_id,
        "body": format!("{} of {}", entry.client_id, entry.user_id),
        "client_id": entry.client_id,
    })
}

fn ack(ok: &Value) -> Ack {
    Ack {
        seq: ok["seq"].as_i64().expect("a seq"),
        msg_no: ok["msg_no"].as_i64().expect("a msg_no"),
        id: ok["id"].as_str().expect("an id").to_owned(),
    }
}

/// Asserts that each acknowledged publish is stored exactly once, under the numbers that the ack
/// told; that nothing is stored twice or unasked; and that the logs have no holes.
pub(super) async fn verify(client: &Client, entries: &[Entry]) {
    let rows = client
        .query(
            "SELECT room_id::text, user_id::text, client_id, seq, msg_no, id::text, body
             FROM messages ORDER BY room_id, seq",
            &[],
        )
        .await
        .expect("messages can be read");
    let mut stored: BTreeMap<(String, String, String), Ack> = BTreeMap::new();
    for row in rows {
        let (room, user, key): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(row.get::<_, String>(6), format!("{key} of {user}"));
        let ack = Ack {
            seq: row.get(3),
            msg_no: row.get(4),
            id: row.get(5),
        };
        let twice = stored.insert((room, user, key), ack);
        assert_eq!(twice, None, "stored twice");
    }
    for entry in entries {
        let key = (
            entry.room_id.clone(),
            entry.user_id.clone(),
            entry.client_id.clone(),
        );
        let found = stored.remove(&key);
        if let Some(ack) = &entry.ack {
            assert_eq!(found.as_ref(), Some(ack), "acknowledged: {entry:?}");
        }
    }
    assert!(stored.is_empty(), "nobody published these: {stored:?}");
    verify_dense(client).await;
}

/// Asserts that `seq` and `msg_no` are dense from 1 to the head in every room, and that messages,
/// events and keys tell the same story.
async fn verify_dense(client: &Client) {
    let rows = client
        .query(
            "SELECT h.room_id::text, h.last_seq, h.last_msg_no,
                    (SELECT coalesce(array_agg(seq ORDER BY seq), '{}')
                       FROM room_events e WHERE e.room_id = h.room_id),
                    (SELECT coalesce(array_agg(msg_no ORDER BY seq), '{}')
                       FROM room_events e WHERE e.room_id = h.room_id AND msg_no IS NOT NULL),
                    (SELECT count(*) FROM room_events e JOIN messages m
                       USING (room_id, seq, msg_no, id, user_id) WHERE e.room_id = h.room_id),
                    (SELECT count(*) FROM publish_keys k JOIN messages m
                       USING (room_id, seq, msg_no, id, user_id, client_id)
                       WHERE k.room_id = h.room_id)
             FROM room_heads h",
            &[],
        )
        .await
        .expect("the logs can be read");
    assert!(!rows.is_empty(), "there are rooms");
    for row in rows {
        let room: String = row.get(0);
        let (last_seq, last_msg_no): (i64, i64) = (row.get(1), row.get(2));
        let dense = |numbers: Vec<i64>, last: i64| numbers == (1..=last).collect::<Vec<_>>();
        assert!(
            dense(row.get(3), last_seq),
            "seq of {room} up to {last_seq}"
        );
        assert!(dense(row.get(4), last_msg_no), "msg_no of {room}");
        assert_eq!(row.get::<_, i64>(5), last_msg_no, "messages of {room}");
        assert_eq!(row.get::<_, i64>(6), last_msg_no, "keys of {room}");
    }
}

/// Asserts that the history over REST is what the ledger says.
pub(super) async fn verify_history(crowd: &Crowd, node: &Node, entries: &[Entry]) {
    let reader = crowd.users[0].at(node);
    for room in &crowd.rooms {
        let history = reader.history(&room.id).await;
        let told: BTreeMap<i64, String> = history
            .iter()
            .map(|message| {
                let seq = message["seq"].as_i64().expect("a seq");
                (seq, message["id"].as_str().expect("an id").to_owned())
            })
            .collect();
        assert_eq!(told.len(), history.len(), "no seq twice");
        for entry in entries.iter().filter(|entry| entry.room_id == room.id) {
            if let Some(ack) = &entry.ack {
                assert_eq!(told.get(&ack.seq), Some(&ack.id), "{entry:?}");
            }
        }
    }
}
