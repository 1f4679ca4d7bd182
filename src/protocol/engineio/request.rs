//! What a request's address says, and how one is refused that cannot be served.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Serialize;

use super::{Revision, Transport};

/// A session's id is at most this long, bytes; a longer one is nobody's.
pub const SID_MAX_BYTES: usize = 256;

/// Why a request is refused. Code and text are those of the protocol's own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// `transport` is missing, unknown or switched off.
    #[error("Transport unknown")]
    UnknownTransport,
    /// No such session, or no longer.
    #[error("Session ID unknown")]
    UnknownSid,
    /// A session begins with a GET.
    #[error("Bad handshake method")]
    BadHandshakeMethod,
    /// Anything else that is wrong with it.
    #[error("Bad request")]
    BadRequest,
    /// The client may not come in.
    #[error("Forbidden")]
    Forbidden,
    /// `EIO` is neither 3 nor 4, or 3 is switched off.
    #[error("Unsupported protocol version")]
    UnsupportedVersion,
}

impl HandshakeError {
    /// All of them, by code.
    pub const ALL: &'static [Self] = &[
        Self::UnknownTransport,
        Self::UnknownSid,
        Self::BadHandshakeMethod,
        Self::BadRequest,
        Self::Forbidden,
        Self::UnsupportedVersion,
    ];

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The status of the answer by HTTP.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The answer's body: JSON.
    #[must_use]
    pub fn body(self) -> String {
        #[derive(Serialize)]
        struct Body {
            code: u8,
            message: String,
        }
        let body = Body {
            code: self.code(),
            message: self.to_string(),
        };
        // Always has a form in JSON.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

/// What is switched on.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    /// Long polling.
    pub polling: bool,
    /// The other transport.
    pub websocket: bool,
    /// Clients of revision 3.
    pub revision_3: bool,
}

/// A request's method, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`, with or without an upgrade to WebSocket.
    Get {
        /// Whether it asks for one.
        is_upgrade: bool,
    },
    /// `POST`.
    Post,
    /// Any other.
    Other,
}

/// The query of a request's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// `EIO`.
    pub revision: Revision,
    /// `transport`.
    pub transport: Transport,
    /// `sid`: the session; none yet at its beginning.
    pub sid: Option<Box<str>>,
    /// Not `b64`: answers may have bytes, in revision 3.
    pub takes_bytes: bool,
    /// A digest of `t`, which clients make up for each request, so that no cache answers it. Two requests
    /// with the same are one that was sent again on its way.
    pub stamp: Option<u64>,
}

/// What is known of the session that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its revision.
    pub revision: Revision,
    /// Its transport now.
    pub transport: Transport,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session begins.
    Open,
    /// Its client waits for packets.
    Poll,
    /// Its client brings packets.
    Post,
    /// A WebSocket for a session that there is. Whether it may have one, the session says.
    Upgrade,
}

/// The same in every process of this version. Who makes two texts with the same digest spoils a session of
/// their own.
fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Query {
    /// Reads the pairs of a query. Others than those of the protocol are not looked at.
    pub fn read<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        offered: Offered,
    ) -> Result<Self, HandshakeError> {
        let (mut eio, mut transport, mut sid) = (None, None, None);
        let mut stamp = None;
        let (mut takes_bytes, mut is_ambiguous, mut wants_script) = (true, false, false);
        for (name, value) in pairs {
            let place = match &*name {
                "EIO" => &mut eio,
                "transport" => &mut transport,
                "sid" => &mut sid,
                "b64" => {
                    takes_bytes &= value.is_empty();
                    continue;
                }
                "t" => {
                    stamp = Some(digest(&value));
                    continue;
                }
                // JSONP: an answer that is a script, which any page could run.
                "j" => {
                    wants_script = true;
                    continue;
                }
                _ => continue,
            };
            is_ambiguous |= place.replace(value).is_some();
        }
        let transport = match transport.as_deref() {
            Some("polling") if offered.polling => Transport::Polling,
            Some("websocket") if offered.websocket => Transport::Websocket,
            _ => return Err(HandshakeError::UnknownTransport),
        };
        let revision = match eio.as_deref() {
            Some("4") => Revision::V4,
            Some("3") if offered.revision_3 => Revision::V3,
            _ => return Err(HandshakeError::UnsupportedVersion),
        };
        if is_ambiguous || wants_script {
            return Err(HandshakeError::BadRequest);
        }
        let sid = sid.filter(|sid| !sid.is_empty());
        if sid.as_ref().is_some_and(|sid| sid.len() > SID_MAX_BYTES) {
            return Err(HandshakeError::UnknownSid);
        }
        Ok(Self {
            revision,
            transport,
            sid: sid.map(Into::into),
            takes_bytes,
            stamp,
        })
    }

    /// What the request is for. `known` is asked for the session, if the address names one.
    pub fn purpose(
        &self,
        method: Method,
        known: impl FnOnce(&str) -> Option<Known>,
    ) -> Result<Purpose, HandshakeError> {
        let is_upgrade = method == Method::Get { is_upgrade: true };
        let Some(sid) = &self.sid else {
            return match (method, self.transport) {
                (Method::Post | Method::Other, _) => Err(HandshakeError::BadHandshakeMethod),
                (_, Transport::Polling) if is_upgrade => Err(HandshakeError::BadRequest),
                (_, Transport::Websocket) if !is_upgrade => Err(HandshakeError::BadRequest),
                _ => Ok(Purpose::Open),
            };
        };
        let known = known(sid).ok_or(HandshakeError::UnknownSid)?;
        if known.revision != self.revision || is_upgrade != (self.transport == Transport::Websocket)
        {
            return Err(HandshakeError::BadRequest);
        }
        if is_upgrade {
            return Ok(Purpose::Upgrade);
        }
        match method {
            // The session has become a WebSocket.
            _ if known.transport != self.transport => Err(HandshakeError::BadRequest),
            Method::Get { .. } => Ok(Purpose::Poll),
            Method::Post => Ok(Purpose::Post),
            Method::Other => Err(HandshakeError::BadRequest),
        }
    }
}

#[cfg(test)]
mod tests;
