//! Engine.IO 4: how a session begins, and how its beginning is refused.

use reqwest::Method;
use serde_json::json;

use super::{contract, contract_with, engine};
use crate::harness::node::Node;

/// "it MUST respond with an `open` packet with the following JSON-encoded payload".
#[tokio::test]
async fn a_session_begins_by_polling() {
    let (node, _database) =
        contract_with(&[("PING_INTERVAL_MS", "300"), ("PING_TIMEOUT_MS", "200")]).await;
    let place = engine(&node);
    let answer = place.ask(Method::GET, "EIO=4&transport=polling").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    let json = answer.ok().strip_prefix('0').unwrap();
    let mut open: serde_json::Value = serde_json::from_str(json).unwrap();
    let sid = open["sid"].take();
    assert!(sid.as_str().is_some_and(|sid| sid.len() >= 20), "{sid}");
    let expected = json!({
        "sid": null,
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    });
    assert_eq!(open, expected);
}

#[tokio::test]
async fn a_session_begins_by_a_websocket() {
    let (node, _database) = contract().await;
    let (_socket, mut open) = engine(&node).open_socket().await;
    assert!(open["sid"].take().is_string());
    let expected = json!({
        "sid": null,
        "upgrades": [],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1_000_000,
    });
    assert_eq!(open, expected);
}

/// `make socketio-contract` runs a node by these.
#[tokio::test]
async fn the_settings_for_the_suites_are_what_those_expect() {
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/config/socketio-contract.toml");
    let (node, _database) = Node::on_fresh_database_with(&[("HUBBUB__CONFIG", settings)]).await;
    let session = engine(&node).open().await;
    assert_eq!(session.handshake["pingInterval"], 300);
    assert_eq!(session.handshake["pingTimeout"], 200);
}

#[tokio::test]
async fn ids_of_sessions_are_unlike() {
    let (node, _database) = contract().await;
    let mut sids = std::collections::HashSet::new();
    for _ in 0..20 {
        let session = engine(&node).open().await;
        assert!(sids.insert(session.sid));
    }
}

/// Requests that begin no session: the query, its method, and the error's status, code and text.
const REFUSED: &[(Method, &str, u8, &str)] = &[
    (
        Method::GET,
        "transport=polling",
        5,
        "Unsupported protocol version",
    ),
    (
        Method::GET,
        "EIO=abc&transport=polling",
        5,
        "Unsupported protocol version",
    ),
    (
        Method::GET,
        "EIO=2&transport=polling",
        5,
        "Unsupported protocol version",
    ),
    (
        Method::GET,
        "EIO=4%20&transport=polling",
        5,
        "Unsupported protocol version",
    ),
    (Method::GET, "EIO=4", 0, "Transport unknown"),
    (Method::GET, "EIO=4&transport=abc", 0, "Transport unknown"),
    (
        Method::GET,
        "EIO=4&transport=constructor",
        0,
        "Transport unknown",
    ),
    (Method::GET, "", 0, "Transport unknown"),
    (
        Method::POST,
        "EIO=4&transport=polling",
        2,
        "Bad handshake method",
    ),
    (
        Method::PUT,
        "EIO=4&transport=polling",
        2,
        "Bad handshake method",
    ),
    (
        Method::DELETE,
        "EIO=4&transport=polling",
        2,
        "Bad handshake method",
    ),
    // Not by an upgrade.
    (Method::GET, "EIO=4&transport=websocket", 3, "Bad request"),
    (
        Method::GET,
        "EIO=4&EIO=4&transport=polling",
        3,
        "Bad request",
    ),
    (Method::GET, "EIO=4&transport=polling&j=0", 3, "Bad request"),
];

#[tokio::test]
async fn a_session_that_cannot_begin_is_refused_as_documented() {
    let (node, _database) = contract().await;
    for path in [super::ENGINE, super::SOCKET] {
        let mut place = engine(&node);
        place.path = path;
        for (method, query, code, message) in REFUSED {
            let answer = place.ask(method.clone(), query).await;
            println!("{method} {path}?{query}");
            answer.error(400, *code, message);
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_cannot_begin_a_session_is_refused_as_documented() {
    let (node, _database) = contract().await;
    for (query, code, message) in [
        ("transport=websocket", 5, "Unsupported protocol version"),
        (
            "EIO=abc&transport=websocket",
            5,
            "Unsupported protocol version",
        ),
        ("EIO=4", 0, "Transport unknown"),
        ("EIO=4&transport=abc", 0, "Transport unknown"),
        ("EIO=4&transport=polling", 3, "Bad request"),
    ] {
        let answer = engine(&node).refused_socket(query).await;
        println!("{query}");
        answer.error(400, code, message);
    }
}

#[tokio::test]
async fn what_is_switched_off_is_refused_as_unknown() {
    let (node, _database) =
        contract_with(&[("TRANSPORTS", "polling"), ("ALLOW_EIO3", "false")]).await;
    let place = engine(&node);
    let answer = place.refused_socket("EIO=4&transport=websocket").await;
    answer.error(400, 0, "Transport unknown");
    let answer = place.ask(Method::GET, "EIO=3&transport=polling").await;
    answer.error(400, 5, "Unsupported protocol version");
    let session = place.open().await;
    assert_eq!(session.handshake["upgrades"], json!([]));
}
