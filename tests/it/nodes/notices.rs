//! Without Redis events come by NOTIFY.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use uuid::Uuid;

use super::scene::{Pair, SELDOM, bodies_until, living};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::rest::text;
use crate::harness::socket::Socket;

#[tokio::test]
async fn a_message_comes_to_the_other_node_long_before_heads_are_compared() {
    let pair = Pair::start(&[SELDOM]).await;
    let mut shared = pair.room().await;
    for n in 0..20 {
        let body = format!("from a {n}");
        shared
            .at_a
            .publish(&shared.room.id, &body, &format!("a{n}"))
            .await;
        assert_eq!(shared.at_b.push("message").await["body"], body);
        let body = format!("from b {n}");
        shared
            .at_b
            .publish(&shared.room.id, &body, &format!("b{n}"))
            .await;
        assert_eq!(
            shared.at_a.push("message").await["body"],
            format!("from a {n}")
        );
        assert_eq!(shared.at_a.push("message").await["body"], body);
        assert_eq!(shared.at_b.push("message").await["body"], body);
    }
    // A room that is in use at one node only, and published by the other's REST side.
    let quiet = shared.ada.create_room("quiet").await;
    let mut there = Socket::connect(&pair.b, &shared.ada).await;
    there.join(&quiet.id).await;
    shared.ada.say(&quiet.id, "by REST", "r").await.ok();
    assert_eq!(there.push("message").await["body"], "by REST");
    for node in [&pair.a, &pair.b] {
        assert_eq!(node.metric("hub_head_notices_wanted").await, 1);
        assert!(node.metric("hub_head_notices_total{fate=\"heard\"}").await > 0);
        assert_eq!(node.metric("hub_histories_lost_total").await, 0);
    }
}

#[tokio::test]
async fn a_node_alone_tells_nobody() {
    let mut pair = Pair::start(&[SELDOM]).await;
    pair.b.terminate();
    pair.b.wait_exit().await;
    living(&pair.a, 0).await;
    eventually("nobody needs notices", async || {
        (pair.a.metric("hub_head_notices_wanted").await == 0).then_some(())
    })
    .await;
    pair.b.restart().await;
    let mut shared = pair.room().await;
    shared.at_a.publish(&shared.room.id, "again", "c").await;
    assert_eq!(shared.at_b.push("message").await["body"], "again");
}

/// Publishers at both nodes, several rooms: each gets each room's messages in the order of `seq`,
/// each once, at both nodes.
#[tokio::test]
async fn order_is_kept_and_nothing_comes_twice_under_load_from_both() {
    const MESSAGES: usize = 300;
    let pair = Pair::start(&[SELDOM]).await;
    let shared = pair.room().await;
    load(&pair, shared, MESSAGES, async || {}).await;
}

