//! Requests that nobody should send: refused with a stable code, in bounded time and memory, and the
//! node goes on.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::raw::RawPeer;
use crate::harness::rest::{Room, User, http, register, send};

struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
    room: Room,
}

async fn scene() -> Scene {
    let (node, database) = Node::on_fresh_database().await;
    let ada = register(&node, "ada").await;
    let room = ada.create_room("general").await;
    ada.say(&room.id, "hello", "c").await.ok();
    Scene {
        node,
        _database: database,
        ada,
        room,
    }
}

/// A refusal in the form that is promised, whatever its code.
#[track_caller]
fn assert_problem(answer: &crate::harness::rest::Answer, what: &str) -> Value {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{what}"
    );
    let problem = answer.json();
    assert!(problem["code"].is_string(), "{what}: {problem}");
    problem
}

#[tokio::test]
async fn pages_of_impossible_sizes() {
    let scene = scene().await;
    for list in [
        "/api/rooms",
        "/api/rooms?mine=true",
        "/api/rooms/general/messages",
        "/api/rooms/general/messages?before=5",
        "/api/rooms/general/members",
        "/api/rooms/general/bans",
        "/api/users?query=a",
        "/api/me/unread",
        "/api/auth/sessions",
    ] {
        let and = if list.contains('?') { '&' } else { '?' };
        for size in [
            "0",
            "-1",
            "1000000000",
            "1e9",
            "0x10",
            "",
            "%00",
            "NaN",
            "1&limit=2",
        ] {
            let path = format!("{list}{and}limit={size}");
            let problem = scene.ada.get(&path).await.problem(400, "invalid_request");
            assert_eq!(problem["errors"][0]["field"], "limit", "{path}");
        }
    }
}

#[tokio::test]
async fn cursors_that_were_tampered_with() {
    let scene = scene().await;
    for n in 0..3 {
        register(&scene.node, &format!("user-{n}")).await;
    }
    let page = scene.ada.get("/api/users?query=user&limit=1").await.ok();
    let cursor = page["next"].as_str().expect("a cursor").to_owned();
    let mut tampered: Vec<String> = (1..cursor.len()).map(|n| cursor[n..].to_owned()).collect();
    tampered.extend((1..cursor.len()).map(|n| {
        let mut text = cursor.clone().into_bytes();
        text[n] = if text[n] == b'_' { b'A' } else { b'_' };
        String::from_utf8(text).expect("ASCII")
    }));
    tampered.extend([
        "A".repeat(30_000),
        "%FF%FE".into(),
        "..%2F..".into(),
        "null".into(),
    ]);
    for cursor in tampered {
        let answer = scene
            .ada
            .get(&format!("/api/users?query=user&after={cursor}"))
            .await;
        // Some of them are places where nobody is.
        if answer.status != 200 {
            answer.problem(400, "invalid_cursor");
        }
    }
    for list in [
        "/api/rooms",
        "/api/rooms/general/members",
        "/api/me/unread",
        "/api/auth/sessions",
    ] {
        for cursor in [
            cursor.as_str(),
            "",
            "0",
            "-1",
            "%00",
            "00000000-0000-0000-0000-00000000000g",
        ] {
            let path = format!("{list}?after={cursor}");
            scene.ada.get(&path).await.problem(400, "invalid_request");
        }
        let nowhere = format!("{list}?after=ffffffff-ffff-ffff-ffff-ffffffffffff");
        scene.ada.get(&nowhere).await.ok();
    }
}

#[tokio::test]
async fn garbage_in_conditional_headers_and_codings() {
    let scene = scene().await;
    let paths = [
        "/api/rooms",
        "/api/rooms/general",
        "/api/rooms/general/messages",
        "/api/rooms/general/members",
        "/api/users/ada",
        "/api/users/me",
        "/api/me/unread",
        "/openapi.json",
    ];
    let long = "W/\"x\",".repeat(5000);
    for path in paths {
        let plain = scene.ada.get(path).await;
        for garbage in [
            "",
            "\"",
            "W/",
            "W/\"",
            "*x",
            "\u{fc}\u{fe}",
            "W/\"0-0-0\"",
            &long,
        ] {
            for name in [
                "if-none-match",
                "accept-encoding",
                "if-modified-since",
                "range",
                "accept",
            ] {
                let request = scene
                    .ada
                    .request(Method::GET, path)
                    .header(name, garbage.as_bytes());
                let answer = send(request).await;
                assert_eq!(
                    (answer.status, &answer.text),
                    (200, &plain.text),
                    "{path} {name} {garbage:?}"
                );
            }
        }
    }
}

