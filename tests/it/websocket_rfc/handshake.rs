//! The opening handshake: RFC 6455 §4.2, §4.4 and §9.1, RFC 7692 §5 and §7.1.

use super::{Echo, TEXT, frame};
use crate::harness::deflate::{ACCEPTED, OFFER};
use crate::harness::raw::{RawPeer, masked};
use crate::harness::rest::register;

const GOOD: &[(&str, &str)] = &[
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

async fn answer(echo: &Echo, line: &str, headers: &[(&str, &str)]) -> String {
    let mut peer = RawPeer::connect(&echo.node).await;
    let headers = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!("{line}\r\n{}\r\n", headers.collect::<String>());
    peer.write(head.as_bytes()).await;
    peer.read_head().await
}

/// The good headers, one of them changed.
fn with<'a>(name: &str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let others = GOOD.iter().copied().filter(|(other, _)| *other != name);
    let changed = value.map(|value| {
        let (name, _) = GOOD.iter().find(|(other, _)| *other == name).expect("it");
        (*name, value)
    });
    others.chain(changed).collect()
}

#[tokio::test]
async fn what_a_handshake_needs() {
    let echo = Echo::start().await;
    let good = answer(&echo, "GET /ws/echo HTTP/1.1", GOOD).await;
    assert!(good.starts_with("HTTP/1.1 101 "), "{good}");
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ] {
        assert!(good.lines().any(|it| it == line), "{line}: {good}");
    }
    assert!(!good.contains("Sec-WebSocket-Protocol"), "{good}");

    for (name, value) in [
        ("Upgrade", Some("WEBSOCKET")),
        ("Connection", Some("keep-alive, upgrade")),
        ("Connection", Some("upgrade,keep-alive")),
    ] {
        let answer = answer(&echo, "GET /ws/echo HTTP/1.1", &with(name, value)).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{value:?}: {answer}");
    }
    for (name, value, status) in [
        ("Host", None, 400),
        ("Sec-WebSocket-Key", None, 400),
        ("Sec-WebSocket-Key", Some("c2hvcnQ="), 400),
        ("Sec-WebSocket-Key", Some("no base64 of anything!!!"), 400),
        ("Sec-WebSocket-Version", None, 426),
        ("Sec-WebSocket-Version", Some("8"), 426),
        ("Sec-WebSocket-Version", Some("14"), 426),
        ("Sec-WebSocket-Version", Some("013"), 426),
    ] {
        let answer = answer(&echo, "GET /ws/echo HTTP/1.1", &with(name, value)).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{name}: {value:?}: {answer}");
        if status == 426 {
            // §4.4: which versions there are.
            let answer = answer.to_lowercase();
            assert!(answer.contains("sec-websocket-version: 13"), "{answer}");
        }
    }
    for (line, headers) in [
        ("POST /ws/echo HTTP/1.1", GOOD.to_vec()),
        ("GET /ws/echo HTTP/1.0", GOOD.to_vec()),
        ("GET /ws/echo/ HTTP/1.1", GOOD.to_vec()),
        ("GET /ws/nothing HTTP/1.1", GOOD.to_vec()),
        ("GET /ws/echo HTTP/1.1", with("Upgrade", None)),
        ("GET /ws/echo HTTP/1.1", with("Upgrade", Some("h2c"))),
        ("GET /ws/echo HTTP/1.1", with("Connection", None)),
        ("GET /ws/echo HTTP/1.1", with("Connection", Some("close"))),
    ] {
        let answer = answer(&echo, line, &headers).await;
        assert!(answer.starts_with("HTTP/1."), "{line}: {answer}");
        assert!(
            answer[9..].starts_with('4') || answer[9..].starts_with("505"),
            "{line}: {answer}"
        );
    }
}

