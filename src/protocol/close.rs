//! Why the hub ends a connection, as the close code of RFC 6455 §7.4.
//!
//! The range says what a client does next: 4000–4099 reconnect and resume; 4100–4199 do not
//! reconnect before something has changed (other credentials, other behaviour). Of the codes
//! that the RFC defines, 1001, 1011 and 1012 are worth a reconnect.

/// Why a connection is closed by the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The client asked for it (1000).
    Normal,
    /// A frame or handshake breaks RFC 6455 (1002).
    ProtocolError,
    /// A message of bytes on a connection in JSON, or of text on one in MessagePack (1003).
    UnsupportedData,
    /// Text that is not UTF-8 (1007).
    InvalidUtf8,
    /// A message over the limit (1009).
    TooBig,
    /// A defect of the hub (1011).
    Internal,
    /// The node is shutting down (4000).
    Drain,
    /// The client reads slower than its rooms talk (4001).
    Slow,
    /// Nothing came for the heartbeat's interval and time-out (4002).
    HeartbeatTimeout,
    /// No room joined and no command for the idle time-out (4003).
    Idle,
    /// The hub lost the thread of this connection's rooms (4004).
    Resync,
    /// Too many connections or requests (4005).
    Overloaded,
    /// No credentials within the time allowed (4100).
    Unauthenticated,
    /// The session was ended: logout, revocation (4101).
    SessionEnded,
    /// Unparseable or abusive commands without end (4102).
    Abuse,
    /// The user or an operator ended this connection (4103).
    Dismissed,
}

impl Disconnect {
    /// Every reason, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::Normal,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::Internal,
        Self::Drain,
        Self::Slow,
        Self::HeartbeatTimeout,
        Self::Idle,
        Self::Resync,
        Self::Overloaded,
        Self::Unauthenticated,
        Self::SessionEnded,
        Self::Abuse,
        Self::Dismissed,
    ];

    /// The close code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Drain => 4000,
            Self::Slow => 4001,
            Self::HeartbeatTimeout => 4002,
            Self::Idle => 4003,
            Self::Resync => 4004,
            Self::Overloaded => 4005,
            Self::Unauthenticated => 4100,
            Self::SessionEnded => 4101,
            Self::Abuse => 4102,
            Self::Dismissed => 4103,
        }
    }

    /// The close frame's reason, and the label in metrics and logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ProtocolError => "protocol_error",
            Self::UnsupportedData => "unsupported_data",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooBig => "too_big",
            Self::Internal => "internal",
            Self::Drain => "drain",
            Self::Slow => "slow",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::Idle => "idle",
            Self::Resync => "resync",
            Self::Overloaded => "overloaded",
            Self::Unauthenticated => "unauthenticated",
            Self::SessionEnded => "session_ended",
            Self::Abuse => "abuse",
            Self::Dismissed => "dismissed",
        }
    }

    /// Whether a client should come back by itself, and resume.
    #[must_use]
    pub const fn reconnect(self) -> bool {
        matches!(self.code(), 1011 | 4000..=4099)
    }
}
