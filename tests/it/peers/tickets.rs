//! Tickets that one node has given, at another.

use serde_json::json;
use tokio::task::JoinSet;

use super::Cluster;
use crate::harness::node::Node;
use crate::harness::rest::{User, http, login, register, send};
use crate::harness::socket::Socket;

async fn show(node: &Node, ticket: &str) -> Result<Socket, (u16, String)> {
    let socket = Socket::open(node, &format!("/ws?ticket={ticket}"), &[]).await;
    socket.map_err(|it| {
        (
            it.status,
            it.body["code"].as_str().unwrap_or_default().to_owned(),
        )
    })
}

async fn let_in(node: &Node, ticket: &str) -> Socket {
    match show(node, ticket).await {
        Ok(socket) => socket,
        Err(refused) => panic!("{refused:?}"),
    }
}

async fn expect(node: &Node, ticket: &str, status: u16, code: &str) {
    let refused = show(node, ticket).await.err();
    assert_eq!(refused, Some((status, code.to_owned())), "{ticket}");
}

#[tokio::test]
async fn they_are_good_once_whoever_is_shown_them() {
    let cluster = Cluster::start(3, &[]).await;
    let [a, b, c] = &cluster.nodes[..] else {
        panic!("three nodes")
    };
    let ada = register(a, "ada").await;
    let room = ada.create_room("room").await;
    for first in [a, b] {
        let ticket = ada.ticket().await;
        let mut socket = let_in(first, &ticket).await;
        socket.join(&room.id).await;
        for node in [a, b, c] {
            expect(node, &ticket, 401, "unauthenticated").await;
        }
    }
    // An event stream takes one, too.
    let url = b.url(&format!("/api/events?ticket={}", ada.ticket().await));
    assert_eq!(
        http().get(url).send().await.expect("an answer").status(),
        200
    );
    // However many come at once.
    for _ in 0..5 {
        let ticket = ada.ticket().await;
        let mut showing = JoinSet::new();
        for n in 0..12 {
            let address = cluster.nodes[n % 3].url(&format!("/api/events?ticket={ticket}"));
            showing.spawn(async move { http().get(address).send().await.expect("an answer") });
        }
        let answers = showing.join_all().await;
        let good = answers.iter().filter(|it| it.status() == 200).count();
        let bad = answers.iter().filter(|it| it.status() == 401).count();
        assert_eq!((good, bad), (1, 11));
    }
}

#[tokio::test]
async fn who_logs_out_takes_them_along() {
    let cluster = Cluster::start(2, &[]).await;
    let [a, b] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    register(a, "ada").await;
    let ada = login(a, "ada").await;
    let ticket = ada.ticket().await;
    // At the other node.
    ada.at(b).post("/api/auth/logout", &json!({})).await.ok();
    match show(b, &ticket).await {
        Err(refused) => assert_eq!(refused.0, 401),
        // The node that gave it had not heard of it yet, but the one that was shown it has.
        Ok(mut socket) => assert_eq!(socket.close_code().await.0, 4101),
    }
    expect(a, &ticket, 401, "unauthenticated").await;
}

#[tokio::test]
async fn of_a_node_that_does_not_answer_they_are_worth_a_new_one() {
    let settings = [("HUBBUB__PEERS__CALL_TIMEOUT_MS", "500")];
    let mut cluster = Cluster::start(2, &settings).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let ticket = |user: User| async move { user.ticket().await };
    let (frozen, dead) = (ticket(ada.clone()).await, ticket(ada.clone()).await);
    cluster.nodes[0].freeze();
    expect(&cluster.nodes[1], &frozen, 503, "unavailable").await;
    cluster.nodes[0].thaw();
    cluster.nodes[0].kill9();
    expect(&cluster.nodes[1], &dead, 503, "unavailable").await;
    // A new one is good at once.
    let fresh = ticket(ada.at(&cluster.nodes[1])).await;
    let_in(&cluster.nodes[1], &fresh).await.ping().await;
    // Its next life does not know them.
    cluster.nodes[0].restart().await;
    expect(&cluster.nodes[0], &dead, 503, "unavailable").await;
}

#[tokio::test]
async fn what_is_no_ticket_asks_nobody() {
    let cluster = Cluster::start(2, &[]).await;
    let ada = register(&cluster.nodes[0], "ada").await;
    let ticket = ada.ticket().await;
    let (secret, origin) = ticket.split_once('.').expect("a dot");
    let b = &cluster.nodes[1];
    for bad in [
        "",
        "x",
        secret,
        &ticket[1..],
        &format!("{ticket}~"),
        &format!("{secret}.1."),
    ] {
        expect(b, bad, 401, "unauthenticated").await;
    }
    // Of a node that nobody has.
    expect(b, &format!("{secret}.1.nobody"), 503, "unavailable").await;
    // Of that node, but never given.
    let never = format!("{}.{origin}", "A".repeat(43));
    expect(b, &never, 401, "unauthenticated").await;
    let_in(b, &ticket).await.ping().await;
    // For REST they are nothing.
    let url = b.url(&format!("/api/users/me?ticket={}", ada.ticket().await));
    assert_eq!(send(http().get(url)).await.status, 401);
}
