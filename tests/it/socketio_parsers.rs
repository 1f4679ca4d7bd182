//! Hubbub's reading and writing of Engine.IO and Socket.IO, held against the parsers of the official
//! clients, old and new: what they write we read, what we write they read, and what they refuse we
//! refuse.

mod engineio;
mod judge;
mod socketio;
