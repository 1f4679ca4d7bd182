//! Why requests of sessions are refused.

use crate::hub::metrics::SOCKETIO_REFUSED;
use crate::protocol::engineio::request::HandshakeError;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such session, or no longer: 400, code 1.
    #[error("no such session")]
    UnknownSid,
    /// It does not belong here: two polls at a time, a session that is a WebSocket by now, what is no
    /// packet. 400, code 3.
    #[error("a request out of place")]
    BadRequest,
    /// A body is longer than `socketio.max_http_buffer_size`: 413.
    #[error("a body is too long")]
    TooLarge,
    /// The node has as many sessions, or this session as many requests, as may be: 503.
    #[error("too much at a time")]
    Overloaded,
    /// The node is going, or the database is away: 503.
    #[error("not now")]
    Unavailable,
}

impl Refused {
    /// As the protocol answers it, if that has a code for it.
    #[must_use]
    pub const fn handshake_error(self) -> Option<HandshakeError> {
        match self {
            Self::UnknownSid => Some(HandshakeError::UnknownSid),
            Self::BadRequest => Some(HandshakeError::BadRequest),
            Self::TooLarge | Self::Overloaded | Self::Unavailable => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::UnknownSid => "unknown_sid",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }

    /// Counts it.
    pub(crate) fn counted(self) -> Self {
        SOCKETIO_REFUSED.with_label_values(&[self.label()]).inc();
        self
    }
}
