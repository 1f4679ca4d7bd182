//! Socket.IO: namespaces, events and acknowledgements over the messages of
//! [`engineio`](super::engineio).
//!
//! Its revision 5 goes with Engine.IO 4, its revision 4 with Engine.IO 3, so that the one
//! [`Revision`](super::engineio::Revision) says both. [`Packet`] is what is exchanged; [`decode`]
//! reads the two ways in which it is written, JSON beside its attachments and MessagePack, and
//! [`encode`] writes them. [`message`] is what an encoded packet is to those who send it: shared by
//! all who get it, but for a private end. [`push`] makes the hub's pushes and replies packets,
//! [`command`] its events commands; [`recovery`] is how a client that comes back says where it
//! stands. [`session`] is the state of one connection, without any I/O.

pub mod command;
pub mod decode;
pub mod encode;
pub mod message;
pub mod packed;
pub mod packet;
pub mod push;
pub mod recovery;
pub mod session;
pub mod value;

pub use super::data::attached::ATTACHMENTS_MAX;
pub use packet::Packet;
pub use value::Value;

/// The namespace that every client is in.
pub const MAIN: &str = "/";
