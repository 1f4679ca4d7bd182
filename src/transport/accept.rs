//! From a new TCP connection to a stream that speaks HTTP: its place, what it speaks, and the
//! handshake of TLS. Whoever is slow about any of it is cut off.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_rt::net::TcpStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::Transport;
use super::held::HeldStream;
use super::metrics::{REFUSED, TLS_HANDSHAKES, TLS_SECONDS};
use super::refusal::TransportError;
use super::server::Ending;
use super::tls::Tls;
use crate::hub::connection::{Socket, TlsSocket};
use crate::protocol::error::{ErrorCode, Refusal};

/// The beginning of the preface of HTTP/2, RFC 9113 section 3.4.
const HTTP2: &[u8; 12] = b"PRI * HTTP/2";

/// The first byte of a TLS connection: a record of the handshake, RFC 8446 section 5.1.
const TLS_HANDSHAKE: u8 = 22;

/// Connections that are told why they are turned away, at once and on all threads; others are
/// just closed. They are beyond what the node takes.
static FAREWELLS: Semaphore = Semaphore::const_new(64);

/// Telling them may take this long, with reading what they had sent: a socket that is closed with
/// something unread is reset, and the answer lost.
const FAREWELL: Duration = Duration::from_millis(500);

/// Makes a stream of a connection. An error has ended it.
pub(super) async fn accept(
    io: TcpStream,
    ending: Ending,
    transport: Transport,
) -> Result<(HeldStream, Protocol, Option<SocketAddr>), DispatchError> {
    let _counted = ending.connection();
    let peer = io.peer_addr().ok();
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let place = match transport.places.enter(address) {
        Ok(place) => place,
        Err(refused) => {
            // Nothing can be said to who expects TLS.
            if transport.tls.is_none() {
                farewell(io, TransportError::from(refused)).await;
            }
            return Err(DispatchError::Upgrade);
        }
    };
    let head_timeout = Duration::from_millis(transport.http.request_head_timeout_ms);
    // actix-http could do that by itself, but would wait for the first byte for ever, also when
    // the connection is to finish.
    let mut first = [0; HTTP2.len()];
    let length = tokio::select! {
        peeked = io.peek(&mut first) => peeked?,
        () = ending.told() => return Err(DispatchError::DisconnectTimeout),
        () = tokio::time::sleep(head_timeout) => {
            note("silent");
            return Err(DispatchError::SlowRequestTimeout);
        }
    };
    let Some(tls) = &transport.tls else {
        let protocol = if &first == HTTP2 {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        let stream = HeldStream::new(Socket::Plain(io), place, protocol, &transport.http);
        return Ok((stream, protocol, peer));
    };
    if length > 0 && first[0] != TLS_HANDSHAKE {
        note("not_tls");
        // Also what is no HTTP may be read by somebody.
        let message = "this port speaks TLS: use https:// or wss://";
        farewell(io, Refusal::new(ErrorCode::InvalidRequest, message).into()).await;
        return Err(DispatchError::Upgrade);
    }
    let handshake = tokio::select! {
        handshake = shake_hands(io, tls, &transport) => handshake,
        () = ending.told() => return Err(DispatchError::DisconnectTimeout),
    };
    let socket = handshake.map_err(|error| {
        tracing::debug!(%error, %address, "a TLS handshake failed");
        DispatchError::Io(error)
    })?;
    let protocol = if socket.speaks(b"h2") {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    let socket = Socket::Tls(Box::new(socket));
    let stream = HeldStream::new(socket, place, protocol, &transport.http);
    Ok((stream, protocol, peer))
}

/// Does the handshake of TLS, when it is its turn.
async fn shake_hands(io: TcpStream, tls: &Tls, transport: &Transport) -> io::Result<TlsSocket> {
    let begun = Instant::now();
    let limit = Duration::from_millis(transport.http.tls_handshake_timeout_ms);
    let work = async {
        let _turn = tls.turn().await;
        io.set_nodelay(true)?;
        TlsSocket::accept(io, tls.config()).await
    };
    let socket = tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .inspect_err(|error| {
            note(if error.kind() == io::ErrorKind::TimedOut {
                "handshake_timeout"
            } else {
                "handshake_failed"
            });
        })?;
    let kind = if socket.was_resumed() {
        "resumed"
    } else {
        "full"
    };
    TLS_HANDSHAKES.with_label_values(&[kind]).inc();
    TLS_SECONDS.observe(begun.elapsed().as_secs_f64());
    Ok(socket)
}

/// Tells a client why it is turned away, in plain HTTP, if not too many others are being told.
async fn farewell(mut io: TcpStream, why: TransportError) {
    let Ok(_turn) = FAREWELLS.try_acquire() else {
        return;
    };
    let telling = async {
        io.write_all(&why.answer()).await?;
        io.shutdown().await?;
        // Up to its end: most have sent their request and wait.
        let mut unread = [0; 1024];
        for _ in 0..64 {
            if io.read(&mut unread).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whether it arrives is the peer's matter.
    let _ = tokio::time::timeout(FAREWELL, telling).await;
}

fn note(reason: &str) {
    REFUSED.with_label_values(&[reason]).inc();
}
