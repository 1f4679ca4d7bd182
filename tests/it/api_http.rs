//! What every answer of the HTTP side has in common.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::DEADLINE;
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::raw::RawPeer;
use crate::harness::rest::{http, register, send};

#[tokio::test]
async fn an_address_without_this_method_says_which_it_has() {
    let (node, _database) = Node::on_fresh_database().await;
    for (method, path, allow) in [
        (Method::DELETE, "/api/rooms", "GET, HEAD, POST, OPTIONS"),
        (Method::GET, "/api/auth/login", "POST, OPTIONS"),
        (Method::PUT, "/api/users/me", "GET, HEAD, PATCH, OPTIONS"),
        (
            Method::PUT,
            "/api/rooms/batch",
            "GET, HEAD, POST, PATCH, OPTIONS",
        ),
        (Method::POST, "/openapi.json", "GET, HEAD, OPTIONS"),
        (
            Method::PUT,
            "/api/rooms/x/members/y",
            "PATCH, DELETE, OPTIONS",
        ),
    ] {
        let answer = send(http().request(method.clone(), node.url(path))).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    for path in [
        "/api",
        "/api/",
        "/api/rooms/",
        "/API/rooms",
        "/nothing",
        "/api/rooms/x/y/z",
    ] {
        let answer = send(http().get(node.url(path))).await;
        answer.problem(404, "not_found");
    }
}

#[tokio::test]
async fn the_address_of_websockets_says_so() {
    let (node, _database) = Node::on_fresh_database().await;
    let answer = send(http().get(node.url("/ws"))).await;
    answer.problem(426, "invalid_request");
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    let answer = send(http().post(node.url("/ws"))).await;
    answer.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let get = ada.get("/api/users/me").await;
    let head = send(ada.request(Method::HEAD, "/api/users/me")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    for name in ["content-type", "content-length", "cache-control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[tokio::test]
async fn answers_are_private_and_what_they_say_they_are() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    for answer in [
        ada.get("/api/users/me").await,
        ada.get("/api/rooms/nowhere").await,
        send(http().get(node.url("/api/rooms"))).await,
    ] {
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let answer = send(http().get(node.url("/api/rooms"))).await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn a_listed_origin_gets_its_preflight() {
    let database = postgres::database().await;
    let page = "https://app.example.org";
    let options = NodeOptions::on(&database.url).set("HUBBUB__HTTP__ALLOWED_ORIGINS", page);
    let node = Node::start(options).await;
    let ask = |origin: &str| {
        http()
            .request(Method::OPTIONS, node.url("/api/rooms"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
    };
    let answer = send(ask(page)).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(page));
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        Some("true")
    );
    let methods = answer.header("access-control-allow-methods").unwrap_or("");
    assert!(methods.contains("POST"), "{methods}");
    let headers = answer.header("access-control-allow-headers").unwrap_or("");
    assert!(headers.contains("content-type"), "{headers}");
    let answer = send(ask("https://evil.example")).await;
    answer.problem(405, "method_not_allowed");
    assert!(answer.header("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn requests_are_measured_by_route_whatever_clients_send() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    ada.create_room("general").await;
    for n in 0..20 {
        ada.get(&format!("/api/rooms/room-{n}")).await;
        ada.get(&format!("/api/nothing/{n}")).await;
        let method = Method::from_bytes(format!("ODD{n}").as_bytes()).expect("a method");
        send(ada.request(method, "/api/rooms")).await;
    }
    ada.post("/api/rooms/general/messages", &json!({ "body": "x" }))
        .await
        .ok();
    let page = send(http().get(node.url("/metrics"))).await.text;
    let counts: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("http_request_duration_seconds_count"))
        .collect();
    for (labels, count) in [
        (r#"method="GET",route="/api/rooms/{id}",status="404""#, "20"),
        (r#"method="GET",route="unmatched",status="404""#, "20"),
        (r#"method="OTHER",route="/api/rooms",status="405""#, "20"),
        (
            r#"method="POST",route="/api/rooms/{id}/messages",status="201""#,
            "1",
        ),
    ] {
        let wanted = format!("{{{labels}}} {count}");
        assert!(counts.contains(&wanted.as_str()), "{wanted} in {counts:#?}");
    }
    assert!(counts.len() < 12, "labels take few values: {counts:#?}");
}

#[tokio::test]
async fn a_database_that_is_away_is_told_and_comes_back() {
    let mut server = postgres::TestServer::start(postgres::Options { fsync: false }).await;
    let database = server.database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__DATABASE__ACQUIRE_TIMEOUT_MS", "500")
        .set("HUBBUB__DATABASE__CONNECT_TIMEOUT_MS", "500");
    let node = Node::start(options).await;
    let ada = register(&node, "ada").await;
    server.kill9().await;
    let answer = ada.get("/api/users/me").await;
    let problem = answer.problem(503, "unavailable");
    assert_eq!(problem["retry"], true);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.text.contains("postgres"), "{answer:?}");
    server.restart().await;
    crate::harness::eventually("the node finds its database", || async {
        let answer = ada.get("/api/users/me").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// A body whose length is not told in advance is cut off where it gets too large.
#[tokio::test]
async fn a_body_in_chunks_is_limited_too() {
    let (node, _database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let mut peer = RawPeer::connect(&node).await;
    let head = format!(
        "POST /api/rooms HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        ada.token
    );
    peer.write(head.as_bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
    for _ in 0..16 {
        peer.write(chunk.as_bytes()).await;
    }
    let head = peer.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    ada.create_room("others-go-on").await;
}

#[tokio::test]
async fn who_does_not_ask_in_time_is_cut_off() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url)
        .set("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "1000")
        .set("HUBBUB__HTTP__KEEP_ALIVE_S", "3600");
    let node = Node::start(options).await;
    for said in ["", "G", "GET /health/live HTTP/1.1\r\nhost: x"] {
        let peer = TcpStream::connect(&node.address).await;
        let mut peer = peer.expect("a connection");
        peer.write_all(said.as_bytes()).await.expect("it is read");
        let mut answer = String::new();
        let reading = peer.read_to_string(&mut answer);
        let read = tokio::time::timeout(DEADLINE, reading).await;
        read.expect("the end").expect("a text");
        // Who has said nothing has asked nothing.
        let status = answer.split("\r\n").next();
        let expected = if said.is_empty() {
            ""
        } else {
            "HTTP/1.1 408 Request Timeout"
        };
        assert_eq!(status, Some(expected), "{said:?}");
    }
}
