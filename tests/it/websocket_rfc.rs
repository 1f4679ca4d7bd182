//! What RFC 6455 and RFC 7692 ask of a server, by raw sockets against a real node's `/ws/echo`:
//! the ground of the Autobahn suite (`make autobahn` runs that itself), and what it leaves out.
//!
//! Where each "MUST" of the two RFCs for a server is tested:
//!
//! | section | what | where |
//! |---|---|---|
//! | 6455 §4.2.1, §4.2.2, §4.4 | the handshake, its answer, its refusals, versions | `handshake`, `protocol::websocket::handshake` |
//! | §5.1, §5.3 | masks: wanted of clients, not used by servers | `frames`, `harness::raw` (each frame read) |
//! | §5.2 | reserved bits and opcodes, lengths in their shortest form, the top bit | `frames` |
//! | §5.4 | fragments, control frames between them, no fragmented ones | `frames` |
//! | §5.5 | control frames: 125 bytes, in one piece; close, ping, pong | `frames`, `closing` |
//! | §5.6, §8.1 | text is UTF-8, across fragments and reads, and fails at once | `text` |
//! | §6 | messages are given as they were sent | `frames`, `sizes` |
//! | §7 | closing: by whom, with what, and who ends TCP | `closing` |
//! | §9.1 | extensions that are malformed, and that were not offered | `handshake` |
//! | §10 | limits, floods, frames without end, others undisturbed | `floods`, `ws_limits` |
//! | 7692 §5, §7.1 | offers, their parameters, what is declined, the answer | `handshake`, `protocol::websocket::extensions` |
//! | §6, §7.2 | compressed messages both ways, RSV1, fragments, broken streams | `deflate`, `protocol::websocket::deflate` |
//! | §8 | bombs | `floods` |

mod closing;
mod deflate;
mod floods;
mod frames;
mod handshake;
mod shared;
mod sizes;
mod text;

use crate::harness::deflate::{ACCEPTED, OFFER};
use crate::harness::node::{Node, NodeOptions};
use crate::harness::postgres::{self, TestDatabase};
use crate::harness::raw::{FIN, Frame, RawPeer, masked, opcode};

const TEXT: u8 = FIN | opcode::TEXT;
const BINARY: u8 = FIN | opcode::BINARY;
const PING: u8 = FIN | opcode::PING;
const PONG: u8 = FIN | opcode::PONG;
const CLOSE: u8 = FIN | opcode::CLOSE;
const LAST: u8 = FIN | opcode::CONTINUATION;

/// A node with the echo contract.
struct Echo {
    node: Node,
    _database: TestDatabase,
}

impl Echo {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let database = postgres::database().await;
        let options =
            NodeOptions::on(&database.url).set("HUBBUB__WEBSOCKET__ECHO_CONTRACT", "true");
        let options = settings
            .iter()
            .fold(options, |options, (name, value)| options.set(name, value));
        Self {
            node: Node::start(options).await,
            _database: database,
        }
    }

    async fn peer(&self) -> RawPeer {
        let (peer, answer) = RawPeer::open(&self.node, "/ws/echo", "").await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(!answer.to_lowercase().contains("extensions"), "{answer}");
        peer
    }

    /// A peer that may compress.
    async fn deflating(&self) -> RawPeer {
        let headers = format!("Sec-WebSocket-Extensions: {OFFER}\r\n");
        let (peer, answer) = RawPeer::open(&self.node, "/ws/echo", &headers).await;
        assert!(answer.contains(ACCEPTED), "{answer}");
        peer
    }
}

fn frame(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame {
        first,
        payload: payload.as_ref().to_vec(),
    }
}

/// The peer sends these bytes and is sent back these frames; then the hub closes with this code,
/// and ends its side of the connection although the peer has not ended its own.
async fn fails(peer: &mut RawPeer, what: &str, bytes: &[u8], answers: &[Frame], code: u16) {
    peer.write(bytes).await;
    for answer in answers {
        assert_eq!(peer.read_frame().await.as_ref(), Some(answer), "{what}");
    }
    assert_eq!(peer.close_code().await, Some(code), "{what}");
}

/// The connection is as good as new.
async fn is_open(peer: &mut RawPeer, what: &str) {
    peer.write(&masked(TEXT, b"still here?")).await;
    let answer = peer.read_frame().await;
    assert_eq!(answer, Some(frame(TEXT, "still here?")), "{what}");
}

/// A message in fragments.
fn fragments<'a>(opcode: u8, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut parts = parts.into_iter().peekable();
    let (mut bytes, mut first) = (Vec::new(), opcode);
    while let Some(part) = parts.next() {
        let fin = if parts.peek().is_none() { FIN } else { 0 };
        bytes.extend(masked(fin | first, part));
        first = opcode::CONTINUATION;
    }
    bytes
}
