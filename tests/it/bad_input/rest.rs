//! Wrong requests to the REST side.

use reqwest::Method;
use serde_json::json;

use super::scene::{HOSTILE, scene};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres;
use crate::harness::raw::RawPeer;
use crate::harness::rest::{PASSWORD, http, register, registration, send};

#[tokio::test]
async fn wrong_values_in_every_field_of_every_body() {
    let mut scene = scene().await;
    let user = json!(scene.mallory.id);
    let bodies = [
        ("/api/auth/register", registration("eve")),
        (
            "/api/auth/login",
            json!({ "login": "ada", "password": "x" }),
        ),
        (
            "/api/rooms",
            json!({ "name": "n", "slug": "s", "topic": "t", "is_private": true }),
        ),
        (
            "/api/rooms/public/messages",
            json!({ "body": "b", "client_id": "c" }),
        ),
        (
            "/api/rooms/private/members",
            json!({ "user_id": user, "role": "member" }),
        ),
    ];
    for (path, body) in bodies {
        let names: Vec<String> = body
            .as_object()
            .into_iter()
            .flatten()
            .map(|it| it.0.clone())
            .collect();
        for name in names {
            for value in [
                json!([]),
                json!({}),
                json!(1),
                json!(1.5),
                json!([[]]),
                json!(""),
            ] {
                if name == "topic" && value == "" {
                    continue;
                }
                let mut body = body.clone();
                body[&name] = value.clone();
                let answer = scene.ada.post(path, &body).await;
                let what = format!("{path} with {value} for `{name}`: {answer:?}");
                assert!([400, 401].contains(&answer.status), "{what}");
                let problem = answer.json();
                let code = problem["code"].as_str().unwrap_or_default();
                let expected = ["invalid_request", "invalid_text", "invalid_credentials"];
                assert!(expected.contains(&code), "{what}");
            }
        }
        scene.assert_undisturbed().await;
    }
}

