//! The control log: dense whoever writes, followed by every node, and what a node does that
//! cannot read it or has missed some of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{login, register, text};
use crate::harness::socket::Socket;

/// Two nodes; the settings are for the second.
async fn two_nodes(settings: &[(&str, &str)]) -> (Node, Node, TestDatabase) {
    let database = postgres::database().await;
    let node = Node::start(NodeOptions::on(&database.url)).await;
    let options = settings
        .iter()
        .fold(NodeOptions::on(&database.url), |options, (key, value)| {
            options.set(key, value)
        });
    let other = Node::start(options).await;
    (node, other, database)
}

/// Members who come and go and sessions that begin and end, on two nodes at once. Whoever looks
/// at any moment sees all entries up to the last one that is to be seen.
#[tokio::test]
async fn it_is_dense_under_fifty_writers() {
    const WRITERS: usize = 50;
    const ROUNDS: usize = 6;
    let (node, other, database) = two_nodes(&[]).await;
    let maker = register(&node, "maker").await;
    let shared = maker.create_room("shared").await;
    let sql = database.connect().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (sql, is_over) = (database.connect().await, Arc::clone(&is_over));
        tokio::spawn(async move {
            let (mut looks, mut before) = (0, 0_i64);
            while !is_over.load(Ordering::Relaxed) {
                let query = "SELECT count(*), coalesce(max(id), 0),
                    (SELECT last_id FROM control_head) FROM control_log";
                let row = sql.query_one(query, &[]).await.expect("an answer");
                let (count, last, head): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
                assert_eq!(
                    (count, last),
                    (head, head),
                    "what is to be seen has no hole"
                );
                assert!(head >= before);
                before = head;
                looks += 1;
            }
            looks
        })
    };
    let mut writers = JoinSet::new();
    let mut users = Vec::new();
    for n in 0..WRITERS {
        users.push(register(&node, &format!("u{n}")).await);
    }
    for (n, user) in users.into_iter().enumerate() {
        let at = if n % 2 == 0 { &node } else { &other };
        let user = user.at(at);
        let room = if n % 3 == 0 {
            shared.clone()
        } else {
            user.create_room(&format!("r{n}")).await
        };
        let mut sessions = Vec::new();
        for _ in 0..ROUNDS {
            sessions.push(login(at, &format!("u{n}")).await);
        }
        writers.spawn(async move {
            let mut written = 0;
            for session in sessions {
                let member = format!("/api/rooms/{}/", room.id);
                // Owners of a room of their own leave it first.
                let steps = if n % 3 == 0 {
                    ["join", "leave"]
                } else {
                    ["leave", "join"]
                };
                for step in steps {
                    user.post(&format!("{member}{step}"), &json!({})).await.ok();
                }
                session.post("/api/auth/logout", &json!({})).await.ok();
                written += 3;
            }
            written
        });
    }
    let written: i64 = writers.join_all().await.into_iter().sum();
    // Everybody's registration is an entry, too.
    let written = written + 1 + i64::try_from(WRITERS).expect("a number");
    is_over.store(true, Ordering::Relaxed);
    let looks = watcher
        .await
        .expect("the log was dense whenever it was looked at");
    assert!(looks > 10, "it was looked at {looks} times");
    let row = sql.query_one("SELECT last_id FROM control_head", &[]).await;
    assert_eq!(row.expect("a head").get::<_, i64>(0), written);
    // Both nodes come to its end.
    for at in [&node, &other] {
        eventually("the node is at the log's end", async || {
            let page = reqwest::get(at.url("/metrics"))
                .await
                .ok()?
                .text()
                .await
                .ok()?;
            let wanted = format!("hub_control_position {written}");
            page.lines().any(|line| line == wanted).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_it_refuses_what_not_everybody_may_do() {
    let settings = [
        ("HUBBUB__HUB__CONTROL_STALE_MS", "3000"),
        ("HUBBUB__HUB__ANTI_ENTROPY_MS", "200"),
    ];
    let (node, cut, _database) = two_nodes(&settings).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("room").await;
    bob.join_room(&room).await;
    let phone = login(&node, "ada").await;
    let mut socket = Socket::connect(&cut, &phone).await;
    socket.join(&room.id).await;

    cut.fault("hub.control.read", "return").await;
    let there = ada.at(&cut);
    let role = format!("/api/rooms/{}/members/{}", room.id, bob.id);
    let invitations = format!("/api/rooms/{}/invitations", room.id);
    eventually("it refuses", async || {
        let answer = there.patch(&role, &json!({ "role": "moderator" })).await;
        (answer.status == 503).then(|| answer.problem(503, "unavailable"))
    })
    .await;
    there
        .post(&invitations, &json!({}))
        .await
        .problem(503, "unavailable");
    let bans = format!("/api/rooms/{}/bans", room.id);
    let ban = json!({ "user_id": bob.id });
    there.post(&bans, &ban).await.problem(503, "unavailable");
    there
        .delete("/api/auth/sessions")
        .await
        .problem(503, "unavailable");
    // What everybody may do goes on, and so does the other node.
    socket.publish(&room.id, "still here", "c1").await;
    bob.at(&cut).say(&room.id, "me too", "c2").await.ok();
    ada.patch(&role, &json!({ "role": "moderator" })).await.ok();

    // It hears nothing of a revocation until it can read again, and then at once.
    assert_eq!(ada.delete("/api/auth/sessions").await.ok()["ended"], 1);
    socket.ping().await;
    cut.fault("hub.control.read", "off").await;
    assert_eq!(socket.close_code().await.0, 4101);
    eventually("it gives roles again", async || {
        let answer = there.patch(&role, &json!({ "role": "member" })).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Entries are gone that a node has not read: it cannot know whom they were about.
#[tokio::test]
async fn a_node_that_has_missed_some_has_everybody_reconnect() {
    let settings = [("HUBBUB__HUB__ANTI_ENTROPY_MS", "200")];
    let (node, frozen, database) = two_nodes(&settings).await;
    let ada = register(&node, "ada").await;
    let mut mine = Socket::connect(&frozen, &ada).await;
    let phone = login(&node, "ada").await;
    let mut revoked = Socket::connect(&frozen, &phone).await;
    frozen.fault("hub.control.read", "return").await;
    assert_eq!(ada.delete("/api/auth/sessions").await.ok()["ended"], 1);
    login(&node, "ada")
        .await
        .post("/api/auth/logout", &json!({}))
        .await
        .ok();
    let sql = database.connect().await;
    let removed = "DELETE FROM control_log WHERE id < (SELECT last_id FROM control_head)";
    assert_eq!(sql.execute(removed, &[]).await.expect("they are gone"), 2);
    frozen.fault("hub.control.read", "off").await;
    for socket in [&mut mine, &mut revoked] {
        assert_eq!(socket.close_code().await.0, 4004);
    }
    // Whose session has ended does not come back.
    let authorization = format!("Bearer {}", phone.token);
    let refused = Socket::open(&frozen, "/ws", &[("authorization", &authorization)]).await;
    assert_eq!(refused.err().map(|it| it.status), Some(401));
    let mut again = Socket::connect(&frozen, &ada).await;
    again.ping().await;
    frozen
        .log()
        .find(0, |line| {
            line.contains("entries of the control log were missed")
                .then_some(())
        })
        .await
        .expect("it is logged");
}

/// Who is removed on one node is out of the room on another before the room's own event comes
/// there, and whoever has come back meanwhile stays.
#[tokio::test]
async fn a_removal_reaches_the_sockets_of_other_nodes() {
    // The rooms' own events come to the other node by this comparison only.
    let settings = [("HUBBUB__HUB__ANTI_ENTROPY_MS", "60000")];
    let (node, other, _database) = two_nodes(&settings).await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let room = ada.create_room("room").await;
    let member = format!("/api/rooms/{}/members/{}", room.id, bob.id);
    for _ in 0..3 {
        bob.join_room(&room).await;
        let mut socket = Socket::connect(&other, &bob).await;
        socket.join(&room.id).await;
        assert_eq!(ada.delete(&member).await.status, 204);
        assert_eq!(text(&socket.push("removed").await["room"]), room.id);
    }
    // While others go on.
    bob.join_room(&room).await;
    let mut socket = Socket::connect(&other, &bob).await;
    socket.join(&room.id).await;
    socket.publish(&room.id, "back", "c").await;
    assert_eq!(socket.push("message").await["body"], "back");
}

/// Somebody holds the lock by which entries are numbered: what needs none goes on, the rest waits
/// for it.
#[tokio::test]
async fn messages_do_not_wait_for_its_head() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let bob = register(&node, "bob").await;
    let quiet = ada.create_room("quiet").await;
    let busy = ada.create_room("busy").await;
    let mut sql = database.connect().await;
    let lock = sql.transaction().await.expect("a transaction");
    lock.execute("SELECT FROM control_head FOR UPDATE", &[])
        .await
        .expect("it is locked");
    let joining = {
        let (bob, room) = (bob.clone(), quiet.clone());
        tokio::spawn(async move { bob.join_room(&room).await })
    };
    let mut socket = Socket::connect(&node, &ada).await;
    for n in 0..20 {
        socket.publish(&busy.id, "on we go", &n.to_string()).await;
    }
    assert!(!joining.is_finished(), "it cannot have been numbered");
    lock.commit().await.expect("it is free");
    joining.await.expect("bob has joined");
    bob.say(&quiet.id, "here", "c").await.ok();
}

#[tokio::test]
async fn old_entries_are_removed() {
    let database = postgres::database().await;
    let mut node = Node::start(NodeOptions::on(&database.url)).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("room").await;
    let sql = database.connect().await;
    for step in ["leave", "join", "leave"] {
        let path = format!("/api/rooms/{}/{step}", room.id);
        ada.post(&path, &json!({})).await.ok();
    }
    // The first is that ada has come.
    let age = "UPDATE control_log SET created_at = now() - interval '49 hours' WHERE id < 3";
    assert_eq!(sql.execute(age, &[]).await.expect("they are old"), 2);
    // It is done when a node starts, and now and then.
    node.kill9();
    node.restart().await;
    eventually("the old are gone", async || {
        let rows = sql
            .query("SELECT id FROM control_log ORDER BY id", &[])
            .await;
        let ids: Vec<i64> = rows
            .expect("an answer")
            .iter()
            .map(|row| row.get(0))
            .collect();
        (ids == [3, 4]).then_some(())
    })
    .await;
    let path = format!("/api/rooms/{}/join", room.id);
    ada.at(&node).post(&path, &json!({})).await.ok();
    let row = sql.query_one("SELECT max(id) FROM control_log", &[]).await;
    assert_eq!(row.expect("an answer").get::<_, i64>(0), 5, "numbers go on");
}

/// Entries of a newer version that runs beside this one are passed over, counted, and no line each.
#[tokio::test]
async fn what_cannot_be_read_is_passed_over_and_counted() {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let other = login(&node, "ada").await;
    let mut socket = Socket::connect(&node, &other).await;
    let sql = database.connect().await;
    let entries = "WITH before AS (SELECT last_id FROM control_head FOR UPDATE),
        numbered AS (UPDATE control_head SET last_id = last_id + 300)
        INSERT INTO control_log (id, kind, data)
        SELECT last_id + n, 'of the future', '' FROM before, generate_series(1, 300) AS n";
    sql.batch_execute(entries).await.expect("entries");
    // What follows them is heard of.
    let dismissal = "WITH numbered AS (UPDATE control_head SET last_id = last_id + 1 RETURNING last_id)
        INSERT INTO control_log (id, kind, data)
        SELECT last_id, 'disconnect', '\\x02'::bytea || decode(replace($1, '-', ''), 'hex') FROM numbered";
    sql.execute(dismissal, &[&ada.id]).await.expect("an entry");
    sql.batch_execute("NOTIFY hubbub_control")
        .await
        .expect("it is told");
    assert_eq!(socket.close_code().await, (4103, "dismissed".to_owned()));
    let unreadable = "hub_control_entries_total{kind=\"unreadable\"}";
    assert_eq!(node.metric(unreadable).await, 300);
    let log = node.log().text();
    assert!(
        (1..=2).contains(&log.matches("cannot be read").count()),
        "{log}"
    );
}