#[tokio::test]
async fn frames_may_come_with_the_handshake() {
    let echo = Echo::start().await;
    let mut peer = RawPeer::connect(&echo.node).await;
    let mut bytes = b"GET /ws/echo HTTP/1.1\r\n".to_vec();
    for (name, value) in GOOD {
        bytes.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(masked(TEXT, b"early"));
    let late = masked(TEXT, b"and in two parts");
    bytes.extend(&late[..9]);
    peer.write(&bytes).await;
    assert!(peer.read_head().await.starts_with("HTTP/1.1 101"));
    assert_eq!(peer.read_frame().await, Some(frame(TEXT, "early")));
    peer.write(&late[9..]).await;
    assert_eq!(
        peer.read_frame().await,
        Some(frame(TEXT, "and in two parts"))
    );
}

#[tokio::test]
async fn what_is_offered_is_accepted_or_declined() {
    let echo = Echo::start().await;
    let with_window = format!("{ACCEPTED}; server_max_window_bits=15");
    for (offer, agreed) in [
        ("permessage-deflate", Some(ACCEPTED)),
        (OFFER, Some(ACCEPTED)),
        (
            "permessage-deflate; client_max_window_bits=\"9\"",
            Some(ACCEPTED),
        ),
        (
            "permessage-deflate; server_max_window_bits=15; server_no_context_takeover",
            Some(with_window.as_str()),
        ),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            Some(ACCEPTED),
        ),
        (
            "permessage-deflate\r\nSec-WebSocket-Extensions: foo; bar=\"a\"",
            Some(ACCEPTED),
        ),
        ("foo, bar; baz=1", None),
        ("permessage-deflate; server_max_window_bits=14", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        (
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            None,
        ),
        ("permessage-deflate; server_no_context_takeover=yes", None),
        ("permessage-deflate; unheard_of", None),
        ("permessage-bzip2, x-webkit-deflate-frame", None),
    ] {
        let headers = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let (_, answer) = RawPeer::open(&echo.node, "/ws/echo", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{offer}: {answer}");
        let answered = answer
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
        assert_eq!(answered, agreed, "{offer}");
    }
    for offer in [
        "permessage-deflate;",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=\"10",
        "permessage-deflate; client_max_window_bits=\"1 0\"",
        "permessage-deflate client_max_window_bits",
        "; permessage-deflate",
        "permessage-deflate, p@rt",
        "foo\r\nSec-WebSocket-Extensions: =",
    ] {
        let headers = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let (_, answer) = RawPeer::open(&echo.node, "/ws/echo", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{offer}: {answer}");
    }
}

#[tokio::test]
async fn compression_and_the_contract_can_be_off() {
    let echo = Echo::with(&[("HUBBUB__WEBSOCKET__DEFLATE", "false")]).await;
    let headers = format!("Sec-WebSocket-Extensions: {OFFER}\r\n");
    let (_, answer) = RawPeer::open(&echo.node, "/ws/echo", &headers).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(!answer.contains("Extensions"), "{answer}");

    let off = Echo::with(&[("HUBBUB__WEBSOCKET__ECHO_CONTRACT", "false")]).await;
    let (_, answer) = RawPeer::open(&off.node, "/ws/echo", "").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

/// Requests before the upgrade, in one segment with it, are answered before it (RFC 9112 §9.3.2).
#[tokio::test]
async fn what_was_asked_before_is_answered_first() {
    let echo = Echo::start().await;
    let ada = register(&echo.node, "ada").await;
    let room = ada.create_room("general").await;
    let token = &ada.token;
    let say = |key: &str| {
        let body = format!("{{\"body\":\"first\",\"client_id\":\"{key}\"}}");
        format!(
            "POST /api/rooms/{}/messages HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            room.id,
            body.len()
        )
    };
    let headers = GOOD
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers: String = headers.collect();
    for (path, answered) in [("/ws/echo", "101"), ("/nowhere", "404")] {
        let mut peer = RawPeer::connect(&echo.node).await;
        let upgrade = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
        let segment = [say(path), say("again"), upgrade].concat();
        peer.write(segment.as_bytes()).await;
        for _ in 0..2 {
            let head = peer.read_head().await;
            assert!(head.starts_with("HTTP/1.1 201 "), "{path}: {head}");
            let body = peer.read_body(&head).await;
            assert!(body.contains("msg_no"), "{path}: {body}");
        }
        let head = peer.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {answered} ")), "{head}");
        if answered == "101" {
            peer.write(&masked(TEXT, b"then")).await;
            assert_eq!(peer.read_frame().await, Some(frame(TEXT, "then")));
        }
    }
}
