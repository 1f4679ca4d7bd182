//! Requests that ask for another protocol.
//!
//! They bypass the REST application altogether: the HTTP dispatcher hands over the raw stream with
//! what it had read ahead, and is gone, with its buffers. So this module routes, limits, refuses
//! and logs by itself.

use std::net::IpAddr;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::header;
use actix_http::{HttpMessage as _, Request, Version, h1};
use tokio::io::AsyncWriteExt as _;

use super::Transport;
use super::admission::{Caller, address, peer, texts};
use super::gate::known;
use super::held::{HeldStream, prepare};
use super::places::Seat;
use super::refusal::TransportError;
use super::socketio;
use crate::hub::connection::identity::Identity;
use crate::hub::connection::{self, Contract, Opening};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::native::Codec;
use crate::protocol::websocket::handshake::{self, Accepted, Spoken};

/// Where a WebSocket is opened.
const PATH: &str = "/ws";

/// Where one is opened that gives everything back, if `websocket.echo_contract` is set.
const ECHO_PATH: &str = "/ws/echo";

/// Writing the refusal of a handshake may take this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes the socket of a request for an upgrade.
pub(super) async fn upgrade(
    transport: Transport,
    request: Request,
    framed: Framed<HeldStream, h1::Codec>,
) {
    let address = address(&transport, request.peer_addr(), request.headers());
    if let Some(contract) = socketio::contract(&transport.socketio, request.path()) {
        return socketio::socket::upgrade(transport, request, framed, (address, contract)).await;
    }
    let judged = judge(&transport, &request, address).await;
    let mut parts = framed.into_parts();
    // Answers to requests before this one, which the dispatcher has not written.
    let mut answer = parts.write_buf;
    let Judged {
        accepted,
        identity,
        seat,
        contract,
    } = match judged {
        Ok(judged) => judged,
        Err(error) => {
            tracing::debug!(%error, %address, path = request.path(), "an upgrade was refused");
            answer.extend_from_slice(&error.answer());
            return refuse(&mut parts.io, &answer).await;
        }
    };
    // The dispatcher, its only other owner, is gone.
    let Some((socket, place)) = parts.io.into_inner() else {
        return;
    };
    if let Err(error) = prepare(socket.tcp(), &transport.websocket) {
        tracing::debug!(%error, %address, "a socket was lost in the handshake");
        return;
    }
    answer.extend_from_slice(switching_protocols(&accepted).as_bytes());
    tracing::debug!(%address, user = ?identity.map(|it| it.user_id), "a WebSocket was opened");
    let opening = Opening {
        socket,
        greeting: answer.freeze(),
        read_ahead: parts.read_buf.to_vec(),
        address,
        identity,
        codec: Codec::of(accepted.subprotocol),
        deflate: accepted.deflate.is_some(),
        contract,
        keep: Box::new((place, seat)),
    };
    connection::open(&transport.hub, opening);
}

/// Writes the refusal of a handshake, and closes the socket.
pub(super) async fn refuse(io: &mut HeldStream, answer: &[u8]) {
    let telling = async {
        io.write_all(answer).await?;
        io.shutdown().await
    };
    // Whether the refusal arrives is the peer's matter.
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, telling).await;
}

/// Answers a handshake; false if that was not taken in time.
pub(super) async fn tell(io: &mut HeldStream, answer: &[u8]) -> bool {
    let telling = async {
        io.write_all(answer).await?;
        io.flush().await
    };
    let told = tokio::time::timeout(ANSWER_TIMEOUT, telling).await;
    matches!(told, Ok(Ok(())))
}

/// An upgrade that is given.
struct Judged {
    accepted: Accepted,
    identity: Option<Identity>,
    seat: Seat,
    contract: Contract,
}

/// Whether the upgrade is given, and to whom.
async fn judge(
    transport: &Transport,
    request: &Request,
    address: IpAddr,
) -> Result<Judged, TransportError> {
    let contract = match request.path() {
        PATH => Some(Contract::Native),
        ECHO_PATH if transport.websocket.echo_contract => Some(Contract::Echo),
        _ => None,
    };
    let Some(contract) = contract else {
        let refusal = Refusal::new(
            ErrorCode::NotFound,
            "nothing at this address speaks another protocol; WebSockets are opened at /ws",
        );
        return Err(refusal.into());
    };
    let headers = request.headers();
    let accepted = handshake::accept(
        request.method().as_str(),
        request.version() == Version::HTTP_11,
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes())),
        Spoken {
            subprotocols: Codec::SUBPROTOCOLS,
            deflate: transport.websocket.deflate,
        },
    )?;
    let caller = Caller {
        headers,
        query: request.uri().query().unwrap_or_default(),
        host: texts(headers, &header::HOST).next(),
        address,
        peer: peer(request.peer_addr()),
        is_shared: false,
    };
    let (identity, seat) = match contract {
        Contract::Native => caller.admit(transport).await?,
        // Whoever reaches it may use it, and is nobody.
        Contract::Echo => (None, caller.admit_anybody(transport)?),
    };
    Ok(Judged {
        accepted,
        identity: identity.as_ref().map(known),
        seat,
        contract,
    })
}

/// The answer to a handshake that is accepted.
pub(super) fn switching_protocols(accepted: &Accepted) -> String {
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
    if let Some(deflate) = accepted.deflate {
        answer.push_str("Sec-WebSocket-Extensions: ");
        answer.push_str(deflate.answer());
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    answer
}
