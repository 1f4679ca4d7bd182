//! MessagePack: read strictly, written in one pass.
//!
//! [`read`] takes values out of bytes that came from anywhere: nothing is allocated by a length
//! that is only promised, and nothing is guessed. [`write`](mod@write) is a serde serializer for
//! what the protocol sends.

pub mod read;
pub(crate) mod write;

pub use write::WriteError;
