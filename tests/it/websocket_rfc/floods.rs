//! Floods, bombs and promises: the right close code, bounded memory, and nobody else notices
//! (RFC 6455 §10, RFC 7692 §8).

use super::{Echo, LAST, PING, PONG, TEXT, fragments, frame};
use crate::harness::deflate::{OFFER, RSV1, deflate};
use crate::harness::eventually;
use crate::harness::node::Node;
use crate::harness::postgres::TestDatabase;
use crate::harness::raw::{RawPeer, head, masked, opcode};
use crate::harness::rest::{Room, User, register};
use crate::harness::socket::Socket;

const MIB: u64 = 1 << 20;

/// A node, a room, and somebody in it who must notice nothing.
struct Scene {
    node: Node,
    _database: TestDatabase,
    ada: User,
    room: Room,
    bystander: Socket,
    rounds: usize,
}

impl Scene {
    async fn with(settings: &[(&str, &str)]) -> Self {
        let (node, database) = Node::on_fresh_database_with(settings).await;
        let ada = register(&node, "ada").await;
        let room = ada.create_room("general").await;
        let mut bystander = Socket::connect(&node, &ada).await;
        bystander.join(&room.id).await;
        Self {
            node,
            _database: database,
            ada,
            room,
            bystander,
            rounds: 0,
        }
    }

    async fn peer(&self) -> RawPeer {
        RawPeer::upgraded(&self.node, &self.ada.token).await
    }

    async fn deflating(&self) -> RawPeer {
        let token = &self.ada.token;
        let headers =
            format!("Authorization: Bearer {token}\r\nSec-WebSocket-Extensions: {OFFER}\r\n");
        let (peer, answer) = RawPeer::open(&self.node, "/ws", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        peer
    }

    /// The bystander publishes, and hears it.
    async fn undisturbed(&mut self) {
        self.rounds += 1;
        let key = format!("round {}", self.rounds);
        let room = self.room.id.clone();
        self.bystander.publish(&room, "undisturbed", &key).await;
        assert_eq!(self.bystander.push("message").await["client_id"], key);
    }

    /// How much more memory the node holds than before, bytes.
    fn grown_bytes(&self, before: u64) -> u64 {
        self.node.resident_bytes().saturating_sub(before)
    }
}

#[tokio::test]
async fn bombs() {
    let mut scene = Scene::with(&[]).await;
    let blanks = vec![b' '; 256 << 20];
    let bomb = deflate(&blanks, 9);
    drop(blanks);
    assert!(bomb.len() < 300_000, "{}", bomb.len());
    // Its largest that is let in, to have what a thread needs for one.
    let largest = deflate(&vec![b' '; 1_000_000], 9);
    let mut peer = scene.deflating().await;
    peer.write(&masked(TEXT | RSV1, &largest)).await;
    let refused = peer.read_frame().await.expect("an answer");
    assert!(String::from_utf8_lossy(&refused.payload).contains("invalid_request"));
    let before = scene.node.resident_bytes();
    for round in 0..20 {
        let mut peer = scene.deflating().await;
        let bytes = if round % 2 == 0 {
            masked(TEXT | RSV1, &bomb)
        } else {
            fragments(opcode::BINARY | RSV1, bomb.chunks(1000))
        };
        peer.write(&bytes).await;
        assert_eq!(peer.close_code().await, Some(1009));
        scene.undisturbed().await;
    }
    let grown = scene.grown_bytes(before);
    assert!(grown < 24 * MIB, "20 bombs of 256 MiB took {grown}");
    let caught = "websocket_inflated_messages_total{outcome=\"too_big\"}";
    assert_eq!(scene.node.metric(caught).await, 20);

    // One octet over the limit is as bad, and the limit is not.
    for (size, code) in [(1_000_000, None), (1_000_001, Some(1009))] {
        let mut peer = scene.deflating().await;
        let bytes = deflate(&vec![b' '; size], 9);
        peer.write(&masked(TEXT | RSV1, &bytes)).await;
        if code.is_some() {
            assert_eq!(peer.close_code().await, code);
        } else {
            let answer = peer.read_frame().await.expect("an answer");
            assert_eq!(answer.first, TEXT);
        }
    }
    // A compressed message that is longer than any that fits is not even received.
    let mut peer = scene.deflating().await;
    let mut begun = head(TEXT | RSV1, 1_130_000, 0x80);
    begun.extend([0; 4]);
    peer.write(&begun).await;
    assert_eq!(peer.close_code().await, Some(1009));
}

#[tokio::test]
async fn many_bombs_in_one_read_take_turns_with_others() {
    let mut scene = Scene::with(&[]).await;
    let nearly = masked(TEXT | RSV1, &deflate(&vec![b' '; 999_000], 9));
    let mut peer = scene.deflating().await;
    let flood = nearly.repeat(200);
    assert!(flood.len() < 300_000);
    peer.write(&flood).await;
    scene.undisturbed().await;
    // Each is looked at, and refused: blanks are no request.
    for _ in 0..200 {
        let answer = peer.read_frame().await.expect("an answer");
        assert!(String::from_utf8_lossy(&answer.payload).contains("invalid_request"));
    }
    scene.undisturbed().await;
}

/// An empty stream takes two bytes, and none that a compressor makes is followed by thousands.
#[tokio::test]
async fn a_message_of_very_many_streams() {
    let mut scene = Scene::with(&[]).await;
    // The thread has room for a large message, and so has each that follows.
    let largest = deflate(&vec![b' '; 1_000_000], 9);
    let streams = [&largest[..], &b"\x03\x00".repeat(100_000)].concat();
    let ended = [&largest[..], &b"\x00\x00\xff\xff\x03\x00".repeat(65)].concat();
    for bytes in [streams, ended] {
        let mut peer = scene.deflating().await;
        peer.write(&masked(TEXT | RSV1, &bytes)).await;
        assert_eq!(peer.close_code().await, Some(1007));
        scene.undisturbed().await;
    }
    let caught = "websocket_inflated_messages_total{outcome=\"invalid_utf8\"}";
    assert_eq!(scene.node.metric(caught).await, 2);
}

#[tokio::test]
async fn ten_thousand_tiny_fragments() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    let payload = "0123456789".repeat(1000);
    peer.write(&fragments(opcode::TEXT, payload.as_bytes().chunks(1)))
        .await;
    assert_eq!(peer.read_frame().await, Some(frame(TEXT, &payload)));
    let mut nothing = masked(opcode::TEXT, b"");
    nothing.extend(masked(opcode::CONTINUATION, b"").repeat(10_000));
    nothing.extend(masked(LAST, b"!"));
    peer.write(&nothing).await;
    assert_eq!(peer.read_frame().await, Some(frame(TEXT, "!")));
}

