//! Frames that break RFC 6455, or our limit.

use crate::protocol::close::Disconnect;

/// Why a connection must be failed (RFC 6455 §7.1.7). Nothing can be decoded after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A client's frame without a mask (§5.1).
    #[error("a frame without a mask")]
    Unmasked,
    /// A reserved bit is set that no extension which was agreed on gives a meaning (§5.2).
    #[error("a reserved bit is set")]
    ReservedBits,
    /// An opcode that has no meaning (§5.2).
    #[error("reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A length that needs fewer bytes than it was written with, or has its top bit set (§5.2).
    #[error("a length that is not in its shortest form")]
    Length,
    /// A control frame in parts (§5.5).
    #[error("a fragmented control frame")]
    FragmentedControl,
    /// A control frame over 125 bytes (§5.5).
    #[error("a control frame over 125 bytes")]
    LongControl,
    /// A continuation of nothing (§5.4).
    #[error("a continuation without a message")]
    UnexpectedContinuation,
    /// A new message within a message (§5.4).
    #[error("a new message before the end of the last")]
    ExpectedContinuation,
    /// A close frame of one byte, or with a code that must not be on the wire (§7.4).
    #[error("an impossible close frame")]
    Close,
    /// Text or a close reason that is not UTF-8 (§8.1).
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// A compressed message that cannot be inflated (RFC 7692 §7.2.2).
    #[error("a message that cannot be inflated")]
    Deflate,
    /// A message over the limit.
    #[error("a message over {max_bytes} bytes")]
    TooBig {
        /// The limit.
        max_bytes: usize,
    },
}

impl FrameError {
    /// What the connection is closed with.
    #[must_use]
    pub const fn disconnect(self) -> Disconnect {
        match self {
            Self::InvalidUtf8 | Self::Deflate => Disconnect::InvalidUtf8,
            Self::TooBig { .. } => Disconnect::TooBig,
            _ => Disconnect::ProtocolError,
        }
    }
}
