//! What a request's address says, and whose session it names.

use super::Transport;
use crate::config::{self, SocketIoTransport};
use crate::protocol::engineio::request::{HandshakeError, Method, Offered, Query};
use crate::protocol::engineio::sid;
use crate::protocol::origin::Origin;

/// What a request asks.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) method: Method,
    /// `token`, which must not be logged.
    pub(super) token: Option<String>,
}

impl Asked {
    /// Reads a request that is no upgrade.
    pub(super) fn read(
        transport: &Transport,
        method: &str,
        query: &str,
    ) -> Result<Self, HandshakeError> {
        let method = match method {
            "GET" => Method::Get { is_upgrade: false },
            "POST" => Method::Post,
            _ => Method::Other,
        };
        Self::of(transport, method, query)
    }

    /// Reads one that is.
    pub(super) fn read_upgrade(transport: &Transport, query: &str) -> Result<Self, HandshakeError> {
        Self::of(transport, Method::Get { is_upgrade: true }, query)
    }

    fn of(transport: &Transport, method: Method, query: &str) -> Result<Self, HandshakeError> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let token = pairs.clone().find(|(name, _)| name == "token");
        Ok(Self {
            query: Query::read(pairs, offered(&transport.socketio))?,
            method,
            token: token.map(|(_, value)| value.into_owned()),
        })
    }

    /// The session that is named, which is known to be there.
    pub(super) fn sid(&self) -> &str {
        self.query.sid.as_deref().unwrap_or_default()
    }

    /// The node that has the session, if it is not this one in this life. A session of an earlier
    /// life is nobody's.
    pub(super) fn elsewhere(&self, transport: &Transport) -> Option<Origin> {
        let own = transport.peers.own();
        let home = sid::origin(self.query.sid.as_deref()?)?;
        (home.node != own.node).then_some(home)
    }
}

/// What clients may ask for.
pub(super) fn offered(config: &config::SocketIo) -> Offered {
    Offered {
        polling: config.offers(SocketIoTransport::Polling),
        websocket: config.offers(SocketIoTransport::Websocket),
        revision_3: config.allow_eio3,
    }
}
