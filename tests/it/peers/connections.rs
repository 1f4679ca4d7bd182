//! Who is connected where: asked of all nodes, answered by those that can.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Cluster;
use crate::harness::eventually;
use crate::harness::rest::{User, register, text};
use crate::harness::socket::Socket;
use crate::harness::stream::EventStream;

async fn list(user: &User) -> Value {
    user.get("/api/auth/connections").await.ok()
}

fn items(list: &Value) -> &Vec<Value> {
    list["connections"].as_array().expect("connections")
}

#[tokio::test]
async fn ones_own_are_listed_wherever_they_are() {
    let cluster = Cluster::start(3, &[]).await;
    let [a, b, c] = &cluster.nodes[..] else {
        panic!("three nodes")
    };
    let ada = register(a, "ada").await;
    let bob = register(a, "bob").await;
    let room = ada.create_room("room").await;
    let mut at_a = Socket::connect(a, &ada).await;
    at_a.join(&room.id).await;
    let _at_b = Socket::connect(b, &ada).await;
    let mut stream = EventStream::open(&ada.at(c), "/api/events", None).await;
    // It takes in its rooms one by one.
    let resumed = stream.find(|event| event.name == "resumed").await;
    resumed.expect("it is in the room");
    let _bobs = Socket::connect(b, &bob).await;
    let _nobodys = Socket::anonymous(c).await;
    for node in [a, b, c] {
        let list = list(&ada.at(node)).await;
        assert_eq!(
            (&list["total"], items(&list).len()),
            (&3.into(), 3),
            "{list}"
        );
        assert_eq!(list["unanswered"], serde_json::json!([]));
        let mut ids = BTreeSet::new();
        for it in items(&list) {
            let (id, on) = (text(&it["id"]), text(&it["node"]));
            assert!(id.starts_with(&format!("{on}~")), "{it}");
            assert!(ids.insert(id), "{list}");
            assert_eq!(it["address"], "127.0.0.1");
            let since: jiff::Timestamp = text(&it["since"]).parse().expect("a time");
            let age = jiff::Timestamp::now().duration_since(since).as_secs();
            assert!((-2..60).contains(&age), "{it}");
            let expected = if on == "node-c" { "sse" } else { "websocket" };
            assert_eq!(it["transport"], expected);
            let is_in_room = it["rooms"] == serde_json::json!([room.id]);
            assert_eq!(is_in_room, on != "node-b", "{it}");
        }
    }
    assert_eq!(list(&bob).await["total"], 1);
}

/// One that is ended is told not to come back; the others, and those of others, stay.
#[tokio::test]
async fn one_is_ended_on_another_node() {
    let cluster = Cluster::start(2, &[]).await;
    let [a, b] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    let ada = register(a, "ada").await;
    let eve = register(a, "eve").await;
    let mut first = Socket::connect(b, &ada).await;
    let id = text(&items(&list(&ada).await)[0]["id"]);
    let mut second = Socket::connect(b, &ada).await;
    let path = format!("/api/auth/connections/{id}");
    // It is nobody else's to end, or to know of.
    eve.delete(&path).await.problem(404, "connection_not_found");
    first.ping().await;
    assert_eq!(ada.delete(&path).await.status, 204);
    assert_eq!(first.close_code().await, (4103, "dismissed".to_owned()));
    second.ping().await;
    eventually("it is gone", async || {
        let answer = ada.delete(&path).await;
        (answer.status == 404).then(|| answer.problem(404, "connection_not_found"))
    })
    .await;
    // Of the node itself, by its own API.
    let id = text(&items(&list(&ada.at(b)).await)[0]["id"]);
    let path = format!("/api/auth/connections/{id}");
    assert_eq!(ada.at(b).delete(&path).await.status, 204);
    assert_eq!(second.close_code().await.0, 4103);
    // The session goes on.
    Socket::connect(b, &ada).await.ping().await;
    for nonsense in [
        "x",
        "node-a~1~0-0-0",
        "node-x~1~0-0-0",
        "%00",
        "node-b~99~0-0-0",
    ] {
        let path = format!("/api/auth/connections/{nonsense}");
        ada.delete(&path).await.problem(404, "connection_not_found");
    }
}

#[tokio::test]
async fn a_frozen_node_is_named_and_the_others_answer() {
    let settings = [("HUBBUB__PEERS__CALL_TIMEOUT_MS", "700")];
    let cluster = Cluster::start(3, &settings).await;
    let [a, b, c] = &cluster.nodes[..] else {
        panic!("three nodes")
    };
    let ada = register(a, "ada").await;
    let _at_a = Socket::connect(a, &ada).await;
    let mut at_b = Socket::connect(b, &ada).await;
    let _at_c = Socket::connect(c, &ada).await;
    let all = list(&ada).await;
    assert_eq!(all["total"], 3);
    let on_b = items(&all).iter().find(|it| it["node"] == "node-b");
    let on_b = text(&on_b.expect("one on b")["id"]);

    b.freeze();
    let begun = Instant::now();
    let partial = list(&ada).await;
    let took = begun.elapsed();
    assert_eq!(partial["total"], 2, "{partial}");
    let expected = serde_json::json!([{ "node": "node-b", "reason": "timeout" }]);
    assert_eq!(partial["unanswered"], expected, "{partial}");
    assert!(took >= Duration::from_millis(600), "{took:?}");
    // The command says so as well, and shows what it has.
    let said = cluster.run(&["connections", "--user", "ada"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("node-a~") && said.out.contains("node-c~"),
        "{said:?}"
    );
    assert!(
        said.err.contains("1 of 3 node(s) did not answer"),
        "{said:?}"
    );
    assert!(
        said.err.contains("node-b: it did not answer in time"),
        "{said:?}"
    );
    // An order is certain all the same.
    let path = format!("/api/auth/connections/{on_b}");
    assert_eq!(ada.delete(&path).await.status, 202);
    b.thaw();
    assert_eq!(at_b.close_code().await.0, 4103);
    let whole = eventually("it answers again", async || {
        let list = list(&ada).await;
        (list["unanswered"] == serde_json::json!([])).then_some(list)
    })
    .await;
    assert_eq!(whole["total"], 2, "{whole}");
}

/// A node that was killed has no lease any more, and is named as long as somebody may think that
/// it lives.
#[tokio::test]
async fn a_dead_node_is_named_and_one_that_has_stopped_is_not() {
    let mut cluster = Cluster::start(3, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    cluster.nodes[1].kill9();
    cluster.nodes[2].terminate();
    assert!(cluster.nodes[2].wait_exit().await.success());
    let expected = serde_json::json!([{ "node": "node-b", "reason": "unreachable" }]);
    eventually("one is missing", async || {
        let list = list(&ada).await;
        (list["unanswered"] == expected).then_some(())
    })
    .await;
    // Its next life answers at its new address.
    cluster.nodes[1].restart().await;
    let _socket = Socket::connect(&cluster.nodes[1], &ada).await;
    eventually("all are there", async || {
        let list = list(&ada).await;
        let is_whole = list["unanswered"] == serde_json::json!([]) && list["total"] == 1;
        is_whole.then_some(())
    })
    .await;
}
