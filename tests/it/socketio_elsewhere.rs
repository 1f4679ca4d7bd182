//! Requests for a Socket.IO session that come to another node than the session's.

use reqwest::Method;

use crate::harness::engineio::{Place, SEPARATOR};
use crate::harness::eventually;
use crate::harness::nginx::Nginx;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};

const ENGINE: &str = "/engine.io/";

const SESSIONS: &str = r#"socketio_sessions{transport="websocket"}"#;

/// Two nodes of one database, with the contract, and more settings.
async fn two(settings: &[(&str, &str)]) -> (Node, Node, TestDatabase) {
    let database = postgres::database().await;
    let options = |name: &str| {
        let options = NodeOptions::on(&database.url)
            .set("HUBBUB__NODE__ID", name)
            .set("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true");
        let set = |options: NodeOptions, (key, value): &(&str, &str)| options.set(key, value);
        settings.iter().fold(options, set)
    };
    let a = Node::start(options("node-a")).await;
    let b = Node::start(options("node-b")).await;
    (a, b, database)
}

fn place(node: &Node) -> Place {
    Place::new(&node.address, ENGINE, 4)
}

#[tokio::test]
async fn polling_goes_by_way_of_any_node() {
    let (a, b, _database) = two(&[]).await;
    let session = place(&a).open().await;
    assert!(session.sid.starts_with("node-a~"), "{}", session.sid);
    let other = session.by_way_of(&b.address);
    let payload = format!("4h\u{e9}llo \u{1f600}{SEPARATOR}bAQIDBA==");
    assert_eq!(other.post(payload.clone()).await.ok(), "ok");
    let polled = other.get().await;
    assert_eq!(polled.ok(), payload);
    assert_eq!(
        polled.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    // One way in, the other out.
    let poll = tokio::spawn(session.get_request().send());
    eventually("the poll waits", async || {
        assert_eq!(other.post("4hello").await.ok(), "ok");
        Some(())
    })
    .await;
    assert_eq!(poll.await.unwrap().unwrap().text().await.unwrap(), "4hello");
    assert!(
        b.metric(r#"socketio_requests_total{outcome="ok",request="post",way="passed_on"}"#)
            .await
            >= 2
    );
}

#[tokio::test]
async fn errors_come_back_by_way_of_another_node() {
    let (a, b, _database) = two(&[]).await;
    let session = place(&a).open().await.by_way_of(&b.address);
    let too_long = "4".repeat(1_000_001);
    assert_eq!(session.post(too_long).await.status, 413);
    assert_eq!(session.post("abc").await.status, 400);
    session.get().await.unknown_session();
    // Of another revision.
    let session = place(&a).open().await;
    let query = format!("EIO=3&transport=polling&sid={}", session.sid);
    let answer = place(&b).ask(Method::GET, &query).await;
    answer.error(400, 3, "Bad request");
    let query = format!("EIO=4&transport=polling&sid={}", session.sid);
    let answer = place(&b).ask(Method::PUT, &query).await;
    answer.error(400, 3, "Bad request");
}

#[tokio::test]
async fn bytes_of_revision_3_pass() {
    let (a, b, _database) = two(&[]).await;
    let session = Place::new(&a.address, ENGINE, 3).open().await;
    let other = session.by_way_of(&b.address);
    let payload = vec![1, 5, 255, 4, 1, 2, 3, 4];
    assert_eq!(other.post_bytes(payload.clone()).await.ok(), "ok");
    let polled = other.get_bytes().await;
    assert_eq!(
        polled.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(polled.body, payload);
}

#[tokio::test]
async fn a_poll_that_is_aborted_ends_the_session_wherever_it_is() {
    let (a, b, _database) = two(&[]).await;
    let session = place(&a).open().await;
    let other = session.by_way_of(&b.address);
    let poll = tokio::time::timeout(std::time::Duration::from_millis(500), other.get());
    assert!(poll.await.is_err(), "there is nothing to answer");
    eventually("the session is over", async || {
        let aborted = r#"socketio_sessions_ended_total{reason="aborted"}"#;
        (a.metric(aborted).await == 1).then_some(())
    })
    .await;
    session.post("4hello").await.unknown_session();
}

#[tokio::test]
async fn an_upgrade_goes_by_way_of_any_node() {
    let (a, b, _database) = two(&[]).await;
    let session = place(&a).open().await;
    let mut socket = session.by_way_of(&b.address).upgrade().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    let long = format!("4{}", "a".repeat(999_999));
    socket.send(&long).await;
    assert_eq!(socket.text().await, long);
    socket.send_bytes(&[1, 2, 3]).await;
    assert_eq!(socket.bytes().await, [1, 2, 3]);
    assert_eq!(b.metric("socketio_tunnels").await, 1);
    socket.send("1").await;
    socket.closed().await;
    eventually("nothing is left of it", async || {
        (b.metric("socketio_tunnels").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_goes_takes_the_tunnel_along() {
    let (a, b, _database) = two(&[]).await;
    let session = place(&a).open().await;
    let mut socket = session.by_way_of(&b.address).upgrade().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    assert_eq!(a.metric(SESSIONS).await, 1);
    drop(socket);
    eventually("nothing is left of it", async || {
        let left = b.metric("socketio_tunnels").await + a.metric(SESSIONS).await;
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_of_a_session_that_has_ended_is_refused() {
    let (a, b, _database) = two(&[]).await;
    let session = place(&a).open().await;
    assert_eq!(session.post("1").await.ok(), "ok");
    let query = format!("EIO=4&transport=websocket&sid={}", session.sid);
    place(&b).refused_socket(&query).await.unknown_session();
}

#[tokio::test]
async fn sessions_of_a_dead_node_are_unknown() {
    let (mut a, b, _database) = two(&[]).await;
    let session = place(&a).open().await.by_way_of(&b.address);
    a.kill9();
    a.wait_exit().await;
    session.get().await.unknown_session();
    session.post("4hello").await.unknown_session();
    let query = format!("EIO=4&transport=websocket&sid={}", session.sid);
    place(&b).refused_socket(&query).await.unknown_session();
    // Nor has its next life them.
    a.restart().await;
    session.get().await.unknown_session();
    session.by_way_of(&a.address).get().await.unknown_session();
}

#[tokio::test]
async fn a_node_that_dies_ends_what_is_carried_to_it() {
    let (mut a, b, _database) = two(&[]).await;
    let session = place(&a).open().await;
    let mut socket = session.by_way_of(&b.address).upgrade().await;
    socket.send("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    a.kill9();
    socket.closed().await;
}

/// A deploy of a node through which the way of others' sessions leads: it does not wait for them, and
/// cuts none off.
#[tokio::test]
async fn a_node_that_stops_sends_away_whom_it_carries() {
    let (a, mut b, _database) = two(&[("HUBBUB__HTTP__DRAIN_MS", "600")]).await;
    let mut sockets = Vec::new();
    for _ in 0..6 {
        let session = place(&a).open().await;
        let mut socket = session.by_way_of(&b.address).upgrade().await;
        socket.send("4hello").await;
        assert_eq!(socket.text().await, "4hello");
        sockets.push(socket);
    }
    assert_eq!(b.metric("socketio_tunnels").await, 6);
    let polling = place(&a).open().await;
    let other = polling.by_way_of(&b.address);
    let poll = tokio::spawn(async move { other.get().await });
    let direct = place(&a).open().await;

    b.terminate();
    eventually("it is stopping", async || {
        b.log()
            .text()
            .contains("telling clients to move")
            .then_some(())
    })
    .await;
    for socket in &mut sockets {
        socket.closed().await;
    }
    poll.await.unwrap().unknown_session();
    assert!(b.wait_exit().await.success());
    let log = b.log().text();
    assert!(!log.contains("the grace time is over"), "{log}");
    assert!(!log.contains("not answered in time"), "{log}");
    eventually("their sessions are over", async || {
        (a.metric(SESSIONS).await == 0).then_some(())
    })
    .await;
    polling.post("4hello").await.unknown_session();
    // Whoever came by another way has noticed nothing.
    assert_eq!(direct.post("4hello").await.ok(), "ok");
    assert_eq!(direct.get().await.ok(), "4hello");
}

#[tokio::test]
async fn so_many_are_passed_on_at_once() {
    let (a, b, _database) = two(&[("HUBBUB__PEERS__PASSED_ON_MAX", "1")]).await;
    let first = place(&a).open().await;
    let _socket = first.by_way_of(&b.address).upgrade().await;
    let second = place(&a).open().await.by_way_of(&b.address);
    let answer = second.post("4hello").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
}

/// The node by which a POST comes dies when the session's node has heard it. The proxy must not give it to
/// another one, by way of which it would be heard twice.
#[tokio::test]
async fn what_was_posted_is_not_sent_again_when_a_node_on_its_way_dies() {
    let (home, b, database) = two(&[]).await;
    let c = NodeOptions::on(&database.url).set("HUBBUB__NODE__ID", "node-c");
    let c = Node::start(c.set("HUBBUB__SOCKETIO__ECHO_CONTRACT", "true")).await;
    let entries = [&b, &c].map(|node| node.address.parse().unwrap());
    let nginx = Nginx::before(entries.into()).await;
    let faults = async |action| {
        for node in [&b, &c] {
            node.fault("socketio.passed_on", action).await;
        }
    };
    let session = Place::new(&home.address, "/socket.io/", 4).open().await;
    assert_eq!(session.post("40").await.ok(), "ok");
    let greeting = session.get().await;
    assert!(greeting.ok().starts_with("40{"), "{greeting:?}");
    let by_proxy = session.by_way_of(&nginx.address);

    faults("1*panic").await;
    by_proxy.post(r#"42["message",1]"#).await.unknown_session();
    faults("off").await;
    assert_eq!(by_proxy.post(r#"42["message",2]"#).await.ok(), "ok");
    let mut heard = Vec::new();
    while heard
        .last()
        .is_none_or(|last: &String| !last.ends_with("2]"))
    {
        let polled = session.get().await;
        heard.extend(polled.ok().split(SEPARATOR).map(str::to_owned));
    }
    heard.retain(|packet| packet.contains("message-back"));
    let once = [r#"42["message-back",1]"#, r#"42["message-back",2]"#];
    assert_eq!(heard, once);
}

/// The same of a poll: the proxy sends that again. What was handed out for it is lost, so the session must
/// not go on as if nothing were.
#[tokio::test]
async fn a_poll_that_is_sent_again_ends_the_session() {
    let (home, b, _database) = two(&[]).await;
    let session = place(&home).open().await;
    let by_b = session.by_way_of(&b.address);
    assert_eq!(session.post("4one").await.ok(), "ok");
    assert_eq!(by_b.get_stamped("a").await.ok(), "4one");
    assert_eq!(session.post("4two").await.ok(), "ok");
    b.fault("socketio.passed_on", "1*panic").await;
    let lost = by_b.try_get_stamped("b").await;
    assert!(lost.is_err(), "the node on the way has died: {lost:?}");
    assert_eq!(session.post("4three").await.ok(), "ok");
    let again = session.get_stamped("b").await;
    assert_eq!(again.status, 400, "{again:?}");
    session.get_stamped("c").await.unknown_session();
}
