//! A peer that says whatever it likes: bytes over TCP.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::DEADLINE;
use super::node::Node;

/// Opcodes of RFC 6455 §5.2.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

/// The FIN bit.
pub(crate) const FIN: u8 = 0x80;

/// A frame from the hub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// FIN, RSV and opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

/// A TCP connection to a node.
pub(crate) struct RawPeer(TcpStream);

impl RawPeer {
    pub(crate) async fn connect(node: &Node) -> Self {
        Self::connect_to(&node.address).await
    }

    /// Connects to an address, which may be no client's.
    pub(crate) async fn connect_to(address: &str) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(stream.expect("the node accepts"))
    }

    /// Connects and asks for an upgrade by the book, with these headers besides. Gives the
    /// answer's head, too.
    pub(crate) async fn open(node: &Node, path: &str, headers: &str) -> (Self, String) {
        let mut peer = Self::connect(node).await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n",
            node.address
        );
        peer.write(head.as_bytes()).await;
        let answer = peer.read_head().await;
        (peer, answer)
    }

    /// Connects and goes through a handshake by the book.
    pub(crate) async fn upgraded(node: &Node, token: &str) -> Self {
        let headers = format!("Authorization: Bearer {token}\r\n");
        let (peer, answer) = Self::open(node, "/ws", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(
            answer
                .to_lowercase()
                .contains(&"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_lowercase()),
            "the key of RFC 6455 §1.3 is answered: {answer}"
        );
        peer
    }

    /// Writes; a hub that has closed already is no failure.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Has each write leave at once.
    pub(crate) fn nodelay(&self) {
        self.0.set_nodelay(true).expect("a socket");
    }

    /// The two directions, to use both at once.
    pub(crate) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.0.into_split()
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Reads the head of an HTTP answer.
    pub(crate) async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(DEADLINE, self.0.read_u8()).await;
            match byte.expect("an answer comes in time") {
                Ok(byte) => head.push(byte),
                // The end: what there is of the head is the caller's matter.
                Err(_) => break,
            }
        }
        String::from_utf8(head).expect("a head is text")
    }

    /// Reads the body that belongs to a head with a length.
    pub(crate) async fn read_body(&mut self, head: &str) -> String {
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|it| it.strip_prefix("content-length: "));
        let length = length.expect("a length").trim().parse();
        let mut body = vec![0; length.expect("a number")];
        let read = timeout(DEADLINE, self.0.read_exact(&mut body)).await;
        read.expect("it comes in time").expect("all of it comes");
        String::from_utf8(body).expect("text")
    }

    /// Reads the next frame; none at the end of the stream.
    pub(crate) async fn read_frame(&mut self) -> Option<Frame> {
        let frame = async {
            let first = self.0.read_u8().await?;
            let second = self.0.read_u8().await?;
            assert_eq!(second & 0x80, 0, "a server's frames are not masked");
            let length = match second {
                126 => u64::from(self.0.read_u16().await?),
                127 => self.0.read_u64().await?,
                short => u64::from(short),
            };
            let shortest = match second {
                126 => 126..=0xffff,
                127 => 0x1_0000..=u64::MAX >> 1,
                _ => 0..=125,
            };
            assert!(
                shortest.contains(&length),
                "not the shortest form: {length}"
            );
            assert_eq!(first & 0x30, 0, "RSV2 and RSV3 mean nothing");
            let length = usize::try_from(length).expect("a length");
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>(Frame { first, payload })
        };
        let frame = timeout(DEADLINE, frame).await;
        frame.expect("a frame or the end comes in time").ok()
    }

    /// Reads frames up to a close frame, and gives its code; asserts that the stream ends then.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.read_frame().await {
            assert!(code.is_none(), "a frame after the close frame: {frame:?}");
            if frame.first == FIN | opcode::CLOSE {
                let (bytes, _) = frame.payload.split_first_chunk::<2>()?;
                code = Some(u16::from_be_bytes(*bytes));
            }
        }
        code
    }
}

/// A client's frame, masked as RFC 6455 §5.3 wants it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = head(first, payload.len(), 0x80);
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

/// A frame that is not masked, as no client may send it.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len(), 0);
    frame.extend(payload);
    frame
}

/// The head of a frame up to the masking key, in its shortest form.
pub(crate) fn head(first: u8, length: usize, mask_bit: u8) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => head.push(mask_bit | short),
        (_, Ok(medium)) => {
            head.push(mask_bit | 0x7e);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(mask_bit | 0x7f);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}
