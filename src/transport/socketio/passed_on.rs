//! Requests that other nodes pass on, for sessions of this one.

use std::sync::Arc;

use bytes::Bytes;

use super::request;
use crate::config::SocketIo;
use crate::hub::HubHandle;
use crate::hub::connection::Socket;
use crate::hub::engineio::{Handover, Refused};
use crate::peers::passing::{PassedBack, PassedOn, PassedSocket};
use crate::protocol::engineio::request::{HandshakeError, Method, Purpose, Query};

/// Answers them, out of this node's sessions alone. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PassedOnHost {
    hub: HubHandle,
    config: Arc<SocketIo>,
}

impl PassedOnHost {
    /// For a node.
    pub(crate) fn new(hub: HubHandle, config: SocketIo) -> Self {
        Self {
            hub,
            config: Arc::new(config),
        }
    }

    /// Answers a poll or a POST.
    pub(crate) async fn answer(&self, request: PassedOn, body: Bytes) -> (PassedBack, Bytes) {
        match self.try_answer(&request, body).await {
            Ok((kind, body)) => (PassedBack::of(200, kind), body),
            Err(Refused::UnknownSid) => (PassedBack::of(400, "unknown_sid"), Bytes::new()),
            Err(Refused::BadRequest) => (PassedBack::of(400, "bad_request"), Bytes::new()),
            Err(Refused::TooLarge) => (PassedBack::of(413, "too_large"), Bytes::new()),
            Err(Refused::Overloaded | Refused::Unavailable) => {
                (PassedBack::of(503, "unavailable"), Bytes::new())
            }
        }
    }

    async fn try_answer(
        &self,
        request: &PassedOn,
        body: Bytes,
    ) -> Result<(&'static str, Bytes), Refused> {
        let method = if request.is_post {
            Method::Post
        } else {
            Method::Get { is_upgrade: false }
        };
        let (sid, query, purpose) = self.look(method, &request.query)?;
        let engineio = self.hub.engineio();
        match purpose {
            Purpose::Poll => {
                let payload = engineio.poll(&sid, &query).await?;
                Ok((payload.content_type, payload.body))
            }
            Purpose::Post => {
                let post = engineio.post(&sid, request.is_bytes)?;
                post.finish(body).await?;
                Ok(("", Bytes::new()))
            }
            Purpose::Open | Purpose::Upgrade => Err(Refused::BadRequest),
        }
    }

    /// Whether there is a session for a socket.
    pub(crate) fn takes(&self, socket: &PassedSocket) -> Result<(), HandshakeError> {
        let method = Method::Get { is_upgrade: true };
        match self.look(method, &socket.query) {
            Ok((_, _, Purpose::Upgrade)) => Ok(()),
            Err(Refused::UnknownSid) => Err(HandshakeError::UnknownSid),
            _ => Err(HandshakeError::BadRequest),
        }
    }

    /// Gives a session the socket, whose handshake was answered.
    pub(crate) fn give(&self, socket: &PassedSocket, stream: crate::peers::PassedStream) {
        let method = Method::Get { is_upgrade: true };
        let Ok((sid, _, Purpose::Upgrade)) = self.look(method, &socket.query) else {
            return;
        };
        let handover = Handover {
            socket: Socket::Plain(stream.stream),
            greeting: Bytes::new(),
            read_ahead: stream.read_ahead,
            deflate: socket.deflate,
            keep: stream.keep,
        };
        if let Err(refused) = self.hub.engineio().upgrade(&sid, handover, None) {
            tracing::debug!(%refused, "a WebSocket that was passed on was not taken");
        }
    }

    /// What a request is for, by what it says and the sessions that there are.
    fn look(&self, method: Method, query: &str) -> Result<(Box<str>, Query, Purpose), Refused> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let refused = |error| match error {
            HandshakeError::UnknownSid => Refused::UnknownSid,
            _ => Refused::BadRequest,
        };
        let offered = request::offered(&self.config);
        let mut query = Query::read(pairs, offered).map_err(refused)?;
        let engineio = self.hub.engineio();
        let purpose = query.purpose(method, |sid| engineio.known(sid));
        let purpose = purpose.map_err(refused)?;
        let sid = query.sid.take().ok_or(Refused::BadRequest)?;
        Ok((sid, query, purpose))
    }
}
