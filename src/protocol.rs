//! What travels between clients and the hub, free of I/O.
//!
//! The vocabulary is the same for every transport: a [`command::Command`] goes up, a
//! [`reply::Reply`] answers it, a [`push::Push`] comes down. Codecs translate it:
//! [`native`] to JSON or MessagePack over the frames of [`websocket`], [`sse`] to the same JSON in
//! an event stream, [`socketio`] to the packets of Socket.IO over the messages of [`engineio`].

pub mod ask;
pub mod body;
pub mod close;
pub mod command;
pub mod connection;
pub mod copies;
pub mod cursor;
pub mod data;
pub mod engineio;
pub mod error;
pub mod event;
pub mod id;
pub mod msgpack;
pub mod native;
pub mod origin;
pub mod presence;
pub mod problem;
pub mod push;
pub mod reply;
pub mod socketio;
pub mod sse;
pub mod text;
pub mod touched;
pub mod websocket;