#[tokio::test]
async fn frames_and_messages_without_end() {
    const PEERS: usize = 200;
    let mut scene = Scene::with(&[]).await;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(scene.deflating().await);
    }
    scene.undisturbed().await;
    let before = scene.node.resident_bytes();
    for (n, peer) in peers.iter_mut().enumerate() {
        // A megabyte is promised, and a little of it comes; or it comes in fragments of nothing.
        let mut begun = match n % 3 {
            0 => head(TEXT, 1_000_000, 0x80),
            1 => head(TEXT | RSV1, 1_000_000, 0x80),
            _ => [
                masked(opcode::TEXT, b"begun"),
                masked(opcode::CONTINUATION, b"").repeat(1000),
                head(opcode::CONTINUATION, 900_000, 0x80),
            ]
            .concat(),
        };
        begun.extend([0; 4]);
        begun.extend([b' '; 100]);
        peer.write(&begun).await;
    }
    // What each has sent has been read when its ping in the middle of another frame would be: it
    // cannot ask, so the bystander's thread is given time by having it read as much.
    let inbound = masked(PING, b"read");
    let mut witness = scene.peer().await;
    for _ in 0..100 {
        witness.write(&inbound).await;
        assert_eq!(witness.read_frame().await, Some(frame(PONG, "read")));
    }
    scene.undisturbed().await;
    let grown = scene.grown_bytes(before);
    assert!(grown < 8 * MIB, "200 promises of a megabyte took {grown}");
    // They are waited for no longer than the silent: until then the others are there.
    for peer in &mut peers {
        peer.finish().await;
        assert_eq!(peer.close_code().await, None);
    }
    scene.undisturbed().await;
}

