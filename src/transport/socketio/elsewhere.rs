//! Requests for a session of another node: they are passed on to it, one hop, over the channel between
//! nodes. What is passed on is never passed on again: the other node looks for the session among its
//! own alone ([`passed_on`](super::passed_on)).

use std::time::Duration;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::answer::Answers;
use super::request::Asked;
use super::{body, read, turn};
use crate::fault;
use crate::peers::PeerError;
use crate::peers::passing::{PassedBack, PassedOn};
use crate::protocol::engineio::payload::Form;
use crate::protocol::engineio::request::{HandshakeError, Method};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::origin::Origin;
use crate::transport::Transport;
use crate::transport::refusal::TransportError;

/// What the other node has answered.
#[derive(Debug)]
pub(super) enum Passed {
    /// To a poll.
    Payload(&'static str, Bytes),
    /// To a POST.
    Ok,
}

impl Passed {
    /// Writes it for the client.
    pub(super) fn write(self, answers: &Answers<'_>) -> HttpResponse {
        match self {
            Self::Payload(content_type, body) => answers.written(content_type, body),
            Self::Ok => answers.ok(),
        }
    }
}

/// Passes a poll or a POST on to the node of its session.
pub(super) async fn pass_on(
    req: &HttpRequest,
    payload: Payload,
    transport: &Transport,
    (asked, home): (&Asked, Origin),
) -> Result<Passed, TransportError> {
    let is_post = match asked.method {
        Method::Post => true,
        Method::Get { .. } => false,
        // Whatever the session is.
        Method::Other => return Err(HandshakeError::BadRequest.into()),
    };
    let body = if is_post {
        read(req.headers(), payload, transport).await?
    } else {
        Bytes::new()
    };
    let request = PassedOn {
        is_post,
        query: req.query_string().to_owned(),
        is_bytes: body::is_bytes(req.headers()),
    };
    let patience = patience(transport);
    let answer = transport.peers.pass_on(&home, &request, body, patience);
    let answer = tokio::select! {
        answer = answer => answer,
        // A poll would wait for longer than this node has. Nobody waiting for it ends the session, as
        // nobody knows what of it has come; what was posted is answered.
        () = turn::comes(transport), if !is_post => return Err(HandshakeError::UnknownSid.into()),
    };
    // Where a test has this node die when the other has answered.
    fault::point!("socketio.passed_on");
    let PassedBack { status, kind } = match answer {
        Ok((PassedBack { status: 200, kind }, _)) if is_post && kind.is_empty() => {
            return Ok(Passed::Ok);
        }
        Ok((PassedBack { status: 200, kind }, body)) => {
            let forms = [Form::Records, Form::Framed];
            let content_types = forms.map(Form::content_type);
            let known = content_types.into_iter().find(|it| **it == *kind);
            return known
                .map(|it| Passed::Payload(it, body))
                .ok_or_else(|| unavailable().into());
        }
        Ok((back, _)) => back,
        Err(error) => return Err(refused(&error)),
    };
    tracing::debug!(status, kind, "a request that was passed on was refused");
    Err(match (status, &*kind) {
        (413, _) => TransportError::TooLarge,
        (400, "unknown_sid") => HandshakeError::UnknownSid.into(),
        (400, _) => HandshakeError::BadRequest.into(),
        _ => unavailable().into(),
    })
}

/// How long the node of a session may take: a poll waits for the next heartbeat at most.
pub(super) fn patience(transport: &Transport) -> Duration {
    let config = &transport.socketio;
    Duration::from_millis(config.ping_interval_ms + config.ping_timeout_ms)
}

/// A node that is dead has no sessions.
pub(super) fn refused(error: &PeerError) -> TransportError {
    match error {
        PeerError::Busy | PeerError::Refused("overloaded") => {
            let message = "too many requests are being passed on";
            Refusal::new(ErrorCode::Overloaded, message).into()
        }
        _ => HandshakeError::UnknownSid.into(),
    }
}

fn unavailable() -> Refusal {
    let message = "the node of this session cannot answer now";
    Refusal::new(ErrorCode::Unavailable, message)
}
