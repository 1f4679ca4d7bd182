//! Old events and keys go, in small steps, and whoever comes back is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

struct Scene {
    node: Node,
    database: TestDatabase,
    client: Client,
    ada: User,
    room: Room,
}

/// A node that removes what is older than a day as often as it can, and a room in it.
async fn scene(settings: &[(&str, &str)]) -> Scene {
    let database = postgres::database().await;
    let node = Node::start(options(&database, settings)).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    let client = database.connect().await;
    Scene {
        node,
        database,
        client,
        ada,
        room,
    }
}

fn options(database: &TestDatabase, settings: &[(&str, &str)]) -> NodeOptions {
    let mut options = NodeOptions::on(&database.url)
        .set("HUBBUB__HUB__ROOM_MEMORY_EVENTS", "2")
        .set("HUBBUB__RETENTION__LOG_DAYS", "1")
        .set("HUBBUB__RETENTION__EVERY_S", "1")
        .set("HUBBUB__RETENTION__STEP_ROWS", "3")
        .set("HUBBUB__RETENTION__STEP_PAUSE_MS", "1");
    for (name, value) in settings {
        options = options.set(name, value);
    }
    options
}

impl Scene {
    async fn say(&self, count: u64) {
        for n in 0..count {
            let key = uuid::Uuid::now_v7().to_string();
            let body = format!("said {n}");
            self.ada.say(&self.room.id, &body, &key).await.ok();
        }
    }

    /// Makes the events up to `seq` and all keys this old.
    async fn age(&self, seq: i64, days: i32) {
        let mut sql = "UPDATE room_events SET created_at = now() - make_interval(days => $2)
            WHERE room_id = $1::text::uuid AND seq <= $3";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&self.room.id, &days, &seq];
        self.client.execute(sql, &parameters).await.expect("aged");
        sql = "UPDATE publish_keys SET created_at = now() - make_interval(days => $2)
            WHERE room_id = $1::text::uuid";
        self.client
            .execute(sql, &parameters[..2])
            .await
            .expect("aged");
    }

    /// What is left: first and last `seq`, how many events, what the head says is the first, and
    /// how many keys and messages.
    async fn left(&self) -> [i64; 6] {
        let sql = "SELECT coalesce(min(e.seq), 0), coalesce(max(e.seq), 0), count(e.seq),
            (SELECT first_seq FROM room_heads WHERE room_id = $1::text::uuid),
            (SELECT count(*) FROM publish_keys WHERE room_id = $1::text::uuid),
            (SELECT count(*) FROM messages WHERE room_id = $1::text::uuid)
            FROM room_events AS e WHERE room_id = $1::text::uuid";
        let row = self.client.query_one(sql, &[&self.room.id]).await;
        let row = row.expect("counted");
        std::array::from_fn(|at| row.get(at))
    }

    async fn join_from(&self, since: u64) -> (Socket, Value) {
        let mut socket = Socket::connect(&self.node, &self.ada).await;
        let fields = json!({ "room": self.room.id, "since": since, "epoch": self.room.epoch });
        let joined = socket.ok("join", fields).await;
        (socket, joined)
    }
}

#[tokio::test]
async fn what_is_old_goes_and_who_comes_back_is_told() {
    let scene = scene(&[]).await;
    scene.say(20).await;
    scene.age(13, 2).await;
    eventually("the old events go", async || {
        (scene.left().await[2] == 7).then_some(())
    })
    .await;
    assert_eq!(scene.left().await, [14, 20, 7, 14, 20, 20]);
    let removed = "retention_rows_removed_total{table=\"room_events\"}";
    assert_eq!(scene.node.metric(removed).await, 13);

    let (mut socket, joined) = scene.join_from(4).await;
    let gap = json!({ "from": 5, "to": 13, "reason": "retention" });
    assert_eq!(joined["gap"], gap);
    assert_eq!(joined["replayed"], 7);
    for seq in 14..=20 {
        assert_eq!(socket.push("message").await["seq"], seq);
    }
    for since in [13, 16] {
        let (mut socket, joined) = scene.join_from(since).await;
        assert!(joined.get("gap").is_none(), "{joined}");
        assert_eq!(socket.push("message").await["seq"], since + 1);
    }
    // A floor above or below what is gone: one gap, with the later reason.
    for (floor, to, reason) in [(16_i64, 16, "history"), (8, 13, "retention")] {
        let sql = "UPDATE room_members SET history_floor = $1";
        scene.client.execute(sql, &[&floor]).await.expect("set");
        let (mut socket, joined) = scene.join_from(4).await;
        let gap = json!({ "from": 5, "to": to, "reason": reason });
        assert_eq!(joined["gap"], gap);
        assert_eq!(socket.push("message").await["seq"], to + 1);
    }
    let sql = "UPDATE room_members SET history_floor = 0";
    scene.client.execute(sql, &[]).await.expect("set");
    // What was said stays, and so do the keys.
    assert_eq!(scene.ada.history(&scene.room.id).await.len(), 20);
}

