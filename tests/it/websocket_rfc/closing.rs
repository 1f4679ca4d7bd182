//! The end of a connection: RFC 6455 §5.5.1 and §7.

use serde_json::json;

use super::{CLOSE, Echo, PING, TEXT, fails, frame};
use crate::harness::node::Node;
use crate::harness::raw::{RawPeer, masked, opcode};
use crate::harness::rest::register;

/// The hub waits for so long that a test which waits for it fails.
const PATIENT: &[(&str, &str)] = &[
    ("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "60000"),
    ("HUBBUB__HTTP__SHUTDOWN_GRACE_MS", "120000"),
];

/// Reads to the end, which comes although the peer has not ended its side: a server ends TCP first.
async fn ends(peer: &mut RawPeer, what: &str) {
    assert_eq!(peer.read_frame().await, None, "{what}");
}

#[tokio::test]
async fn a_close_is_answered_and_the_hub_ends_tcp() {
    let echo = Echo::start().await;
    for code in [
        1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
        4000, 4999,
    ] {
        for reason in ["", "bye \u{1f44b}"] {
            let mut peer = echo.peer().await;
            let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
            peer.write(&masked(CLOSE, &payload)).await;
            let answer = peer.read_frame().await;
            assert_eq!(answer, Some(frame(CLOSE, code.to_be_bytes())), "{code}");
            ends(&mut peer, &code.to_string()).await;
        }
    }
    let mut peer = echo.peer().await;
    peer.write(&masked(CLOSE, b"")).await;
    assert_eq!(peer.read_frame().await, Some(frame(CLOSE, b"")));
    ends(&mut peer, "no code").await;

    let mut peer = echo.peer().await;
    let longest = [&1000u16.to_be_bytes()[..], &[b'x'; 123]].concat();
    peer.write(&masked(CLOSE, &longest)).await;
    assert_eq!(peer.close_code().await, Some(1000));
}

#[tokio::test]
async fn a_close_that_cannot_be_fails() {
    let echo = Echo::start().await;
    for code in [
        0u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65_535,
    ] {
        let mut peer = echo.peer().await;
        let what = code.to_string();
        let close = masked(CLOSE, &code.to_be_bytes());
        fails(&mut peer, &what, &close, &[], 1002).await;
    }
    let mut peer = echo.peer().await;
    fails(&mut peer, "one octet", &masked(CLOSE, &[3]), &[], 1002).await;
    for reason in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"ok \xce\xba\xe1"] {
        let mut peer = echo.peer().await;
        let payload = [&1000u16.to_be_bytes()[..], reason].concat();
        let what = format!("{reason:x?}");
        fails(&mut peer, &what, &masked(CLOSE, &payload), &[], 1007).await;
    }
    let mut peer = echo.peer().await;
    let payload = [&1000u16.to_be_bytes()[..], &[b'x'; 124]].concat();
    fails(&mut peer, "too long", &masked(CLOSE, &payload), &[], 1002).await;
}

#[tokio::test]
async fn nothing_after_a_close_is_looked_at() {
    let echo = Echo::start().await;
    let close = masked(CLOSE, &1000u16.to_be_bytes());
    let answer = frame(CLOSE, 1000u16.to_be_bytes());
    for (what, after) in [
        ("a message", masked(TEXT, b"late")),
        ("a ping", masked(PING, b"late")),
        ("another close", masked(CLOSE, &1001u16.to_be_bytes())),
        ("nonsense", vec![0xff; 1000]),
        ("much", vec![0x82; 4 << 20]),
    ] {
        let mut peer = echo.peer().await;
        let before = masked(TEXT, b"in time");
        peer.write(&[&before, &close, &after[..]].concat()).await;
        assert_eq!(
            peer.read_frame().await,
            Some(frame(TEXT, "in time")),
            "{what}"
        );
        // What still comes does not have the kernel throw the close frame away.
        assert_eq!(peer.read_frame().await.as_ref(), Some(&answer), "{what}");
        ends(&mut peer, what).await;

        // And not when it comes later.
        let mut peer = echo.peer().await;
        peer.write(&close).await;
        peer.write(&after).await;
        assert_eq!(peer.read_frame().await.as_ref(), Some(&answer), "{what}");
        ends(&mut peer, what).await;
    }
    // In the middle of a message: that is given up.
    let mut peer = echo.peer().await;
    let begun = masked(opcode::TEXT, b"begun");
    peer.write(&[begun, close].concat()).await;
    assert_eq!(peer.close_code().await, Some(1000));
}

#[tokio::test]
async fn after_a_failure_nothing_is_waited_for() {
    let echo = Echo::with(PATIENT).await;
    let mut peer = echo.peer().await;
    let garbage = vec![0x83; 1 << 20];
    fails(&mut peer, "garbage", &garbage, &[], 1002).await;
    let failed = "websocket_disconnects_total{reason=\"protocol_error\"}";
    assert_eq!(echo.node.metric(failed).await, 1);
}

#[tokio::test]
async fn a_close_by_the_hub_waits_for_its_answer() {
    let (node, _database) = Node::on_fresh_database_with(PATIENT).await;
    let ada = register(&node, "ada").await;
    let mut peer = RawPeer::upgraded(&node, &ada.token).await;
    peer.write(&masked(0x82, b"bytes where text is spoken"))
        .await;
    let close = peer.read_frame().await.expect("a close frame");
    assert_eq!(
        (close.first, &close.payload[..2]),
        (CLOSE, &1003u16.to_be_bytes()[..])
    );
    // Commands are not obeyed any more; the answer ends the connection.
    let command = json!({ "id": 1, "cmd": "ping" }).to_string();
    peer.write(&masked(TEXT, command.as_bytes())).await;
    peer.write(&masked(CLOSE, &1003u16.to_be_bytes())).await;
    ends(&mut peer, "answered").await;
}

#[tokio::test]
async fn who_answers_no_close_is_left() {
    let (node, _database) =
        Node::on_fresh_database_with(&[("HUBBUB__WEBSOCKET__CLOSE_TIMEOUT_MS", "1000")]).await;
    let ada = register(&node, "ada").await;
    let mut peer = RawPeer::upgraded(&node, &ada.token).await;
    peer.write(&masked(0x82, b"bytes")).await;
    assert_eq!(peer.close_code().await, Some(1003));
}
