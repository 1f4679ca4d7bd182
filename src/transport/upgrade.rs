//! Requests that ask for another protocol.
//!
//! They bypass the REST application altogether: the HTTP dispatcher hands over the raw stream with
//! what it had read ahead, and is gone, with its buffers. So this module routes, limits, refuses
//! and logs by itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use actix_codec::Framed;
use actix_http::header::{self, HeaderMap, HeaderName};
use actix_http::{HttpMessage as _, Request, Version, h1};
use actix_rt::net::TcpStream;
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use super::Transport;
use super::gate::known;
use super::refusal::UpgradeError;
use crate::auth::client_address::client_address;
use crate::auth::{Bucket, Presented, RequestOrigin, Subject};
use crate::hub::connection::identity::Identity;
use crate::hub::connection::{self, Opening};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::websocket::handshake::{self, Accepted};

/// Where a WebSocket is opened.
const PATH: &str = "/ws";

/// Subprotocols that are spoken. A client that offers none speaks JSON.
const SUBPROTOCOLS: &[&str] = &["hubbub.json.v1"];

/// Writing the refusal of a handshake may take this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes the socket of a request for an upgrade.
pub(super) async fn upgrade(
    transport: Transport,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) {
    let address = address(&transport, &request);
    let judged = judge(&transport, &request, address).await;
    let parts = framed.into_parts();
    let mut socket = parts.io;
    let (accepted, identity) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            tracing::debug!(%error, %address, path = request.path(), "an upgrade was refused");
            // Whether the refusal arrives is the peer's matter.
            let answer = error.answer();
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, socket.write_all(&answer)).await;
            return;
        }
    };
    if let Err(error) = prepare(&socket, &transport.websocket) {
        tracing::debug!(%error, %address, "a socket was lost in the handshake");
        return;
    }
    tracing::debug!(%address, user = ?identity.map(|it| it.user_id), "a WebSocket was opened");
    let opening = Opening {
        socket,
        greeting: switching_protocols(&accepted),
        read_ahead: parts.read_buf.to_vec(),
        address,
        identity,
    };
    connection::open(&transport.hub, opening);
}

/// Whether the upgrade is given, and to whom.
async fn judge(
    transport: &Transport,
    request: &Request,
    address: IpAddr,
) -> Result<(Accepted, Option<Identity>), UpgradeError> {
    if request.path() != PATH {
        let refusal = Refusal::new(
            ErrorCode::NotFound,
            "nothing at this address speaks another protocol; WebSockets are opened at /ws",
        );
        return Err(refusal.into());
    }
    let headers = request.headers();
    let accepted = handshake::accept(
        request.method().as_str(),
        request.version() == Version::HTTP_11,
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes())),
        SUBPROTOCOLS,
    )?;
    if transport.hub.is_draining() {
        return Err(unavailable("this node is shutting down; connect to another").into());
    }
    if transport.hub.connections() >= transport.http.max_connections {
        let message = "this node has as many connections as it takes";
        return Err(Refusal::new(ErrorCode::Overloaded, message).into());
    }
    transport
        .limits
        .take(Bucket::Connects, Subject::Address(address), address)?;
    let query = request.uri().query().unwrap_or_default();
    let ticket = ticket(query);
    let presented = Presented {
        cookies: texts(headers, &header::COOKIE).collect(),
        authorization: texts(headers, &header::AUTHORIZATION).next(),
        ticket: ticket.as_deref(),
    };
    let origin = RequestOrigin {
        origin: texts(headers, &header::ORIGIN).next(),
        fetch_site: texts(headers, &HeaderName::from_static("sec-fetch-site")).next(),
        host: texts(headers, &header::HOST).next(),
    };
    let patience = Duration::from_millis(transport.websocket.command_timeout_ms);
    let asking = transport
        .authenticator
        .authenticate_handshake(&presented, origin);
    let identity = tokio::time::timeout(patience, asking)
        .await
        .map_err(|_| unavailable("no answer from the database within the time-out"))?
        .map_err(|error| error.refusal())?;
    Ok((accepted, identity.as_ref().map(known)))
}

fn unavailable(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, message)
}

fn address(transport: &Transport, request: &Request) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded: Vec<_> = texts(
        request.headers(),
        &HeaderName::from_static("x-forwarded-for"),
    )
    .collect();
    client_address(peer, forwarded.into_iter(), &transport.http.trusted_proxies)
}

/// The values of a header that are text.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
}

fn ticket(query: &str) -> Option<String> {
    // A ticket is base64url: it is never percent-encoded.
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ticket="))
        .map(str::to_owned)
}

fn switching_protocols(accepted: &Accepted) -> Bytes {
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        accepted.accept
    );
    if let Some(subprotocol) = accepted.subprotocol {
        answer.push_str("Sec-WebSocket-Protocol: ");
        answer.push_str(subprotocol);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    answer.into()
}

/// Small frames leave at once, and the kernel holds no more for a peer that does not read than
/// it is allowed to.
fn prepare(socket: &TcpStream, config: &crate::config::WebSocket) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = socket2::SockRef::from(socket);
    if config.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(config.send_buffer_bytes)?;
    }
    #[cfg(target_os = "linux")]
    if config.notsent_lowat_bytes > 0 {
        socket.set_tcp_notsent_lowat(config.notsent_lowat_bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_found_wherever_they_stand() {
        assert_eq!(ticket("ticket=abc"), Some("abc".into()));
        assert_eq!(ticket("a=b&ticket=abc&c"), Some("abc".into()));
        assert_eq!(ticket("tickets=abc"), None);
        assert_eq!(ticket(""), None);
    }
}