#[tokio::test]
async fn a_log_of_which_nothing_is_left_goes_on() {
    let mut scene = scene(&[]).await;
    scene.say(8).await;
    scene.age(8, 2).await;
    eventually("all events go", async || {
        (scene.left().await[2] == 0).then_some(())
    })
    .await;
    assert_eq!(scene.left().await[3], 9);
    // A node that has nothing of it in memory.
    scene.node.kill9();
    scene.node.restart().await;
    scene.ada = crate::harness::rest::login(&scene.node, "ada").await;
    let (mut socket, joined) = scene.join_from(3).await;
    let gap = json!({ "from": 4, "to": 8, "reason": "retention" });
    assert_eq!(joined["gap"], gap);
    assert_eq!(
        (&joined["replayed"], &joined["last_seq"]),
        (&json!(0), &json!(8))
    );
    let (_, joined) = scene.join_from(8).await;
    assert!(joined.get("gap").is_none(), "{joined}");
    scene.say(1).await;
    assert_eq!(socket.push("message").await["seq"], 9);
}

#[tokio::test]
async fn keys_have_a_time_of_their_own() {
    let scene = scene(&[("HUBBUB__RETENTION__LOG_DAYS", "0")]).await;
    let room = &scene.room.id;
    let first = scene.ada.say(room, "kept", "kept").await.json();
    scene.age(100, 13).await;
    let runs = "retention_last_run_timestamp_seconds";
    let before = scene.node.metric(runs).await;
    eventually("another run", async || {
        (scene.node.metric(runs).await > before + 1).then_some(())
    })
    .await;
    let again = scene.ada.say(room, "kept", "kept").await.json();
    assert_eq!((&again["seq"], &again["id"]), (&first["seq"], &first["id"]));
    scene.age(100, 15).await;
    eventually("the keys go", async || {
        (scene.left().await[4] == 0).then_some(())
    })
    .await;
    // The log stays, for ever.
    assert_eq!(scene.left().await[2], 1);
}

/// Two nodes remove at once while somebody publishes and somebody reads: all acks come, nothing is
/// removed that is not old, and what is left is dense.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_go_on_beside_it_and_so_does_another_node() {
    let scene = scene(&[]).await;
    let second = Node::start(options(&scene.database, &[("HUBBUB__NODE__ID", "second")])).await;
    scene.say(1).await;
    let sql = "INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at)
        SELECT room_id, n, 1, n, gen_random_uuid(), user_id, data, now() - interval '2 days'
        FROM room_events, generate_series(2, 3000) AS n WHERE seq = 1";
    scene.client.execute(sql, &[]).await.expect("inserted");
    let sql = "UPDATE room_heads SET last_seq = 3000, last_msg_no = 3000";
    scene.client.execute(sql, &[]).await.expect("moved");
    scene.age(3000, 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (stop, ada, room) = (Arc::clone(&stop), scene.ada.clone(), scene.room.id.clone());
        let address = scene.node.address.clone();
        tokio::spawn(async move {
            let mut socket = Socket::connect_to(&address, &ada).await;
            let (mut count, mut slowest) = (0, std::time::Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let begun = std::time::Instant::now();
                socket.publish(&room, "beside", &count.to_string()).await;
                slowest = slowest.max(begun.elapsed());
                count += 1;
            }
            (count, slowest)
        })
    };
    eventually("the old events go", async || {
        (scene.left().await[0] == 3001).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let (count, slowest) = publishing.await.expect("undisturbed");
    println!("{count} acks beside the removal, the slowest after {slowest:?}");
    let [first, last, events, head_first, _, _] = scene.left().await;
    assert_eq!((first, head_first), (3001, 3001));
    assert_eq!((last, events), (3000 + count, count));
    assert!(count > 10, "{count} acks");
    drop(second);
}