#[tokio::test]
async fn bodies_that_are_none() {
    let mut scene = scene().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, content_type, status, code) in [
        ("", "application/json", 400, "invalid_request"),
        ("{", "application/json", 400, "invalid_request"),
        ("null", "application/json", 400, "invalid_request"),
        ("[]", "application/json", 400, "invalid_request"),
        (deep.as_str(), "application/json", 400, "invalid_request"),
        (
            "name=n",
            "application/x-www-form-urlencoded",
            415,
            "unsupported_media_type",
        ),
        (
            "{\"name\":\"n\"}",
            "text/plain",
            415,
            "unsupported_media_type",
        ),
    ] {
        let request = scene
            .mallory
            .request(Method::POST, "/api/rooms")
            .header("content-type", content_type)
            .body(body.to_owned());
        send(request).await.problem(status, code);
    }
    let latin1 = b"{\"name\":\"caf\xe9\"}".to_vec();
    let request = scene
        .mallory
        .request(Method::POST, "/api/rooms")
        .header("content-type", "application/json")
        .body(latin1);
    send(request).await.problem(400, "invalid_request");
    let large = json!({ "name": "x".repeat(1_000_001) });
    let answer = scene.mallory.post("/api/rooms", &large).await;
    answer.problem(413, "too_large");
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn addresses_and_queries_that_lead_nowhere() {
    let mut scene = scene().await;
    for (path, status, code) in [
        ("/api/nothing", 404, "not_found"),
        ("/api/rooms/no-such-room", 404, "room_not_found"),
        (
            "/api/rooms/01890000-0000-7000-8000-000000000000",
            404,
            "room_not_found",
        ),
        (
            "/api/users/01890000-0000-7000-8000-000000000000",
            404,
            "user_not_found",
        ),
        (
            "/api/rooms/public/messages?before=x",
            400,
            "invalid_request",
        ),
        (
            "/api/rooms/public/messages?before=-1",
            400,
            "invalid_request",
        ),
        (
            "/api/rooms/public/messages?after=1.5",
            400,
            "invalid_request",
        ),
        ("/api/rooms/public/messages?limit=0", 400, "invalid_request"),
        (
            "/api/rooms/public/messages?limit=101",
            400,
            "invalid_request",
        ),
        ("/api/rooms/public/messages?limit=", 400, "invalid_request"),
        (
            "/api/rooms/public/messages?before=1&after=1",
            400,
            "invalid_request",
        ),
        (
            "/api/rooms/public/messages?before=99999999999999999999",
            400,
            "invalid_request",
        ),
    ] {
        scene.mallory.get(path).await.problem(status, code);
    }
    for text in HOSTILE {
        let mut url = reqwest::Url::parse(&scene.node.url("/api/rooms")).expect("a URL");
        url.path_segments_mut().expect("a path").push(text);
        let request = http().get(url).bearer_auth(&scene.mallory.token);
        let answer = send(request).await;
        assert!([400, 404].contains(&answer.status), "{text:?}: {answer:?}");
        assert!(answer.json()["code"].is_string(), "{answer:?}");
    }
    let request = scene
        .mallory
        .request(Method::DELETE, "/api/rooms/public/messages");
    send(request).await.problem(405, "method_not_allowed");
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn other_peoples_rooms_are_not_there() {
    let mut scene = scene().await;
    let mallory = &scene.mallory;
    for room in [&scene.private.id, &scene.private.slug] {
        let path = format!("/api/rooms/{room}");
        mallory.get(&path).await.problem(404, "room_not_found");
        let messages = mallory.get(&format!("{path}/messages")).await;
        messages.problem(404, "room_not_found");
        let say = mallory.say(room, "hi", "c").await;
        say.problem(404, "room_not_found");
        let join = mallory.post(&format!("{path}/join"), &json!({})).await;
        join.problem(404, "room_not_found");
        let body = json!({ "user_id": mallory.id, "role": "owner" });
        let add = mallory.post(&format!("{path}/members"), &body).await;
        add.problem(404, "room_not_found");
    }
    let rooms = mallory.get("/api/rooms").await.ok().to_string();
    assert!(!rooms.contains(&scene.private.id), "{rooms}");
    // A member is not therefore somebody who adds others.
    let body = json!({ "user_id": scene.ada.id, "role": "owner" });
    let path = format!("/api/rooms/{}/members", scene.public.id);
    mallory.post(&path, &body).await.problem(403, "forbidden");
    let promote = json!({ "user_id": mallory.id, "role": "owner" });
    mallory
        .post(&path, &promote)
        .await
        .problem(403, "forbidden");
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn without_credentials_or_with_wrong_ones() {
    let mut scene = scene().await;
    let stale = {
        let eve = register(&scene.node, "eve").await;
        eve.post("/api/auth/logout", &json!({})).await.ok();
        eve.token
    };
    let tokens = [
        None,
        Some(String::new()),
        Some("x".repeat(43)),
        Some("' OR 1=1 --".to_owned()),
        Some("x".repeat(4000)),
        Some(stale),
    ];
    for token in &tokens {
        for (method, path) in [
            (Method::GET, "/api/rooms"),
            (Method::GET, "/api/users/me"),
            (Method::POST, "/api/auth/ticket"),
            (Method::POST, "/api/rooms/public/messages"),
        ] {
            let mut request = http().request(method, scene.node.url(path));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let body = json!({ "body": "b", "client_id": "c" });
            let answer = send(request.json(&body)).await;
            answer.problem(401, "unauthenticated");
        }
    }
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn http_that_is_none() {
    let mut scene = scene().await;
    let huge = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/rooms HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"GET /elsewhere HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        huge.as_bytes(),
    ] {
        let mut peer = RawPeer::connect(&scene.node).await;
        peer.write(bytes).await;
        peer.finish().await;
        let head = peer.read_head().await;
        let refused = head.is_empty() || head.starts_with("HTTP/1.1 4");
        assert!(refused, "{:?}: {head}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
    }
    scene.assert_undisturbed().await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_whatever_its_case() {
    let mut scene = scene().await;
    for (field, value, code) in [
        ("username", "Ada", "username_taken"),
        ("email", "ADA@example.org", "email_taken"),
    ] {
        let mut body = registration("eve");
        body[field] = json!(value);
        let request = http().post(scene.node.url("/api/auth/register"));
        send(request.json(&body)).await.problem(409, code);
    }
    let body = json!({ "name": "n", "slug": "public" });
    scene
        .ada
        .post("/api/rooms", &body)
        .await
        .problem(409, "slug_taken");
    let body = json!({ "name": "n", "slug": scene.public.id });
    let answer = scene.ada.post("/api/rooms", &body).await;
    answer.problem(400, "invalid_request");
    scene.assert_undisturbed().await;
}

/// A thousand guesses: each is refused, and nobody else notices.
#[tokio::test]
async fn a_wrong_password_a_thousand_times() {
    let mut scene = scene().await;
    let client = http();
    let url = scene.node.url("/api/auth/login");
    for n in 0..1000 {
        let body = json!({ "login": "ada", "password": format!("guess number {n}") });
        let answer = send(client.post(&url).json(&body)).await;
        answer.problem(401, "invalid_credentials");
    }
    // Whether there is such a user is not told.
    let unknown = json!({ "login": "nobody-of-this-name", "password": "guess" });
    let answer = send(client.post(&url).json(&unknown)).await;
    answer.problem(401, "invalid_credentials");
    let right = json!({ "login": "ada", "password": PASSWORD });
    assert_eq!(send(client.post(&url).json(&right)).await.status, 200);
    scene.assert_undisturbed().await;
}

/// The same from an address that is not exempt from the limits.
#[tokio::test]
async fn guesses_at_a_password_are_limited() {
    let database = postgres::database().await;
    let options = NodeOptions::on(&database.url).set("HUBBUB__LIMITS__EXEMPT", "");
    let node = Node::start(options).await;
    register(&node, "ada").await;
    let client = http();
    let url = node.url("/api/auth/login");
    let mut tried = 0;
    for n in 0..1000 {
        let body = json!({ "login": "ada", "password": format!("guess number {n}") });
        let answer = send(client.post(&url).json(&body)).await;
        if answer.status == 401 {
            answer.problem(401, "invalid_credentials");
            tried += 1;
        } else {
            answer.problem(429, "rate_limited");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
    }
    // Ten a minute, and what the minutes of this test give back.
    assert!((1..=20).contains(&tried), "{tried}");
}
