//! Compressed messages: RFC 7692 §6 and §7.

use super::{BINARY, CLOSE, Echo, LAST, PING, PONG, TEXT, fails, fragments, frame, is_open};
use crate::harness::deflate::{RSV1, deflate, inflate};
use crate::harness::raw::{FIN, RawPeer, masked, opcode};

/// A message in compressed fragments of at most so many octets; 0 is all in one.
fn compressed(opcode: u8, payload: &[u8], level: u32, fragment_bytes: usize) -> Vec<u8> {
    let payload = deflate(payload, level);
    let size = if fragment_bytes == 0 {
        payload.len()
    } else {
        fragment_bytes
    };
    fragments(opcode | RSV1, payload.chunks(size))
}

/// Text that can be compressed, and differs from place to place.
fn text(size: usize) -> String {
    let words = "it never loses what it has said it has, and says so ";
    let text: String = (0..)
        .flat_map(|n: u32| format!("{n} {words}").into_bytes())
        .take(size)
        .map(char::from)
        .collect();
    text
}

/// Octets that cannot.
fn noise(size: usize) -> Vec<u8> {
    use rand::{Rng as _, SeedableRng as _};
    let mut bytes = vec![0; size];
    rand::rngs::StdRng::seed_from_u64(7692).fill_bytes(&mut bytes);
    bytes
}

/// Reads a message back; whether it came compressed.
async fn comes_back(peer: &mut RawPeer, first: u8, payload: &[u8]) -> bool {
    let answer = peer.read_frame().await.expect("an answer");
    assert_eq!(answer.first & !RSV1, first);
    let is_compressed = answer.first & RSV1 != 0;
    let plain = if is_compressed {
        assert!(answer.payload.len() < payload.len(), "it became shorter");
        inflate(&answer.payload)
    } else {
        answer.payload
    };
    assert!(
        plain == payload,
        "{} octets came as {}",
        payload.len(),
        plain.len()
    );
    is_compressed
}

#[tokio::test]
async fn sizes_levels_and_fragments() {
    let echo = Echo::start().await;
    let mut peer = echo.deflating().await;
    for size in [1, 16, 64, 256, 1023, 1100, 4096, 8192, 65_536, 131_072] {
        for fragment_bytes in [0, 1, 64, 1024, 32_768] {
            // In single octets only what is short.
            if fragment_bytes == 1 && size > 8192 {
                continue;
            }
            let level = if size % 3 == 0 { 1 } else { 6 };
            let sent = text(size);
            let bytes = compressed(opcode::TEXT, sent.as_bytes(), level, fragment_bytes);
            peer.write(&bytes).await;
            let came_compressed = comes_back(&mut peer, TEXT, sent.as_bytes()).await;
            assert_eq!(came_compressed, size >= 1024, "{size}");
            let sent = noise(size);
            peer.write(&compressed(opcode::BINARY, &sent, level, fragment_bytes))
                .await;
            assert!(!comes_back(&mut peer, BINARY, &sent).await, "{size}");
        }
    }
}

#[tokio::test]
async fn a_thousand_messages_one_after_the_other() {
    let echo = Echo::start().await;
    let mut peer = echo.deflating().await;
    let source = text(100_000);
    for n in 0..1000 {
        let from = n * 97 % 90_000;
        let part = &source.as_bytes()[from..from + 1 + n * 7 % 5000];
        peer.write(&compressed(opcode::TEXT, part, 6, n % 3 * 256))
            .await;
        comes_back(&mut peer, TEXT, part).await;
    }
    // An empty message, as RFC 7692 §7.2.3.6 has it.
    peer.write(&masked(TEXT | RSV1, b"\x00")).await;
    assert!(!comes_back(&mut peer, TEXT, b"").await);
}

#[tokio::test]
async fn plain_and_compressed_messages_take_turns() {
    let echo = Echo::start().await;
    let mut peer = echo.deflating().await;
    let long = text(3000);
    for _ in 0..3 {
        is_open(&mut peer, "plain").await;
        // A plain message is answered by a compressed one, if it is long enough.
        peer.write(&masked(TEXT, long.as_bytes())).await;
        assert!(comes_back(&mut peer, TEXT, long.as_bytes()).await);
        let parts = fragments(opcode::BINARY, long.as_bytes().chunks(1000));
        peer.write(&parts).await;
        assert!(comes_back(&mut peer, BINARY, long.as_bytes()).await);
    }
    // Control frames stand between the fragments, and are never compressed.
    let bytes = deflate(long.as_bytes(), 6);
    let (one, two) = bytes.split_at(100);
    let bytes = [
        masked(opcode::TEXT | RSV1, one),
        masked(PING, &[b'x'; 125]),
        masked(LAST, two),
        masked(CLOSE, &1000u16.to_be_bytes()),
    ];
    peer.write(&bytes.concat()).await;
    assert_eq!(peer.read_frame().await, Some(frame(PONG, [b'x'; 125])));
    assert!(comes_back(&mut peer, TEXT, long.as_bytes()).await);
    assert_eq!(peer.close_code().await, Some(1000));
}