/// The LISTEN connections of both nodes are ended again and again meanwhile.
#[tokio::test]
async fn nothing_is_missing_when_the_listen_connection_is_cut_off_meanwhile() {
    const MESSAGES: usize = 300;
    let pair = Pair::start(&[SELDOM]).await;
    let shared = pair.room().await;
    let sql = pair.database.connect().await;
    let cuts = async || {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name IN ('hubbub-listen', 'hubbub-notify')
                AND datname = current_database()";
        for _ in 0..10 {
            sql.query(cut, &[]).await.expect("they are ended");
            // The pace of the fault: long enough for a connection to be made, which is cut off then.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    load(&pair, shared, MESSAGES, cuts).await;
    for node in [&pair.a, &pair.b] {
        let again = node.log().text();
        assert!(again.contains("listens to Postgres again"), "{again}");
        living(node, 1).await;
    }
    let names = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted";
    eventually("both nodes have their names again", async || {
        let row = sql.query_one(names, &[]).await.expect("an answer");
        (row.get::<_, i64>(0) == 2).then_some(())
    })
    .await;
}

async fn load(
    pair: &Pair,
    shared: super::scene::Shared,
    messages: usize,
    meanwhile: impl AsyncFnOnce(),
) {
    let room = shared.room.id.clone();
    let mut readers = Vec::new();
    for (mut socket, publisher, name) in [
        (
            shared.at_a,
            Socket::connect(&pair.a, &shared.ada).await,
            "a",
        ),
        (
            shared.at_b,
            Socket::connect(&pair.b, &shared.ada).await,
            "b",
        ),
    ] {
        let total = 2 * messages;
        let reading = tokio::spawn(async move {
            let mut seqs = Vec::new();
            while seqs.len() < total {
                let push = socket.push("message").await;
                seqs.push((
                    push["seq"].as_u64().expect("a seq"),
                    text(&push["client_id"]),
                ));
            }
            socket.ping().await;
            let more = socket.take_pushes();
            assert!(
                more.iter().all(|push| push["push"] != "message"),
                "{more:?}"
            );
            seqs
        });
        let room = room.clone();
        let writing = tokio::spawn(async move {
            let mut publisher = publisher;
            for n in 0..messages {
                publisher.publish(&room, "x", &format!("{name}{n}")).await;
            }
        });
        readers.push((reading, writing));
    }
    meanwhile().await;
    let mut all = Vec::new();
    for (reading, writing) in readers {
        writing.await.expect("everything is published");
        let seqs = reading.await.expect("everything comes");
        assert!(
            seqs.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0),
            "a hole, a double or disorder: {seqs:?}"
        );
        let ids: HashSet<_> = seqs.iter().map(|(_, id)| id.clone()).collect();
        assert_eq!(ids.len(), seqs.len());
        all.push(seqs);
    }
    assert_eq!(all[0], all[1], "both nodes tell the same");
}

/// Whoever may write to the database can tell the nodes anything.
#[tokio::test]
async fn garbage_is_counted_and_does_no_harm() {
    let pair = Pair::start(&[SELDOM]).await;
    let mut shared = pair.room().await;
    shared.at_a.publish(&shared.room.id, "before", "c1").await;
    assert_eq!(shared.at_b.push("message").await["body"], "before");
    let epoch = shared
        .ada
        .get(&format!("/api/rooms/{}", shared.room.id))
        .await;
    let epoch = epoch.ok()["epoch"].clone();
    let sql = pair.database.connect().await;
    let room: Uuid = shared.room.id.parse().expect("an id");
    let id = URL_SAFE_NO_PAD.encode(room.as_bytes());
    let bad_before = bad(&pair.b).await;
    let garbage = [
        String::new(),
        "h2 x".into(),
        "h1 a 1 zzz".into(),
        "\u{1}\u{2} é".into(),
        "x".repeat(7999),
    ];
    // These can be read, and are not true.
    let lies = [
        format!("h1 nobody 1 {id}9223372036854775807"),
        format!("h1 nobody 1 {id}1000,{id}3"),
        format!(
            "h1 nobody 1 {}7",
            URL_SAFE_NO_PAD.encode(Uuid::now_v7().as_bytes())
        ),
    ];
    for _ in 0..5 {
        for notice in garbage.iter().chain(&lies) {
            let tell = "SELECT pg_notify('hubbub_heads', $1), pg_notify('hubbub_nodes', $1),
                pg_notify('hubbub_control', $1)";
            sql.query(tell, &[notice]).await.expect("it is told");
        }
    }
    eventually("they are counted", async || {
        (bad(&pair.b).await == bad_before + 25).then_some(())
    })
    .await;
    for n in 0..10 {
        let body = format!("after {n}");
        shared.at_a.publish(&shared.room.id, &body, &body).await;
    }
    let told = bodies_until(&mut shared.at_b, "after 9").await;
    assert_eq!(told.len(), 10);
    let now = shared
        .ada
        .get(&format!("/api/rooms/{}", shared.room.id))
        .await;
    assert_eq!(
        now.ok()["epoch"],
        epoch,
        "nobody believes that history was lost"
    );
    assert_eq!(pair.b.metric("hub_histories_lost_total").await, 0);
}

async fn bad(node: &Node) -> u64 {
    node.metric("hub_head_notices_total{fate=\"bad\"}").await
}

/// More rooms at once than may wait: what is not told is found by comparing heads.
#[tokio::test]
async fn what_has_no_place_in_the_queue_comes_all_the_same() {
    const ROOMS: usize = 30;
    let settings = [("HUBBUB__HUB__NOTIFY_ROOMS_MAX", "1")];
    let pair = Pair::start(&settings).await;
    let shared = pair.room().await;
    let ada = &shared.ada;
    let mut there = Socket::connect(&pair.b, ada).await;
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        let room = ada.create_room(&format!("r{n}")).await;
        there.join(&room.id).await;
        rooms.push(room.id);
    }
    let mut here = Socket::connect(&pair.a, ada).await;
    for room in &rooms {
        let fields = serde_json::json!({ "room": room, "body": "x", "client_id": room });
        here.send_command("publish", fields).await;
    }
    for _ in &rooms {
        let reply = here.reply().await.expect("a reply");
        assert!(reply["ok"]["seq"].is_u64(), "{reply}");
    }
    let mut missing: HashSet<_> = rooms.into_iter().collect();
    while !missing.is_empty() {
        let push: Value = there.push("message").await;
        assert!(missing.remove(&text(&push["room"])), "twice: {push}");
    }
}

/// The log tells of this way when it is taken and when it is left, and of nothing else.
#[tokio::test]
async fn the_log_says_when_events_come_by_postgres() {
    const BEGUN: &str = "nodes hear of each other's events by Postgres";
    const OVER: &str = "no other node needs to hear of events by Postgres";
    let told = |node: &Node, what: &str| {
        let text = node.log().text();
        text.lines().filter(|line| line.contains(what)).count()
    };
    let wanted = async |node: &Node, is_wanted: u64| {
        eventually("it knows whether it is alone", async || {
            (node.metric("hub_head_notices_wanted").await == is_wanted).then_some(())
        })
        .await;
    };
    let (alone, database) = Node::on_fresh_database().await;
    wanted(&alone, 0).await;
    assert_eq!((told(&alone, BEGUN), told(&alone, OVER)), (0, 0));
    let mut other = Node::start(super::scene::options(&database.url, &[])).await;
    for node in [&alone, &other] {
        wanted(node, 1).await;
        living(node, 1).await;
        assert_eq!((told(node, BEGUN), told(node, OVER)), (1, 0));
    }
    other.terminate();
    assert!(other.wait_exit().await.success());
    wanted(&alone, 0).await;
    assert_eq!((told(&alone, BEGUN), told(&alone, OVER)), (1, 1));
}
