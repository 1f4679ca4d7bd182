//! The native protocol: JSON in WebSocket messages of text. `docs/PROTOCOL.md` is its reference.
//!
//! [`decode_request`] reads what a client asks for; [`encode_reply`], [`encode_error`] and
//! [`encode_push`] each write one complete WebSocket frame.

mod checked;
pub mod encode;
mod fields;
pub mod request;

pub use encode::{encode_error, encode_push, encode_reply};
pub use request::{
    REQUEST_ID_MAX_BYTES, Request, RequestError, RequestId, TOKEN_MAX_BYTES, decode_request,
};
