//! Large messages, in pieces of all sizes.

use tokio::io::AsyncWriteExt as _;

use super::{BINARY, Echo, TEXT, fragments, frame};
use crate::harness::deflate::read_frame;
use crate::harness::raw::{RawPeer, masked, opcode};

const MIB: usize = 1 << 20;

/// Sends these bytes in writes of at most so many octets, and reads the answer meanwhile.
async fn comes_back(peer: RawPeer, bytes: &[u8], write_bytes: usize, first: u8, payload: &[u8]) {
    peer.nodelay();
    let (mut reader, mut writer) = peer.into_split();
    let write = async {
        for piece in bytes.chunks(write_bytes) {
            writer.write_all(piece).await.expect("the hub reads");
        }
    };
    let read = async { read_frame(&mut reader).await.expect("an answer") };
    let ((), answer) = tokio::join!(write, read);
    assert!(answer == frame(first, payload), "{} octets", payload.len());
}

#[tokio::test]
async fn sixteen_mebibytes_in_one_frame() {
    let echo = Echo::start().await;
    let payload = "*".repeat(16 * MIB);
    for first in [TEXT, BINARY] {
        let bytes = masked(first, payload.as_bytes());
        comes_back(
            echo.peer().await,
            &bytes,
            16 * MIB,
            first,
            payload.as_bytes(),
        )
        .await;
    }
}

#[tokio::test]
async fn in_fragments_of_all_sizes() {
    let echo = Echo::start().await;
    for (size, fragment_bytes) in [
        (MIB / 4, 16),
        (MIB, 64),
        (MIB, 256),
        (4 * MIB, 1024),
        (4 * MIB, 65_536),
        (16 * MIB, 4 * MIB),
    ] {
        let payload = "BAsd7&jh23".repeat(size / 10 + 1);
        let payload = &payload.as_bytes()[..size];
        for opcode in [opcode::TEXT, opcode::BINARY] {
            let bytes = fragments(opcode, payload.chunks(fragment_bytes));
            comes_back(echo.peer().await, &bytes, 65_536, 0x80 | opcode, payload).await;
        }
    }
}

#[tokio::test]
async fn in_writes_of_all_sizes() {
    let echo = Echo::start().await;
    for (size, write_bytes) in [
        (MIB / 64, 1),
        (MIB / 4, 64),
        (MIB, 512),
        (MIB, 2048),
        (MIB, 7777),
    ] {
        let payload = "\u{e4}\u{20ac}\u{1f600}".repeat(size / 9);
        for first in [TEXT, BINARY] {
            let bytes = masked(first, payload.as_bytes());
            comes_back(
                echo.peer().await,
                &bytes,
                write_bytes,
                first,
                payload.as_bytes(),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn many_messages_are_answered_in_their_order() {
    let echo = Echo::start().await;
    for size in [0, 16, 125, 1024, 60_000] {
        let peer = echo.peer().await;
        let (mut reader, mut writer) = peer.into_split();
        let rounds = if size > 10_000 { 100 } else { 1000 };
        let payload = |n: usize| format!("{n:0>size$}");
        let write = async {
            for n in 0..rounds {
                let bytes = masked(TEXT, payload(n).as_bytes());
                writer.write_all(&bytes).await.expect("the hub reads");
            }
        };
        let read = async {
            for n in 0..rounds {
                let answer = read_frame(&mut reader).await.expect("an answer");
                assert!(answer == frame(TEXT, payload(n)), "{size}: {n}");
            }
        };
        tokio::join!(write, read);
    }
}