#[tokio::test]
async fn messages_that_grow_to_their_limit() {
    const PEERS: usize = 20;
    let mut scene = Scene::with(&[]).await;
    let part = masked(opcode::CONTINUATION, &[b' '; 10_000]);
    for kind in [opcode::TEXT, opcode::BINARY | RSV1] {
        let before = scene.node.resident_bytes();
        for _ in 0..PEERS {
            let mut peer = scene.deflating().await;
            peer.write(&masked(kind, b"")).await;
            // Until it is over the limit; how much of it is written after that does not matter.
            for _ in 0..114 {
                peer.write(&part).await;
            }
            assert_eq!(peer.close_code().await, Some(1009));
        }
        scene.undisturbed().await;
        let grown = scene.grown_bytes(before);
        assert!(grown < 16 * MIB, "{kind:x}: {grown}");
    }
}

#[tokio::test]
async fn a_flood_of_pings_from_a_peer_that_reads_nothing() {
    const PINGS: u32 = 400_000;
    let mut scene = Scene::with(&[("HUBBUB__WEBSOCKET__OUTBOX_MAX_AGE_MS", "600000")]).await;
    let mut peer = scene.peer().await;
    peer.write(&masked(PING, b"first")).await;
    assert_eq!(peer.read_frame().await, Some(frame(PONG, "first")));
    scene.undisturbed().await;
    let before = scene.node.resident_bytes();
    let payload = |n: u32| {
        let mut payload = vec![b'x'; 125];
        payload[..4].copy_from_slice(&n.to_be_bytes());
        payload
    };
    for n in 0..PINGS {
        peer.write(&masked(PING, &payload(n))).await;
        if n % 50_000 == 0 {
            scene.undisturbed().await;
        }
    }
    let saved = eventually("pongs are saved", async || {
        let saved = scene.node.metric("websocket_pongs_saved_total").await;
        (saved > 0).then_some(saved)
    });
    saved.await;
    // The 50 MB are read, and not answered by 50 MB that wait.
    let grown = scene.grown_bytes(before);
    assert!(grown < 16 * MIB, "{PINGS} pings took {grown}");
    // In their order, and the last one among them.
    let mut last = None;
    let mut answered = 0;
    while last != Some(PINGS - 1) {
        let pong = peer.read_frame().await.expect("a pong");
        assert_eq!((pong.first, pong.payload.len()), (PONG, 125));
        let n = pong.payload.first_chunk::<4>().expect("a number");
        let n = u32::from_be_bytes(*n);
        assert!(last < Some(n), "{n} after {last:?}");
        last = Some(n);
        answered += 1;
    }
    assert!(answered < PINGS, "{answered}");
    scene.undisturbed().await;
}

#[tokio::test]
async fn a_flood_of_pings_from_a_peer_that_reads() {
    let echo = Echo::start().await;
    let mut peer = echo.peer().await;
    let pings: Vec<u8> = masked(PING, b"?").repeat(1000);
    for _ in 0..20 {
        peer.write(&pings).await;
        for _ in 0..1000 {
            assert_eq!(peer.read_frame().await, Some(frame(PONG, "?")));
        }
    }
    assert_eq!(echo.node.metric("websocket_pongs_saved_total").await, 0);
}

#[tokio::test]
async fn lying_lengths_cost_nothing() {
    let mut scene = Scene::with(&[]).await;
    let before = scene.node.resident_bytes();
    for (len, code) in [
        (1_000_001_u64, 1009),
        (1 << 31, 1009),
        (1 << 32, 1009),
        (1 << 62, 1009),
        (i64::MAX as u64, 1009),
        (1 << 63, 1002),
        (u64::MAX, 1002),
    ] {
        for first in [0x81, 0x82, 0x01, 0xc1, 0x42] {
            // The limit of what is compressed is higher by an eighth.
            let len = if first & RSV1 != 0 {
                len.saturating_add(200_000)
            } else {
                len
            };
            let mut bytes = vec![first, 0xff];
            bytes.extend(len.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend([b' '; 1000]);
            let mut peer = scene.deflating().await;
            peer.write(&bytes).await;
            let expected = if len >> 63 == 1 { 1002 } else { code };
            assert_eq!(peer.close_code().await, Some(expected), "{first:x} {len}");
        }
        scene.undisturbed().await;
    }
    let grown = scene.grown_bytes(before);
    assert!(grown < 16 * MIB, "{grown}");
}
