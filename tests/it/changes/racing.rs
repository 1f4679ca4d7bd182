//! Many change the same few messages at once: what the pushes make is what a fresh page shows, for
//! those who listened and for those who come later.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::replica::Replica;
use super::scene::{about, scene, unique};
use crate::harness::rest::{Room, text};
use crate::harness::rounds;
use crate::harness::socket::Socket;

/// Applies pushes until the replica has this one.
async fn follow(socket: &mut Socket, replica: &mut Replica, to: u64) {
    while replica.last_seq() < to {
        let push = socket
            .next_push("a durable one", |push| push.get("seq").is_some())
            .await;
        replica.apply(&push);
    }
}

#[tokio::test]
async fn events_make_what_a_page_shows() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let scene = scene().await;
    let mut listener = Socket::connect(&scene.node, &scene.eve).await;
    let since = json!({ "room": scene.room.id, "since": 0 });
    listener.ok("join", since.clone()).await;
    let mut targets = Vec::new();
    for user in [&scene.ada, &scene.mo, &scene.bob] {
        for n in 0..3 {
            targets.push(scene.said(user, &format!("{n}")).await);
        }
    }
    let mut tasks = JoinSet::new();
    for (n, user) in [&scene.ada, &scene.mo, &scene.bob, &scene.eve, &scene.bob]
        .into_iter()
        .enumerate()
    {
        let random = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
        let socket = Socket::connect(&scene.node, user).await;
        tasks.spawn(change(socket, scene.room.clone(), targets.clone(), random));
    }
    let done: usize = tasks.join_all().await.into_iter().sum();
    assert!(done > 50, "something was done: {done}");

    let page = scene.ada.page("room", "?limit=1").await;
    let last = page["last_seq"].as_u64().expect("a seq");
    let mut live = Replica::default();
    follow(&mut listener, &mut live, last).await;
    let history = scene.ada.history("room").await;
    assert_eq!(live.page(), history);

    let mut late = Socket::connect(&scene.node, &scene.eve).await;
    late.ok("join", since).await;
    let mut replayed = Replica::default();
    follow(&mut late, &mut replayed, last).await;
    assert_eq!(replayed.page(), history);
    verify_tables(&scene.sql).await;
}

/// Several nodes write at once: each sees what the others did before it.
#[tokio::test]
async fn on_several_nodes_it_is_still_one_sequence() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let scene = scene().await;
    let other = scene.another_node("other").await;
    let mut targets = Vec::new();
    for user in [&scene.ada, &scene.bob] {
        for n in 0..2 {
            targets.push(scene.said(user, &format!("{n}")).await);
        }
    }
    let mut tasks = JoinSet::new();
    for (n, user) in [&scene.ada, &scene.mo, &scene.bob, &scene.bob]
        .into_iter()
        .enumerate()
    {
        for (m, node) in [&scene.node, &other].into_iter().enumerate() {
            let random = StdRng::seed_from_u64(seed.wrapping_add((2 * n + m) as u64));
            let socket = Socket::connect(node, user).await;
            tasks.spawn(change(socket, scene.room.clone(), targets.clone(), random));
        }
    }
    let done: usize = tasks.join_all().await.into_iter().sum();
    assert!(done > 50, "something was done: {done}");
    verify_tables(&scene.sql).await;

    // One that comes later has nothing but the log.
    let later = scene.another_node("later").await;
    let eve = scene.eve.at(&later);
    let history = eve.history("room").await;
    let last = eve.page("room", "?limit=1").await["last_seq"].clone();
    let mut socket = Socket::connect(&later, &eve).await;
    let since = json!({ "room": scene.room.id, "since": 0 });
    socket.ok("join", since).await;
    let mut replica = Replica::default();
    follow(&mut socket, &mut replica, last.as_u64().expect("a seq")).await;
    assert_eq!(replica.page(), history);
}

/// What the pages do not show of the tables.
async fn verify_tables(sql: &tokio_postgres::Client) {
    for (what, statement) in [
        (
            "a reaction to nothing",
            "SELECT count(*) FROM reactions AS r
             WHERE NOT EXISTS (
                SELECT FROM messages AS m
                WHERE m.id = r.message_id AND m.room_id = r.room_id AND m.deleted_at IS NULL
             )",
        ),
        (
            "a mention of nothing",
            "SELECT count(*) FROM mentions AS n
             WHERE NOT EXISTS (
                SELECT FROM messages AS m WHERE m.id = n.message_id AND m.deleted_at IS NULL
             )",
        ),
        (
            "a number of replies that is none",
            "SELECT count(*) FROM messages AS m
             WHERE m.replies <> (SELECT count(*) FROM messages AS r WHERE r.thread_id = m.id)",
        ),
        (
            "a last change that is none",
            "SELECT count(*) FROM messages AS m
             WHERE m.changed_seq IS DISTINCT FROM (
                SELECT max(e.seq) FROM room_events AS e WHERE e.message_id = m.id
             )",
        ),
        (
            "a text of what was deleted",
            "SELECT count(*) FROM messages AS m
             JOIN room_events AS e
                ON e.room_id = m.room_id
                AND (e.seq = m.seq OR (e.kind = 4 AND e.message_id = m.id))
             WHERE m.deleted_at IS NOT NULL AND (m.body <> '' OR e.data <> '')",
        ),
        (
            "a hole in the log",
            "SELECT count(*) FROM room_heads AS h
             WHERE h.last_seq <> (SELECT count(*) FROM room_events AS e WHERE e.room_id = h.room_id)",
        ),
    ] {
        let row = sql.query_one(statement, &[]).await;
        let row = row.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert_eq!(row.get::<_, i64>(0), 0, "{what}");
    }
}

/// Does this and that to random messages, some of it in bursts; gives how much was done.
async fn change(mut socket: Socket, room: Room, targets: Vec<String>, mut random: StdRng) -> usize {
    let mut done = 0;
    for _ in 0..rounds(30) {
        let burst = random.random_range(1..6);
        for _ in 0..burst {
            // Few messages, so that they meet; deletions are rare, so that something is left.
            let target = &targets[random.random_range(0..targets.len())];
            let emoji = ["a", "b", "c"][random.random_range(0..3)];
            let body = ["x", "y"][random.random_range(0..2)];
            let (command, fields) = match random.random_range(0..40) {
                0 => ("message.delete", json!({})),
                1..10 => ("message.edit", json!({ "body": body })),
                10..24 => ("message.react", json!({ "emoji": emoji })),
                24..30 => ("message.react", json!({ "emoji": emoji, "remove": true })),
                30..34 => ("message.pin", json!({ "pinned": random.random_bool(0.5) })),
                34..37 => (
                    "publish",
                    json!({ "body": "r", "client_id": unique(), "thread": target }),
                ),
                _ => ("publish", json!({ "body": "m", "client_id": unique() })),
            };
            let mut fields = about(&room, target, fields);
            if random.random_bool(0.3) && command != "publish" {
                fields["client_id"] = json!(unique());
            }
            socket.send_command(command, fields).await;
        }
        for _ in 0..burst {
            let reply = socket.reply().await.expect("a reply");
            done += usize::from(is_done(&reply));
        }
    }
    done
}

fn is_done(reply: &Value) -> bool {
    if let Some(err) = reply.get("err") {
        let code = text(&err["code"]);
        let expected = ["forbidden", "message_deleted", "message_not_found"];
        assert!(expected.contains(&code.as_str()), "{reply}");
        return false;
    }
    reply["ok"].get("seq").is_some()
}
