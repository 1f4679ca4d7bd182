//! Frames: RFC 6455 §5 and §6.

use super::{BINARY, Echo, LAST, PING, PONG, TEXT, fails, fragments, frame, is_open};
use crate::harness::raw::{FIN, head, masked, opcode, unmasked};

#[tokio::test]
async fn messages_of_every_form_of_length_come_back() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    for size in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537] {
        let payload = "*".repeat(size);
        for first in [TEXT, BINARY] {
            peer.write(&masked(first, payload.as_bytes())).await;
            let answer = peer.read_frame().await;
            assert!(answer == Some(frame(first, &payload)), "{first:x}, {size}");
        }
    }
    // Any bytes are a message of bytes.
    let all: Vec<u8> = (0..=255).collect();
    peer.write(&masked(BINARY, &all)).await;
    assert_eq!(peer.read_frame().await, Some(frame(BINARY, &all)));
}

#[tokio::test]
async fn frames_may_come_octet_by_octet_and_many_at_once() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    peer.nodelay();
    let mut bytes = Vec::new();
    for size in [0, 3, 126, 300] {
        bytes.extend(masked(TEXT, "x".repeat(size).as_bytes()));
        bytes.extend(masked(PING, size.to_string().as_bytes()));
        let parts = "y".repeat(size);
        bytes.extend(fragments(opcode::BINARY, parts.as_bytes().chunks(100)));
    }
    let expected = async |peer: &mut crate::harness::raw::RawPeer| {
        for size in [0, 3, 126, 300] {
            let text = frame(TEXT, "x".repeat(size));
            assert_eq!(peer.read_frame().await, Some(text), "{size}");
            let pong = frame(PONG, size.to_string());
            assert_eq!(peer.read_frame().await, Some(pong), "{size}");
            if size > 0 {
                let binary = frame(BINARY, "y".repeat(size));
                assert_eq!(peer.read_frame().await, Some(binary), "{size}");
            }
        }
    };
    peer.write(&bytes).await;
    expected(&mut peer).await;
    for octet in &bytes {
        peer.write(&[*octet]).await;
    }
    expected(&mut peer).await;
}

#[tokio::test]
async fn fragments_are_one_message_and_control_frames_stand_between() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    for first in [opcode::TEXT, opcode::BINARY] {
        // Empty fragments, at the beginning, in the middle and at the end.
        let parts = [&b""[..], b"frag", b"", b"ment", b""];
        peer.write(&fragments(first, parts)).await;
        let whole = frame(FIN | first, "fragment");
        assert_eq!(peer.read_frame().await, Some(whole));
        peer.write(&fragments(first, [&b""[..], b"", b""])).await;
        assert_eq!(peer.read_frame().await, Some(frame(FIN | first, "")));
    }
    let bytes = [
        masked(opcode::TEXT, b"one "),
        masked(PING, b"a"),
        masked(PONG, b"not asked for"),
        masked(opcode::CONTINUATION, b"two "),
        masked(PING, b"b"),
        masked(LAST, b"three"),
    ];
    peer.write(&bytes.concat()).await;
    assert_eq!(peer.read_frame().await, Some(frame(PONG, "a")));
    assert_eq!(peer.read_frame().await, Some(frame(PONG, "b")));
    assert_eq!(peer.read_frame().await, Some(frame(TEXT, "one two three")));
    is_open(&mut peer, "after fragments").await;
}

#[tokio::test]
async fn pings_are_answered_with_their_bytes() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    let payloads: [&[u8]; 4] = [b"", b"hello", &[0, 0xff, 0xfe, 0xc3, 0x28], &[0xfe; 125]];
    for payload in payloads {
        peer.write(&masked(PING, payload)).await;
        assert_eq!(peer.read_frame().await, Some(frame(PONG, payload)));
    }
    let pings: Vec<u8> = (0..10u8).flat_map(|n| masked(PING, &[n])).collect();
    peer.write(&pings).await;
    for n in 0..10u8 {
        assert_eq!(peer.read_frame().await, Some(frame(PONG, [n])));
    }
    // Pongs are answered by nothing.
    peer.write(&[masked(PONG, b""), masked(PONG, &[0; 125])].concat())
        .await;
    is_open(&mut peer, "after pongs").await;
}

