//! WebSocket, RFC 6455, the server's side: bytes in, messages out, and back. No I/O.
//!
//! * [`handshake`] looks at a request's headers and says yes or which status;
//! * [`decode`] takes what was read from a socket apart into messages;
//! * [`encode`] makes complete frames, shared by all who get the same;
//! * [`close_frame`] is what the two sides say when they part.
//!
//! No extension is spoken yet. A frame's reserved bits are judged in one place,
//! [`header::Header::parse`].

pub mod close_frame;
pub mod decode;
pub mod encode;
pub mod frame_error;
pub mod handshake;
pub mod header;
mod mask;
mod utf8;
