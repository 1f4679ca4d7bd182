//! The native protocol over WebSocket messages. `docs/PROTOCOL.md` is its reference.
//!
//! It is written in one of two ways, a connection's [`Codec`]: JSON in messages of text, or
//! MessagePack in messages of bytes. [`decode_request`] and [`decode_packed_request`] read what a
//! client asks for; [`encode_reply`], [`encode_error`] and [`encode_push`] each write one complete
//! WebSocket frame.

mod codec;
pub mod encode;
mod fields;
mod raw;
pub mod request;

pub use codec::Codec;
pub use encode::{encode_error, encode_push, encode_reply};
pub use request::{
    REQUEST_ID_MAX_BYTES, Request, RequestError, RequestId, TOKEN_MAX_BYTES, decode_packed_request,
    decode_request,
};

#[cfg(test)]
mod tests;
