//! The native protocol: JSON in WebSocket messages of text. `docs/PROTOCOL.md` is its reference.
//!
//! * [`request`] reads what a client asks for;
//! * [`encode`] writes replies, errors and pushes, each as one complete WebSocket frame.

pub mod encode;
mod fields;
pub mod request;
