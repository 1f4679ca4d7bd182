//! `hubbub drain`: a node sends its clients elsewhere, without being stopped.

use std::process::Output;

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::eventually;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::rest::{http, register, send};
use crate::harness::socket::{End, Socket, refusal};

/// Runs the binary beside a node, and waits for its end without holding up the test's clients.
async fn run(options: &NodeOptions, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = options.command(arguments);
    let running = tokio::task::spawn_blocking(move || command.output());
    let output: Output = running.await.expect("it runs").expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Publishes until it is told to go, and gives the keys that were acknowledged.
async fn talk(mut socket: Socket, room: String, talker: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let key = format!("{talker}-{n}");
        let fields = json!({ "room": room, "body": key, "client_id": key });
        match socket.try_request("publish", fields).await {
            Ok(reply) => match refusal(&reply) {
                None => acknowledged.push(key),
                Some(error) => assert_eq!(error["retry"], true, "{error}"),
            },
            Err(ended) => {
                let is_drained = matches!(ended.0, End::Closed { code: 4000, .. });
                assert!(is_drained, "{ended:?}");
                break;
            }
        }
    }
    let pushes = socket.take_pushes();
    let drain = pushes.iter().find(|push| push["push"] == "drain");
    let drain = drain.expect("it was told to move");
    assert!(
        drain["cursor"].is_string() && drain["after_ms"].is_u64(),
        "{drain}"
    );
    acknowledged
}

#[tokio::test]
pub(crate) async fn clients_move_and_nothing_that_was_acknowledged_is_lost() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__NODE__ID", "blue")
        .set("HUBBUB__HTTP__DRAIN_MS", "700");
    let mut node = Node::start(options.clone()).await;
    let green = NodeOptions::on(&database.url).set("HUBBUB__NODE__ID", "green");
    let green = Node::start(green).await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("room").await;
    let mut talkers = JoinSet::new();
    for talker in 0..8 {
        let mut socket = Socket::connect(&node, &ada).await;
        socket.join(&room.id).await;
        talkers.spawn(talk(socket, room.id.clone(), talker));
    }
    let mut elsewhere = Socket::connect(&green, &ada).await;
    eventually("they talk", async || {
        let page = ada.page(&room.id, "?limit=100").await;
        (page["last_seq"].as_i64() > Some(100)).then_some(())
    })
    .await;

    let arguments = ["drain", "--node", "blue", "--wait", "--timeout", "30"];
    let (code, said, error) = run(&options, &arguments).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("blue at 127.0.0.1:"), "{said}");
    assert!(said.contains("blue is draining"), "{said}");
    assert!(said.trim_end().ends_with("blue is drained"), "{said}");

    let mut acknowledged: Vec<String> = talkers.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() > 100);
    // It goes on serving REST, tells those who send it clients, and takes no sockets.
    let ready = send(http().get(node.url("/health/ready"))).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let refused = Socket::open(&node, "/ws", &[]).await;
    assert_eq!(refused.err().map(|it| it.status), Some(503));
    ada.say(&room.id, "by REST", "rest").await.ok();
    let stored = ada.history(&room.id).await;
    let mut stored: Vec<_> = stored
        .iter()
        .filter_map(|it| it["client_id"].as_str())
        .filter(|key| *key != "rest")
        .map(str::to_owned)
        .collect();
    stored.sort();
    acknowledged.sort();
    assert_eq!(stored, acknowledged);
    // The other one was not meant.
    elsewhere.ping().await;

    // A drained node is drained at once, stops as any, and serves in its next life.
    let (code, said, _) = run(&options, &["drain", "--wait"]).await;
    assert_eq!(code, Some(0), "{said}");
    node.terminate();
    assert_eq!(node.wait_exit().await.code(), Some(0));
    let (code, _, error) = run(&options, &["drain", "--node", "blue"]).await;
    assert_eq!(code, Some(1));
    assert!(
        error.contains("node \"blue\" is not running: it was stopped"),
        "{error}"
    );
    node.restart().await;
    let mut socket = Socket::connect(&node, &ada).await;
    socket.join(&room.id).await;
    // The orders of its lives before are not taken for its own, once it has read the log.
    let head = "SELECT last_id FROM control_head";
    let row = database.connect().await.query_one(head, &[]).await;
    let head = u64::try_from(row.expect("a head").get::<_, i64>(0)).expect("from 0");
    eventually("it has read the control log", async || {
        (node.metric("hub_control_position").await >= head).then_some(())
    })
    .await;
    socket.ping().await;
}

#[tokio::test]
async fn whom_it_cannot_drain_it_names() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url);
    let (code, _, error) = run(&options, &["drain"]).await;
    assert_eq!(code, Some(1), "{error}");
    let named = |id: &str| NodeOptions::on(&database.url).set("HUBBUB__NODE__ID", id);
    let slow = named("slow")
        .set("HUBBUB__HTTP__DRAIN_MS", "600000")
        .set("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "700000");
    let node = Node::start(slow.clone()).await;
    let mut other = Node::start(named("other")).await;
    let ada = register(&node, "ada").await;
    // The first in line goes at once.
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::connect(&node, &ada).await);
    }
    for (arguments, words) in [
        (
            vec!["drain", "--node", "red"],
            "no node called \"red\"; known are other (serving), slow (serving)",
        ),
        (
            vec!["drain"],
            "several nodes are running: say which by --node, or --all",
        ),
        (
            vec!["drain", "--node", "slow", "--wait", "--timeout", "1"],
            "not drained within 1 s",
        ),
    ] {
        let (code, said, error) = run(&options, &arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    for wrong in [
        vec!["drain", "--node", "a", "--all"],
        vec!["drain", "--timeout", "5"],
        vec!["drain", "--wait", "--timeout", "0"],
    ] {
        assert_eq!(run(&options, &wrong).await.0, Some(2), "{wrong:?}");
    }
    // One that was killed is not heard of within its lease.
    other.kill9();
    let sql = database.connect().await;
    let over = "UPDATE nodes SET lease_until = now() WHERE id = 'other'";
    sql.execute(over, &[]).await.expect("the lease is over");
    let (code, _, error) = run(&options, &["drain", "--node", "other"]).await;
    assert_eq!(code, Some(1));
    assert!(
        error.contains("has not been heard of for longer than its lease"),
        "{error}"
    );
    // All that run: the one that is left.
    let (code, said, error) = run(&options, &["drain", "--all"]).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(
        said.contains("slow at") && !said.contains("other"),
        "{said}"
    );
}

#[tokio::test]
async fn a_node_with_a_postgres_of_its_own_is_found_by_its_folder() {
    let options = NodeOptions::embedded().set("HUBBUB__HTTP__DRAIN_MS", "100");
    let node = Node::start(options.clone()).await;
    let ada = register(&node, "ada").await;
    let mut socket = Socket::connect(&node, &ada).await;
    let waiting = ["drain", "--wait", "--timeout", "30"];
    let (told, (code, said, error)) = tokio::join!(socket.close_code(), run(&options, &waiting));
    assert_eq!(told, (4000, "drain".to_owned()));
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.contains("is drained"), "{said}");
    let (code, said, error) = run(&options, &["users", "deactivate", "ada"]).await;
    assert_eq!(code, Some(0), "{said}{error}");
    ada.get("/api/users/me")
        .await
        .problem(401, "unauthenticated");
    // Where nothing runs there is nothing to order, and nothing is started.
    let empty = NodeOptions::embedded();
    let (code, _, error) = run(&empty, &["drain"]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("no Postgres runs in"), "{error}");
}
