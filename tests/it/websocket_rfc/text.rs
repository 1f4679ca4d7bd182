//! Text is UTF-8: RFC 6455 §5.6 and §8.1. What is not fails the connection with 1007, and as soon
//! as the octet that makes it wrong is there.

use super::{Echo, LAST, TEXT, fails, fragments, frame};
use crate::harness::raw::{head, masked, opcode};

/// At the edges of what there is, and what looks wrong but is not.
const GOOD: &[&str] = &[
    "",
    "\0",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10fffe}",
    "\u{10ffff}",
    "\u{feff}a byte order mark",
    "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!",
    "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5} \u{1f600}",
];

/// Each is wrong at its last octet.
const WRONG: &[&[u8]] = &[
    b"\x80",
    b"\xbf",
    b"a\x80",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xf8",
    b"\xfc",
    b"\xfe",
    b"\xff",
    b"\xc3\x28",
    b"\xc3\xc3",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xe2\x82\x28",
    b"\xe2\x28",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x80",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xf0\x9f\x98\x28",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
];

/// Good so far, and not whole.
const CUT: &[&[u8]] = &[
    b"\xc3",
    b"\xe2",
    b"\xe2\x82",
    b"\xf0",
    b"\xf0\x9f",
    b"\xf0\x9f\x98",
    b"whole \xce\xba, cut \xce",
];

#[tokio::test]
async fn good_text_comes_back_however_it_is_cut() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    peer.nodelay();
    for text in GOOD {
        let whole = masked(TEXT, text.as_bytes());
        let octets = fragments(opcode::TEXT, text.as_bytes().chunks(1));
        peer.write(&[whole, octets].concat()).await;
        for octet in masked(TEXT, text.as_bytes()) {
            peer.write(&[octet]).await;
        }
        for _ in 0..if text.is_empty() { 2 } else { 3 } {
            assert_eq!(peer.read_frame().await, Some(frame(TEXT, text)), "{text}");
        }
    }
}

#[tokio::test]
async fn wrong_text_fails_as_soon_as_it_is_wrong() {
    let echo = Echo::start().await;
    for wrong in WRONG {
        let what = format!("{wrong:x?}");
        let mut peer = echo.peer().await;
        fails(&mut peer, &what, &masked(TEXT, wrong), &[], 1007).await;

        // Much more was announced, and does not have to come.
        let mut begun = head(TEXT, 1000, 0x80);
        begun.extend([0; 4]);
        begun.extend(*wrong);
        let mut peer = echo.peer().await;
        fails(&mut peer, &what, &begun, &[], 1007).await;

        // In fragments of one octet, the last of which is not the message's.
        let mut bytes = Vec::new();
        for (n, octet) in wrong.iter().enumerate() {
            let first = if n == 0 { opcode::TEXT } else { 0 };
            bytes.extend(masked(first, &[*octet]));
        }
        let mut peer = echo.peer().await;
        fails(&mut peer, &what, &bytes, &[], 1007).await;

        // Octet by octet, behind a good fragment.
        let mut peer = echo.peer().await;
        peer.nodelay();
        let good = masked(opcode::TEXT, "gut: \u{e4}".as_bytes());
        for octet in [good, masked(LAST, wrong)].concat() {
            peer.write(&[octet]).await;
        }
        assert_eq!(peer.close_code().await, Some(1007), "{what}");
    }
}

#[tokio::test]
async fn text_that_is_cut_off_fails_at_its_end() {
    let echo = Echo::start().await;
    for cut in CUT {
        let what = format!("{cut:x?}");
        let mut peer = echo.peer().await;
        fails(&mut peer, &what, &masked(TEXT, cut), &[], 1007).await;

        // As long as the message goes on, it may become whole.
        let mut peer = echo.peer().await;
        let begun = [masked(opcode::TEXT, cut), masked(0x89, b"?")].concat();
        peer.write(&begun).await;
        assert_eq!(peer.read_frame().await, Some(frame(0x8a, "?")), "{what}");
        fails(&mut peer, &what, &masked(LAST, b""), &[], 1007).await;
    }
    // Whatever the octets: a message of bytes is no text.
    let mut peer = echo.peer().await;
    for bytes in WRONG.iter().chain(CUT) {
        peer.write(&masked(0x82, bytes)).await;
        assert_eq!(peer.read_frame().await, Some(frame(0x82, bytes)));
    }
}
