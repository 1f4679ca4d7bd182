//! Sockets of Engine.IO: a session that begins with one, or one for a session that polls.

use std::fmt::Debug;
use std::net::IpAddr;

use actix_codec::Framed;
use actix_http::header;
use actix_http::{HttpMessage as _, Request, Version, h1};

use super::request::Asked;
use super::{entry, tunnel};
use crate::hub::engineio::{Contract, Handover, Opening};
use crate::protocol::engineio::request::{HandshakeError, Purpose};
use crate::protocol::origin::Origin;
use crate::protocol::websocket::handshake::{self, Accepted, Spoken};
use crate::transport::Transport;
use crate::transport::admission::{Caller, peer, stays, texts};
use crate::transport::held::{HeldStream, prepare};
use crate::transport::metrics::SOCKETIO_REQUESTS;
use crate::transport::places::Seat;
use crate::transport::refusal::TransportError;
use crate::transport::upgrade::{refuse, switching_protocols, tell};

/// An upgrade that is given.
struct Given {
    accepted: Accepted,
    to: To,
}

/// What it is given to.
enum To {
    /// A new session.
    Begin(Opening),
    /// A session of this node.
    Session(Box<str>),
    /// A session of another node, which has given it.
    Elsewhere(crate::peers::Tunnel, Seat),
}

/// Takes the socket of a request for an upgrade.
pub(in crate::transport) async fn upgrade(
    transport: Transport,
    request: Request,
    framed: Framed<HeldStream, h1::Codec>,
    (address, contract): (IpAddr, Contract),
) {
    let judged = judge(&transport, &request, address, contract).await;
    let mut parts = framed.into_parts();
    // Answers to requests before this one, which the dispatcher has not written.
    let mut answer = parts.write_buf;
    let Given { accepted, to } = match judged {
        Ok(given) => given,
        Err(error) => {
            tracing::debug!(%error, %address, "an upgrade of Socket.IO was refused");
            note(&error);
            answer.extend_from_slice(&error.answer());
            return refuse(&mut parts.io, &answer).await;
        }
    };
    answer.extend_from_slice(switching_protocols(&accepted).as_bytes());
    let mut coming = None;
    if let To::Session(sid) = &to {
        // If it has ended since it was looked for, that shows below.
        coming = transport.hub.engineio().expect_socket(sid).ok();
        // Also one that the session does not take is given, and then closed: on another thread there
        // would be no time to say so.
        if !tell(&mut parts.io, &answer).await {
            return;
        }
        answer.clear();
    }
    // The dispatcher, its only other owner, is gone.
    let Some((socket, place)) = parts.io.into_inner() else {
        return;
    };
    if let Err(error) = prepare(socket.tcp(), &transport.websocket) {
        tracing::debug!(%error, %address, "a socket was lost in the handshake");
        return;
    }
    let handover = |keep: Box<dyn Debug + Send>| Handover {
        socket,
        greeting: answer.freeze(),
        read_ahead: parts.read_buf.to_vec(),
        deflate: accepted.deflate.is_some(),
        keep,
    };
    let (way, done) = match to {
        To::Begin(opening) => {
            let handover = handover(Box::new(place));
            ("here", transport.hub.open_websocket(opening, handover))
        }
        To::Session(sid) => {
            let handover = handover(Box::new(place));
            (
                "here",
                transport.hub.engineio().upgrade(&sid, handover, coming),
            )
        }
        To::Elsewhere(tunnel, seat) => {
            let handover = handover(Box::new((place, seat)));
            tunnel::carry(&transport, handover, tunnel);
            ("passed_on", Ok(()))
        }
    };
    let outcome = match done {
        Ok(()) => "ok",
        Err(refused) => {
            // It has ended, or been filled, since it was looked for.
            tracing::debug!(%refused, %address, "a WebSocket of Socket.IO was not taken");
            "refused"
        }
    };
    SOCKETIO_REQUESTS
        .with_label_values(&["upgrade", way, outcome])
        .inc();
}

/// Whether the upgrade is given, and to whom.
async fn judge(
    transport: &Transport,
    request: &Request,
    address: IpAddr,
    contract: Contract,
) -> Result<Given, TransportError> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    let asked = Asked::read_upgrade(transport, query)?;
    let home = asked.elsewhere(transport);
    let purpose = if home.is_some() {
        // That node judges it.
        Purpose::Upgrade
    } else {
        let engineio = transport.hub.engineio();
        let known = |sid: &str| engineio.known(sid);
        asked.query.purpose(asked.method, known)?
    };
    let accepted = handshake::accept(
        request.method().as_str(),
        request.version() == Version::HTTP_11,
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes())),
        Spoken {
            subprotocols: &[],
            deflate: transport.socketio.per_message_deflate,
        },
    )?;
    let caller = Caller {
        headers,
        query,
        host: texts(headers, &header::HOST).next(),
        address,
        peer: peer(request.peer_addr()),
        is_shared: false,
    };
    let to = match (purpose, home) {
        (_, Some(home)) => {
            let deflate = accepted.deflate.is_some();
            let (tunnel, seat) = tunnelled(&caller, transport, (&home, deflate)).await?;
            To::Elsewhere(tunnel, seat)
        }
        (Purpose::Open, None) => {
            To::Begin(entry::admit(&caller, transport, &asked, contract).await?)
        }
        (Purpose::Upgrade, None) => To::Session(asked.sid().into()),
        (Purpose::Poll | Purpose::Post, None) => return Err(HandshakeError::BadRequest.into()),
    };
    Ok(Given { accepted, to })
}

/// Asks the node of the session whether it takes the socket.
async fn tunnelled(
    caller: &Caller<'_>,
    transport: &Transport,
    (home, deflate): (&Origin, bool),
) -> Result<(crate::peers::Tunnel, Seat), TransportError> {
    stays(transport)?;
    // It has one of the session there; here it is a socket that costs as much.
    let seat = transport
        .places
        .sit(caller.address, caller.peer, caller.is_shared)?;
    let tunnel = tunnel::open(transport, home, caller.query, deflate).await?;
    Ok((tunnel, seat))
}

fn note(error: &TransportError) {
    SOCKETIO_REQUESTS
        .with_label_values(&["upgrade", "here", error.label()])
        .inc();
}
