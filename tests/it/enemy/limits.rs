//! What costs the node something is counted, and what cannot be counted costs little.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::raw::RawPeer;
use crate::harness::rest::register;
use crate::harness::socket::{Socket, refusal};

/// Names of rooms that are not there are looked up in the database: that counts as a read,
/// whatever the command.
#[tokio::test]
async fn looking_up_names_is_counted() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "")
        .set("HUBBUB__LIMITS__READS_PER_MIN", "20");
    let node = Node::start(options).await;
    let commands = [
        ("leave", json!({})),
        ("typing", json!({})),
        ("publish", json!({ "body": "b", "client_id": "c" })),
        ("emit", json!({ "name": "n", "data": 1, "volatile": true })),
        (
            "message.delete",
            json!({ "message_id": "01890000-0000-7000-8000-000000000000" }),
        ),
    ];
    for (number, (cmd, fields)) in commands.into_iter().enumerate() {
        let user = register(&node, &format!("user-{number}")).await;
        let mut socket = Socket::connect(&node, &user).await;
        let mut codes = Vec::new();
        for n in 0..40 {
            let mut fields = fields.clone();
            fields["room"] = json!(format!("no-such-room-{n}"));
            let reply = socket.request(cmd, fields).await;
            let error = refusal(&reply).expect("there is no such room");
            codes.push(error["code"].as_str().unwrap_or_default().to_owned());
        }
        assert!(
            codes.iter().any(|code| code == "rate_limited"),
            "{cmd}: {codes:?}"
        );
    }
}

/// An address as long as it may be, made of as many parameters as fit.
#[tokio::test]
async fn a_query_without_end_costs_little() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("r").await;
    let mut query = String::new();
    for n in 0..13_000 {
        let _ = write!(query, "{n:x}&");
    }
    let began = Instant::now();
    for _ in 0..4 {
        let mut peer = RawPeer::connect(&node).await;
        let request = format!(
            "GET /api/events?{query}&cursor=x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
            ada.token
        );
        peer.write(request.as_bytes()).await;
        let head = peer.read_head().await;
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// An id of any length and making is refused, or the connection with it.
#[tokio::test]
async fn last_event_ids_without_end() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("r").await;
    let ids = [
        "A".repeat(4096),
        "A".repeat(100_000),
        "A".repeat(1_000_000),
        format!("1-{}", "9".repeat(50_000)),
        "1--1".to_owned(),
        "1-18446744073709551616".to_owned(),
        "99999999999-1".to_owned(),
        "-1-1".to_owned(),
        "\u{ff}".to_owned(),
    ];
    for path in ["/api/events", "/api/rooms/r/events"] {
        for id in &ids {
            let mut peer = RawPeer::connect(&node).await;
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nLast-Event-ID: {id}\r\n\r\n",
                ada.token
            );
            peer.write(request.as_bytes()).await;
            let head = peer.read_head().await;
            let is_refused = head.is_empty() || head.starts_with("HTTP/1.1 4");
            assert!(is_refused, "{path} {id:.20}: {head}");
        }
    }
    ada.get("/api/users/me").await.ok();
}

/// Tokens that are shown on a socket are looked up in the database as those of REST are: guesses
/// count for the address, good ones for their user.
#[tokio::test]
async fn showing_tokens_is_counted() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__LIMITS__EXEMPT", "")
        .set("HUBBUB__LIMITS__READS_PER_MIN", "20");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    let mut known = Socket::connect(&node, &ada).await;
    let mut codes = Vec::new();
    for _ in 0..40 {
        let fields = json!({ "token": ada.token });
        let reply = known.request("auth.refresh", fields).await;
        codes.extend(refusal(&reply).map(|it| it["code"].clone()));
    }
    assert!(codes.len() >= 10, "{codes:?}");
    assert!(codes.iter().all(|code| code == "rate_limited"), "{codes:?}");
    let mut stranger = Socket::anonymous(&node).await;
    let mut codes = Vec::new();
    for n in 0..40 {
        let token = format!("{n:043}");
        let error = stranger
            .err("auth.refresh", json!({ "token": token }))
            .await;
        codes.push(error["code"].clone());
    }
    assert_eq!(codes[0], "unauthenticated");
    assert_eq!(codes[39], "rate_limited", "{codes:?}");
}
