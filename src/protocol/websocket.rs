//! WebSocket, RFC 6455, the server's side: bytes in, messages out, and back. No I/O.
//!
//! * [`handshake`] looks at a request's headers and says yes or which status, [`extensions`] at
//!   those about extensions;
//! * [`decode`] takes what was read from a socket apart into messages;
//! * [`deflate`] is permessage-deflate, RFC 7692, in which they may come and go compressed;
//! * [`encode`] makes complete frames, shared by all who get the same;
//! * [`close_frame`] is what the two sides say when they part.
//!
//! A frame's reserved bits are judged in one place, [`header::Header::parse`].

pub mod close_frame;
pub mod decode;
pub mod deflate;
pub mod encode;
pub mod extensions;
pub mod frame_error;
pub mod handshake;
pub mod header;
mod mask;
pub mod sent;
mod utf8;