#[tokio::test]
async fn the_examples_of_the_rfc() {
    let echo = Echo::start().await;
    let mut peer = echo.deflating().await;
    let fragmented = [
        masked(opcode::TEXT | RSV1, b"\xf2\x48\xcd"),
        masked(LAST, b"\xc9\xc9\x07\x00"),
    ];
    for bytes in [
        masked(TEXT | RSV1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        fragmented.concat(),
        masked(TEXT | RSV1, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
        masked(TEXT | RSV1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        masked(
            TEXT | RSV1,
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ),
    ] {
        peer.write(&bytes).await;
        assert_eq!(peer.read_frame().await, Some(frame(TEXT, "Hello")));
    }
}

#[tokio::test]
async fn what_breaks_the_extension_fails_the_connection() {
    let echo = Echo::start().await;
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let within = |second: Vec<u8>| [masked(opcode::TEXT | RSV1, &hello[..3]), second].concat();
    let wrong_text = deflate(b"\xce\xba\xed\xa0\x80", 6);
    let cut_text = deflate("\u{20ac}".as_bytes().split_at(2).0, 6);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        (
            "RSV1 on a later part",
            within(masked(LAST | RSV1, &hello[3..])),
            1002,
        ),
        ("RSV1 on a ping", masked(PING | RSV1, b""), 1002),
        ("RSV1 on a pong", masked(PONG | RSV1, b""), 1002),
        ("RSV1 on a close", masked(CLOSE | RSV1, hello), 1002),
        ("RSV2", masked(TEXT | RSV1 | 0x20, hello), 1002),
        ("RSV3", masked(TEXT | RSV1 | 0x10, hello), 1002),
        (
            "RSV1 on a reserved opcode",
            masked(FIN | RSV1 | 3, hello),
            1002,
        ),
        ("no stream", masked(TEXT | RSV1, b"\xff\xff\xff"), 1007),
        ("nothing at all", masked(TEXT | RSV1, b""), 1007),
        (
            "a stream that is cut off",
            masked(TEXT | RSV1, &hello[..4]),
            1007,
        ),
        (
            "a stream with more behind it",
            masked(BINARY | RSV1, b"\x01\x00\x00\xff\xff\x07"),
            1007,
        ),
        (
            "a reference to the message before",
            [
                masked(TEXT | RSV1, hello),
                masked(TEXT | RSV1, b"\xf2\x00\x11\x00\x00"),
            ]
            .concat(),
            1007,
        ),
        ("wrong text", masked(TEXT | RSV1, &wrong_text), 1007),
        (
            "wrong text in parts",
            fragments(opcode::TEXT | RSV1, wrong_text.chunks(2)),
            1007,
        ),
        ("text that is cut off", masked(TEXT | RSV1, &cut_text), 1007),
    ];
    for (what, bytes, code) in cases {
        let mut peer = echo.deflating().await;
        let answers = if what.starts_with("a reference") {
            vec![frame(TEXT, "Hello")]
        } else {
            Vec::new()
        };
        fails(&mut peer, what, &bytes, &answers, code).await;
        // The thread's inflater is none the worse for it.
        let mut next = echo.deflating().await;
        next.write(&masked(TEXT | RSV1, hello)).await;
        assert_eq!(
            next.read_frame().await,
            Some(frame(TEXT, "Hello")),
            "{what}"
        );
    }
    // Where it was not agreed on, RSV1 means nothing.
    let mut peer = echo.peer().await;
    fails(
        &mut peer,
        "not agreed on",
        &masked(TEXT | RSV1, hello),
        &[],
        1002,
    )
    .await;
    // As bytes it is no text.
    let mut peer = echo.deflating().await;
    peer.write(&masked(BINARY | RSV1, &wrong_text)).await;
    assert_eq!(
        peer.read_frame().await,
        Some(frame(BINARY, b"\xce\xba\xed\xa0\x80"))
    );
}

#[tokio::test]
async fn what_is_compressed_is_a_matter_of_settings() {
    let echo = Echo::with(&[
        ("HUBBUB__WEBSOCKET__DEFLATE_THRESHOLD_BYTES", "100"),
        ("HUBBUB__WEBSOCKET__DEFLATE_MAX_BYTES", "5000"),
        ("HUBBUB__WEBSOCKET__DEFLATE_LEVEL", "9"),
    ])
    .await;
    let mut peer = echo.deflating().await;
    for (size, is_compressed) in [(90, false), (110, true), (4900, true), (5100, false)] {
        let sent = "a".repeat(size);
        peer.write(&masked(TEXT, sent.as_bytes())).await;
        let came = comes_back(&mut peer, TEXT, sent.as_bytes()).await;
        assert_eq!(came, is_compressed, "{size}");
    }
}
