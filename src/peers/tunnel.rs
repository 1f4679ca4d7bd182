//! A client's WebSocket that is passed on to the node of its session: an upgrade on the channel
//! between nodes, after which bytes are carried both ways.
//!
//! The request says by its path and its header, both sealed, what is wanted; the answer to it is sealed,
//! too. What follows is the client's frames as they came, and the session's.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use actix_codec::Framed;
use actix_http::{HttpMessage as _, Request, h1};
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{PeerError, Peers};
use super::listener::Desk;
use super::metrics::{CALLS, REQUESTS};
use super::passing::{PassedSocket, SOCKET_NAME};
use super::refused::Refused;
use super::seal::{self, ANSWER_HEADER, Claims, REQUEST_HEADER};
use crate::protocol::engineio::request::HandshakeError;
use crate::protocol::origin::Origin;

/// Longer than any head of ours.
const HEAD_MAX_BYTES: usize = 4096;

/// Writing the answer to one may take this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to the session's node.
#[derive(Debug)]
pub struct Tunnel {
    /// It.
    pub stream: TcpStream,
    /// What had been read from it beyond the answer's head.
    pub read_ahead: Vec<u8>,
}

/// A WebSocket that another node passes on.
#[derive(Debug)]
pub struct PassedStream {
    /// The way to that node, and by it to the client.
    pub stream: TcpStream,
    /// What had been read from it beyond the request.
    pub read_ahead: Vec<u8>,
    /// Its place, kept until it has been closed.
    pub keep: Box<dyn Debug + Send>,
}

impl Peers {
    /// Asks the node that has this life to take a WebSocket. The inner error is the status with
    /// which it does not.
    pub async fn tunnel(
        &self,
        home: &Origin,
        socket: &PassedSocket,
    ) -> Result<Result<Tunnel, u16>, PeerError> {
        let limit = Duration::from_millis(self.shared().config.call_timeout_ms);
        let asking = self.try_tunnel(home, socket);
        let answer = tokio::time::timeout(limit, asking).await;
        let answer = answer.unwrap_or(Err(PeerError::TimedOut));
        let outcome = answer.as_ref().err().map_or("ok", PeerError::code);
        CALLS.with_label_values(&[SOCKET_NAME, outcome]).inc();
        if let Err(error) = &answer {
            let error = error as &dyn std::error::Error;
            tracing::debug!(error, peer = %home, "a WebSocket could not be passed on");
        }
        answer
    }

    async fn try_tunnel(
        &self,
        home: &Origin,
        socket: &PassedSocket,
    ) -> Result<Result<Tunnel, u16>, PeerError> {
        let peer = self.find(home).await?;
        if peer.address.is_empty() {
            return Err(PeerError::NoAddress);
        }
        let shared = self.shared();
        let reading = shared.view.known();
        let claims = Claims {
            from: shared.own.clone(),
            to: peer.origin.clone(),
            time_us: reading.clock.micros_at(Instant::now()),
            nonce: rand::random(),
            digest: seal::digest(b""),
        };
        let path = path(socket).ok_or(PeerError::BadAnswer)?;
        let (header, mac) = claims.seal(&reading.secret, "GET", &path);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             {REQUEST_HEADER}: {header}\r\n\r\n",
            peer.address
        );
        let mut stream = TcpStream::connect(&peer.address)
            .await
            .map_err(PeerError::NoConnection)?;
        stream.set_nodelay(true).map_err(PeerError::Lost)?;
        let written = stream.write_all(request.as_bytes()).await;
        written.map_err(PeerError::Lost)?;
        let (head, read_ahead) = read_head(&mut stream).await?;
        let (status, header) = parse(&head).ok_or(PeerError::BadAnswer)?;
        let is_authentic = header
            .is_some_and(|header| seal::is_answer(&reading.secret, &mac, status, b"", header));
        match (is_authentic, status) {
            (true, 101) => Ok(Ok(Tunnel { stream, read_ahead })),
            (true, status) => Ok(Err(status)),
            // Of those who have no seal to show only the refusal of what is too much counts.
            (false, 503) => Err(PeerError::Refused(Refused::Overloaded.code())),
            (false, _) => Err(PeerError::BadAnswer),
        }
    }
}

/// The path of a request, which says all of it.
fn path(socket: &PassedSocket) -> Option<String> {
    let said = serde_json::to_vec(socket).ok()?;
    Some(format!("/peer/{SOCKET_NAME}/{}", seal::hex(&said)))
}

/// What the path of a request says.
fn said(path: &str) -> Option<PassedSocket> {
    let (_, said) = path.split_once("/peer/")?;
    let said = said.strip_prefix(SOCKET_NAME)?.strip_prefix('/')?;
    serde_json::from_slice(&seal::unhex_all(said)?).ok()
}

async fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>), PeerError> {
    const END: &[u8] = b"\r\n\r\n";
    let mut read = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut read).await.map_err(PeerError::Lost)? == 0 {
            return Err(PeerError::Lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(end) = read.windows(END.len()).position(|it| it == END) {
            let rest = read.split_off(end + END.len());
            let head = String::from_utf8(read).map_err(|_| PeerError::BadAnswer)?;
            return Ok((head, rest));
        }
        if read.len() > HEAD_MAX_BYTES {
            return Err(PeerError::BadAnswer);
        }
    }
}

/// The status of an answer, and what it is authenticated by.
fn parse(head: &str) -> Option<(u16, Option<&str>)> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?;
    let status = status.split(' ').next()?.parse().ok()?;
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let header = fields.find(|(name, _)| name.eq_ignore_ascii_case(ANSWER_HEADER));
    Some((status, header.map(|(_, value)| value.trim())))
}

/// Takes the stream of another node's request for an upgrade.
pub(super) async fn accept(desk: &Desk, request: Request, framed: Framed<TcpStream, h1::Codec>) {
    let mut parts = framed.into_parts();
    let mut from = None;
    let answer = match take(desk, &request, &mut from).await {
        Ok((socket, mac, keep)) => {
            let taken = desk.host.takes_socket(&socket);
            let status = taken.map_or_else(HandshakeError::status, |()| 101);
            note(status);
            let secret = &desk.peers.view.known().secret;
            let header = seal::seal_answer(secret, &mac, status, b"");
            let answer = answer(status, Some(&header));
            if status == 101 {
                let telling = parts.io.write_all(answer.as_bytes());
                let told = tokio::time::timeout(ANSWER_TIMEOUT, telling).await;
                if !matches!(told, Ok(Ok(()))) {
                    return;
                }
                let stream = PassedStream {
                    stream: parts.io,
                    read_ahead: parts.read_buf.to_vec(),
                    keep,
                };
                return desk.host.give_socket(&socket, stream);
            }
            answer
        }
        Err(refused) => {
            let address = request.peer_addr().map(|it| it.ip().to_string());
            desk.refusals
                .note(refused, address.as_deref(), from.as_deref());
            answer(refused.status(), None)
        }
    };
    let telling = async {
        parts.io.write_all(answer.as_bytes()).await?;
        parts.io.shutdown().await
    };
    // Whether it arrives is the peer's matter.
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, telling).await;
}

/// Lets a request in: what it wants, its mac, and its place.
async fn take(
    desk: &Desk,
    request: &Request,
    from: &mut Option<String>,
) -> Result<(PassedSocket, seal::Hash, Box<dyn Debug + Send>), Refused> {
    let header = request.headers().get(REQUEST_HEADER);
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |it| it.as_str());
    let what = (request.method().as_str(), path);
    let sealed = desk.let_in(header, what, from).await?;
    if sealed.claims.digest != seal::digest(b"") {
        return Err(Refused::Forged);
    }
    let place = std::sync::Arc::clone(&desk.passed).try_acquire_owned();
    let place = place.map_err(|_| Refused::Overloaded)?;
    let socket = said(path).ok_or(Refused::UnknownQuery)?;
    Ok((socket, sealed.mac, Box::new(place)))
}

fn answer(status: u16, header: Option<&str>) -> String {
    let mut answer = match status {
        101 => "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            .to_owned(),
        status => {
            format!("HTTP/1.1 {status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n")
        }
    };
    if let Some(header) = header {
        answer.push_str(ANSWER_HEADER);
        answer.push_str(": ");
        answer.push_str(header);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    answer
}

fn note(status: u16) {
    REQUESTS
        .with_label_values(&[SOCKET_NAME, &status.to_string()])
        .inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_wanted() {
        let socket = PassedSocket {
            query: "EIO=4&transport=websocket&sid=a~1~\u{e9}#?/".into(),
            deflate: true,
        };
        let path = path(&socket).unwrap();
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
        assert_eq!(said(&path), Some(socket));
        for bad in [
            "/",
            "/peer/engineio_socket",
            "/peer/engineio_socket/0",
            "/peer/x/00",
        ] {
            assert_eq!(said(bad), None, "{bad}");
        }
    }

    #[test]
    fn heads_are_read() {
        let head = answer(101, Some("1 a b"));
        assert_eq!(parse(&head), Some((101, Some("1 a b"))));
        assert_eq!(parse(&answer(400, None)), Some((400, None)));
        assert_eq!(parse("SSH-2.0\r\n\r\n"), None);
    }
}