#[tokio::test]
async fn what_breaks_the_framing_fails_the_connection() {
    let echo = Echo::start().await;
    let two_messages = [masked(opcode::TEXT, b"a"), masked(TEXT, b"b")].concat();
    let within = |second: Vec<u8>| [masked(opcode::BINARY, b"a"), second].concat();
    let long_form = |form: &[u8], len: usize| {
        let mut bytes = vec![TEXT];
        bytes.extend(form);
        bytes.extend([0; 4]);
        bytes.extend(vec![b'x'; len]);
        bytes
    };
    let length = |len: u64| {
        let mut bytes = vec![BINARY, 0xff];
        bytes.extend(len.to_be_bytes());
        bytes.extend([0; 4]);
        bytes
    };
    let mut cases = vec![
        ("no mask", unmasked(TEXT, b"hello"), 1002),
        ("no mask on a ping", unmasked(PING, b""), 1002),
        ("no mask on a close", unmasked(0x88, b"\x03\xe8"), 1002),
        (
            "no mask on a continuation",
            within(unmasked(LAST, b"b")),
            1002,
        ),
        ("a ping in pieces", masked(opcode::PING, b""), 1002),
        ("a pong in pieces", masked(opcode::PONG, b""), 1002),
        (
            "a close in pieces",
            masked(opcode::CLOSE, b"\x03\xe8"),
            1002,
        ),
        ("a ping of 126", masked(PING, &[b'x'; 126]), 1002),
        ("a pong of 126", masked(PONG, &[b'x'; 126]), 1002),
        ("a close of 126", masked(0x88, &[b'x'; 126]), 1002),
        ("a ping of 64 KiB", head(PING, 65_536, 0x80), 1002),
        ("a last part of nothing", masked(LAST, b"x"), 1002),
        (
            "a part of nothing",
            masked(opcode::CONTINUATION, b"x"),
            1002,
        ),
        (
            "an empty part of nothing",
            masked(opcode::CONTINUATION, b""),
            1002,
        ),
        ("text within text", two_messages, 1002),
        ("bytes within bytes", within(masked(BINARY, b"b")), 1002),
        (
            "a length in long form",
            long_form(&[0xfe, 0, 125], 125),
            1002,
        ),
        (
            "a length in longest form",
            long_form(&[0xff, 0, 0, 0, 0, 0, 0, 0, 5], 5),
            1002,
        ),
        ("a length of 2^63", length(1 << 63), 1002),
        ("a length of 2^64 - 1", length(u64::MAX), 1002),
        ("a length of 2^63 - 1", length((1 << 63) - 1), 1009),
        ("a length of 2^32", length(1 << 32), 1009),
    ];
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        cases.push(("reserved bits on text", masked(TEXT | bits, b"x"), 1002));
        cases.push(("on a first part", masked(opcode::BINARY | bits, b"x"), 1002));
        cases.push(("on a later part", within(masked(LAST | bits, b"x")), 1002));
        cases.push(("on a ping", masked(PING | bits, b"x"), 1002));
        cases.push(("on a close", masked(0x88 | bits, b"\x03\xe8"), 1002));
    }
    for reserved in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(("a reserved opcode", masked(FIN | reserved, b""), 1002));
        cases.push(("one with a payload", masked(FIN | reserved, b"x"), 1002));
        cases.push(("in pieces", masked(reserved, b"x"), 1002));
        cases.push((
            "within a message",
            within(masked(FIN | reserved, b"")),
            1002,
        ));
    }
    for (what, bytes, code) in cases {
        // What came before is answered, and what comes after is not.
        let mut peer = echo.peer().await;
        let mut bytes = [masked(TEXT, b"good"), bytes].concat();
        bytes.extend(masked(TEXT, b"late"));
        bytes.extend(masked(PING, b"late"));
        let what = format!("{what}: {:x?}", &bytes[10..bytes.len().min(20)]);
        fails(&mut peer, &what, &bytes, &[frame(TEXT, "good")], code).await;
    }
}