/// A hundred megabytes are refused by what the head says, or where they become too large; with a key
/// and without.
#[tokio::test]
async fn bodies_of_a_hundred_megabytes() {
    const SIZE: usize = 100_000_000;
    let scene = scene().await;
    let before = scene.node.resident_bytes();
    for path in [
        "/api/rooms",
        "/api/rooms/general/messages",
        "/api/rooms/batch",
        "/api/rooms/read",
    ] {
        for key in ["", "Idempotency-Key: k\r\n"] {
            for framing in [
                format!("Content-Length: {SIZE}\r\n"),
                "Transfer-Encoding: chunked\r\n".to_owned(),
            ] {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
                     Content-Type: application/json\r\n{key}{framing}\r\n",
                    scene.ada.token
                );
                let mut peer = RawPeer::connect(&scene.node).await;
                peer.write(head.as_bytes()).await;
                let what = format!("{path} {key}{framing}");
                let (mut reading, mut writing) = peer.into_split();
                let sending = tokio::spawn(async move {
                    use tokio::io::AsyncWriteExt as _;
                    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
                    // Until the node will have no more.
                    for _ in 0..SIZE / 65_536 {
                        if writing.write_all(chunk.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
                let answer = head_of(&mut reading).await;
                assert!(answer.starts_with("HTTP/1.1 413 "), "{what}: {answer}");
                assert!(
                    answer.contains("application/problem+json"),
                    "{what}: {answer}"
                );
                sending.abort();
            }
        }
    }
    let grown = scene.node.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    scene.ada.create_room("others-go-on").await;
}

async fn head_of(reading: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            match reading.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(crate::harness::DEADLINE, read)
        .await
        .expect("an answer");
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn json_that_is_deep() {
    let scene = scene().await;
    let deep = [
        ("[".repeat(200_000), String::new()),
        ("{\"a\":".repeat(100_000), String::new()),
        ("[".repeat(200_000), "]".repeat(200_000)),
    ];
    for (method, path, field) in [
        (Method::POST, "/api/rooms", "name"),
        (Method::POST, "/api/rooms/batch", "rooms"),
        (Method::POST, "/api/rooms/read", "rooms"),
        (Method::POST, "/api/rooms/general/messages", "mentions"),
        (Method::PATCH, "/api/users/me", "avatar_url"),
        (Method::PATCH, "/api/users/me", "unknown"),
    ] {
        for (open, close) in &deep {
            let body = format!("{{\"{field}\": {open}{close}}}");
            let request = scene.ada.request(method.clone(), path);
            let request = request
                .header("content-type", "application/json")
                .body(body);
            let answer = send(request).await;
            if field == "unknown" && !close.is_empty() {
                // What nobody asks for is passed over, however deep.
                answer.ok();
                continue;
            }
            assert_problem(&answer, path);
        }
    }
    scene.ada.create_room("others-go-on").await;
}

#[tokio::test]
async fn ten_thousand_ids() {
    let scene = scene().await;
    let id = scene.room.id.as_str();
    let marks = vec![json!({ "room": id, "msg_no": 1 }); 10_000];
    for (path, body, field) in [
        (
            "/api/rooms/batch",
            json!({ "rooms": vec![id; 10_000] }),
            "rooms",
        ),
        ("/api/rooms/read", json!({ "rooms": marks }), "rooms"),
        (
            "/api/rooms/general/messages",
            json!({ "body": "x", "mentions": (0..10_000).map(|_| uuid::Uuid::now_v7().to_string()).collect::<Vec<_>>() }),
            "mentions",
        ),
    ] {
        let answer = scene.ada.post(path, &body).await;
        let problem = answer.problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field, "{path}");
    }
}

#[tokio::test]
async fn floods_of_headers() {
    let scene = scene().await;
    for (name, bytes) in [
        ("cookie", 70_000),
        ("if-none-match", 70_000),
        ("x-anything", 120_000),
    ] {
        let request = scene.ada.request(Method::GET, "/api/rooms");
        let answer = send(request.header(name, "x".repeat(bytes))).await;
        answer.problem(431, "too_large");
    }
    // As many as fit are borne, however odd.
    let mut request = scene.ada.request(Method::GET, "/api/rooms");
    for n in 0..60 {
        request = request
            .header(format!("x-{n}"), "y".repeat(500))
            .header("accept-encoding", "gzip;q=0.1");
    }
    send(request.timeout(Duration::from_secs(20))).await;
    for _ in 0..20 {
        let mut peer = RawPeer::connect(&scene.node).await;
        let lines = "X: y\r\n".repeat(5000);
        peer.write(format!("GET /api/rooms HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
            .await;
        let answer = peer.read_head().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    scene.ada.create_room("others-go-on").await;
}

/// Whoever may not do something is told by a problem, not shown a room.
#[tokio::test]
async fn strangers_learn_nothing() {
    let scene = scene().await;
    let secret = scene
        .ada
        .create_room_with(&json!({ "name": "secret", "slug": "secret", "is_private": true }))
        .await;
    let mallory = register(&scene.node, "mallory").await;
    for path in ["presence", "export", "messages", "members"] {
        let known = mallory
            .get(&format!("/api/rooms/{}/{path}", secret.id))
            .await;
        let unknown = mallory
            .get(&format!("/api/rooms/{}/{path}", mallory.id))
            .await;
        known.problem(404, "room_not_found");
        assert_eq!(known.text, unknown.text, "{path}");
        let nobody = send(http().get(scene.node.url(&format!("/api/rooms/secret/{path}")))).await;
        nobody.problem(401, "unauthenticated");
    }
}
