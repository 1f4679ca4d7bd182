//! Which pages may act with a user's cookie: same origin, and the list in the configuration.

use serde_json::json;

use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::rest::{Answer, User, http, register, send};
use crate::harness::socket::Socket;

const ALLOWED: &str = "https://app.example.org";

async fn node() -> (Node, TestDatabase, User) {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__HTTP__ALLOWED_ORIGINS", ALLOWED);
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    (node, database, ada)
}

fn good(node: &Node) -> Vec<String> {
    vec![format!("http://{}", node.address), ALLOWED.to_owned()]
}

fn bad(node: &Node) -> Vec<String> {
    let own = &node.address;
    let (host, _) = own.rsplit_once(':').expect("a port");
    [
        "https://evil.example",
        "null",
        "",
        "file://",
        "https://app.example.org.evil.example",
        "https://evil.example?https://app.example.org",
        "https://app.example.org:8443",
        "http://app.example.org",
        "https://xapp.example.org",
        "https://example.org",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("https://{own}"),
        format!("http://{own}.evil.example"),
        format!("http://{own}@evil.example"),
        format!("http://{host}"),
        format!("http://{host}:1"),
    ])
    .collect()
}

/// Creates a room with the cookie, as a page of this origin does.
async fn write(node: &Node, user: &User, origin: &str, slug: &str) -> Answer {
    let request = http()
        .post(node.url("/api/rooms"))
        .header("cookie", &user.cookie)
        .header("origin", origin)
        .json(&json!({ "name": slug, "slug": slug }));
    send(request).await
}

#[tokio::test]
async fn a_handshake_with_a_cookie_comes_from_an_allowed_origin() {
    let (node, _database, ada) = node().await;
    for origin in good(&node) {
        let headers = [("cookie", ada.cookie.as_str()), ("origin", &origin)];
        let opened = Socket::open(&node, "/ws", &headers).await;
        opened.expect("an allowed origin").ping().await;
    }
    for origin in bad(&node) {
        let headers = [("cookie", ada.cookie.as_str()), ("origin", &origin)];
        let refused = Socket::open(&node, "/ws", &headers).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{origin} got in"));
        assert_eq!(refused.status, 403, "{origin}");
        assert_eq!(refused.body["code"], "origin_not_allowed", "{origin}");
    }
}

#[tokio::test]
async fn a_write_with_a_cookie_comes_from_an_allowed_origin() {
    let (node, _database, ada) = node().await;
    for (n, origin) in good(&node).iter().enumerate() {
        let answer = write(&node, &ada, origin, &format!("good-{n}")).await;
        assert_eq!(answer.status, 201, "{origin}: {answer:?}");
    }
    for (n, origin) in bad(&node).iter().enumerate() {
        let answer = write(&node, &ada, origin, &format!("bad-{n}")).await;
        answer.problem(403, "origin_not_allowed");
    }
    let rooms = ada.get("/api/rooms").await.ok();
    assert!(!rooms.to_string().contains("bad-"), "{rooms}");
}

#[tokio::test]
async fn bearer_tokens_and_tickets_may_be_used_from_anywhere() {
    let (node, _database, ada) = node().await;
    let origin = ("origin", "https://elsewhere.example");
    let authorization = format!("Bearer {}", ada.token);
    let headers = [("authorization", authorization.as_str()), origin];
    let opened = Socket::open(&node, "/ws", &headers).await;
    opened.expect("a bearer token").ping().await;
    let path = format!("/ws?ticket={}", ada.ticket().await);
    let opened = Socket::open(&node, &path, &[origin]).await;
    opened.expect("a ticket").ping().await;
    let request = ada
        .request(reqwest::Method::POST, "/api/rooms")
        .header(origin.0, origin.1)
        .json(&json!({ "name": "from afar" }));
    assert_eq!(send(request).await.status, 201);
}

/// A page elsewhere may not read what a cookie shows either: it gets no CORS headers.
#[tokio::test]
async fn cors_is_for_the_allowlist_only() {
    let (node, _database, ada) = node().await;
    for (origin, allowed) in [(ALLOWED, true), ("https://evil.example", false)] {
        let request = http()
            .get(node.url("/api/rooms"))
            .header("cookie", &ada.cookie)
            .header("origin", origin);
        let answer = send(request).await;
        let told = answer.header("access-control-allow-origin");
        assert_eq!(told, allowed.then_some(origin), "{answer:?}");
        assert_ne!(told, Some("*"));
    }
}
