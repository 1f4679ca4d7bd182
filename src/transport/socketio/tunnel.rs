//! A WebSocket for a session of another node: its bytes are carried both ways.
//!
//! The other node's session reads and writes frames as if the socket were its own. Who carries them
//! looks at none.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, split};

use super::{elsewhere, turn};
use crate::hub::connection::Socket;
use crate::hub::engineio::Handover;
use crate::peers::Tunnel;
use crate::peers::passing::PassedSocket;
use crate::protocol::engineio::request::HandshakeError;
use crate::protocol::origin::Origin;
use crate::transport::Transport;
use crate::transport::metrics::SOCKETIO_TUNNELS;
use crate::transport::refusal::TransportError;

/// Asks the node of the session whether it takes a socket.
pub(super) async fn open(
    transport: &Transport,
    home: &Origin,
    query: &str,
    deflate: bool,
) -> Result<Tunnel, TransportError> {
    let socket = PassedSocket {
        query: query.to_owned(),
        deflate,
    };
    let tunnel = transport.peers.tunnel(home, &socket).await;
    let tunnel = tunnel.map_err(|error| elsewhere::refused(&error))?;
    tunnel.map_err(|status| match status {
        503 => elsewhere::refused(&crate::peers::PeerError::Busy),
        _ => HandshakeError::UnknownSid.into(),
    })
}

/// Carries what comes, until one of the two ends it, nothing came for longer than heartbeats take, or
/// this node is to stop: then the session's node is told that this is the end, and what it still has for
/// the client is carried.
pub(super) fn carry(transport: &Transport, client: Handover, tunnel: Tunnel) {
    let patience = elsewhere::patience(transport);
    let last_words = Duration::from_millis(transport.websocket.close_timeout_ms);
    let transport = transport.clone();
    actix_rt::spawn(async move {
        SOCKETIO_TUNNELS.inc();
        let Handover {
            socket,
            greeting,
            read_ahead,
            keep,
            ..
        } = client;
        let moved = Rc::new(Cell::new(0));
        let mut here = Carried {
            socket,
            moved: Rc::clone(&moved),
        };
        let mut there = tunnel;
        let carrying = async {
            here.write_all(&greeting).await?;
            here.write_all(&there.read_ahead).await?;
            there.stream.write_all(&read_ahead).await?;
            let turn = turn::comes(&transport);
            both_ways(here, there.stream, (turn, last_words)).await
        };
        tokio::select! {
            ended = carrying => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a WebSocket that was passed on has ended");
                }
            }
            () = silence(&moved, patience) => {
                tracing::debug!("a WebSocket that was passed on is silent");
            }
        }
        SOCKETIO_TUNNELS.dec();
        drop(keep);
    });
}

/// Copies until one side has ended, and the other has, too, or its time for that is over. At its turn to
/// go the client's side has ended.
async fn both_ways(
    here: Carried,
    there: TcpStream,
    (turn, last_words): (impl Future<Output = ()>, Duration),
) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(here);
    let (mut from_node, mut to_node) = there.into_split();
    let up = async {
        tokio::select! {
            copied = copy(&mut from_client, &mut to_node) => drop(copied?),
            () = turn => tracing::debug!("a WebSocket that is passed on is sent away"),
        }
        to_node.shutdown().await
    };
    let down = async {
        copy(&mut from_node, &mut to_client).await?;
        to_client.shutdown().await
    };
    let mut up = pin!(up);
    let mut down = pin!(down);
    let rest = tokio::select! {
        done = &mut up => {
            done?;
            tokio::time::timeout(last_words, down).await
        }
        done = &mut down => {
            done?;
            tokio::time::timeout(last_words, up).await
        }
    };
    rest.unwrap_or(Ok(()))
}

/// Waits until nothing has moved for so long.
async fn silence(moved: &Cell<u64>, patience: Duration) {
    loop {
        let before = moved.get();
        tokio::time::sleep(patience).await;
        if moved.get() == before {
            return;
        }
    }
}

/// The client's socket, as tokio copies to and from it.
struct Carried {
    socket: Socket,
    /// Bytes that came or went.
    moved: Rc<Cell<u64>>,
}

impl Carried {
    fn note(&self, bytes: usize) {
        self.moved.set(self.moved.get().wrapping_add(bytes as u64));
    }
}

impl AsyncRead for Carried {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    self.note(*read.as_ref().unwrap_or(&0));
                    return Poll::Ready(read.map(drop));
                }
            }
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                written => {
                    self.note(*written.as_ref().unwrap_or(&0));
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_finish(cx)
    }
}
