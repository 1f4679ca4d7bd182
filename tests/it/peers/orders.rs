//! What an operator asks and orders, by the binary.

use serde_json::Value;

use super::Cluster;
use crate::harness::rest::register;
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

#[tokio::test]
async fn nodes_are_listed() {
    let cluster = Cluster::start(2, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let _sockets = [
        Socket::connect(&cluster.nodes[1], &ada).await,
        Socket::connect(&cluster.nodes[1], &ada).await,
    ];
    let out = cluster.run(&["nodes"]).await.ok();
    let lines: Vec<Vec<&str>> = out
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert_eq!(lines[0][..4], ["NODE", "LIFE", "STATE", "LEASE"], "{out}");
    for (line, (name, count)) in lines[1..].iter().zip([("node-a", "0"), ("node-b", "2")]) {
        assert_eq!(line[..3], [name, "1", "serving"], "{out}");
        assert!(line.contains(&count), "{out}");
    }
    assert!(out.contains(&cluster.nodes[0].own_address), "{out}");
    let out = cluster.run(&["nodes", "--json"]).await.ok();
    let nodes: Vec<Value> = out
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(nodes[1]["node"], "node-b");
    assert_eq!(nodes[1]["connections"], 2);
    assert_eq!(nodes[1]["unanswered"], Value::Null);
    assert_eq!(nodes[1]["http_address"], cluster.nodes[1].own_address);
}

#[tokio::test]
async fn a_user_is_disconnected_everywhere_and_others_are_not() {
    let cluster = Cluster::start(2, &[]).await;
    let [a, b] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let ada = register(a, "ada").await;
    let bob = register(a, "bob").await;
    let mut at_a = Socket::connect(a, &ada).await;
    let mut at_b = Socket::connect(b, &ada).await;
    let mut stream = EventStream::open(&ada.at(b), "/api/events", None).await;
    let mut bobs = Socket::connect(b, &bob).await;
    let out = cluster.run(&["connections", "--user", "ada"]).await.ok();
    assert!(out.contains("3 connection(s), 3 listed"), "{out}");
    let out = cluster.run(&["disconnect", "--user", "ADA"]).await.ok();
    assert!(out.contains("node-a: 1 connection(s)"), "{out}");
    assert!(out.contains("node-b: 2 connection(s)"), "{out}");
    for socket in [&mut at_a, &mut at_b] {
        assert_eq!(socket.close_code().await, (4103, "dismissed".to_owned()));
    }
    assert_eq!(stream.closed().await, (4103, "dismissed".to_owned()));
    bobs.ping().await;
    // Nobody is shut out.
    Socket::connect(b, &ada).await.ping().await;
}

#[tokio::test]
async fn one_connection_is_told_to_move_and_resumes_elsewhere() {
    let cluster = Cluster::start(2, &[]).await;
    let [a, b] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let ada = register(a, "ada").await;
    let room = ada.create_room("room").await;
    let mut moved = Socket::connect(b, &ada).await;
    moved.join(&room.id).await;
    let out = cluster
        .run(&["connections", "--user", &ada.id, "--json"])
        .await
        .ok();
    let line: Value = serde_json::from_str(out.trim()).expect("one line of JSON");
    let id = line["id"].as_str().expect("an id");
    let mut other = Socket::connect(b, &ada).await;
    cluster
        .run(&["disconnect", "--connection", id, "--move"])
        .await
        .ok();
    let drain = moved.push("drain").await;
    assert_eq!(moved.close_code().await, (4000, "drain".to_owned()));
    other.ping().await;
    ada.say(&room.id, "meanwhile", "c1").await.ok();
    let mut again = Socket::connect(a, &ada).await;
    let fields = serde_json::json!({ "cursor": drain["cursor"] });
    again.ok("resume", fields).await;
    assert_eq!(again.push("message").await["body"], "meanwhile");
}

#[tokio::test]
async fn what_is_nobody_is_said() {
    let cluster = Cluster::start(1, &[]).await;
    for arguments in [
        &["disconnect", "--user", "nobody"][..],
        &[
            "connections",
            "--user",
            "00000000-0000-7000-8000-000000000000",
        ],
    ] {
        let said = cluster.run(arguments).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("there is no user called"), "{said:?}");
    }
    for arguments in [
        &["disconnect"][..],
        &["disconnect", "--connection", "nonsense"],
        &[
            "disconnect",
            "--user",
            "a",
            "--connection",
            "node-a~1~0-0-0",
        ],
        &["connections", "--limit", "0"],
    ] {
        assert_eq!(cluster.run(arguments).await.code, Some(2), "{arguments:?}");
    }
    // A connection that is not there any more: the order changes nothing.
    cluster
        .run(&["disconnect", "--connection", "node-a~1~0-0-0"])
        .await
        .ok();
    // Of a life that is over, or of a node that never was, it cannot be one.
    for id in ["node-a~2~0-0-0", "node-x~1~0-0-0"] {
        let said = cluster.run(&["disconnect", "--connection", id]).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("no node runs in that life"), "{said:?}");
    }
}

/// What stands in the database may have been written by anybody who can.
#[tokio::test]
async fn what_a_node_is_called_does_no_harm_to_a_terminal() {
    let cluster = Cluster::start(1, &[]).await;
    let sql = cluster.database.connect().await;
    let row = "INSERT INTO nodes (id, http_address, address, lease_until)
        VALUES (E'evil\\x1b]0;title\\x07\\nnode-z  1  serving', E'\\x1b[2J', '', now() + interval '1 minute')";
    sql.batch_execute(row).await.expect("a node");
    let said = cluster.run(&["nodes"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("evil"), "{said:?}");
    assert_eq!(said.out.lines().count(), 3, "{said:?}");
    assert_eq!(said.err.lines().count(), 2, "{said:?}");
    let harmful = |c: char| c.is_control() && c != '\n';
    for text in [&said.out, &said.err] {
        assert!(!text.contains(harmful), "{said:?}");
    }
}

/// A program that reads the list must not take a part for the whole.
#[tokio::test]
async fn a_list_that_is_cut_says_so() {
    let cluster = Cluster::start(1, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let _sockets = [
        Socket::connect(&cluster.nodes[0], &ada).await,
        Socket::connect(&cluster.nodes[0], &ada).await,
    ];
    let said = cluster
        .run(&["connections", "--json", "--limit", "1"])
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    assert!(
        said.err.contains("1 of 2 connection(s) of node-a"),
        "{said:?}"
    );
    let said = cluster.run(&["connections", "--json"]).await.ok();
    assert_eq!(said.lines().count(), 2, "{said}");
}
