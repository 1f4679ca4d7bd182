//! What a session is told, and what it says to do.

use std::borrow::Cow;

use super::{Out, PeerId};
#[cfg(doc)]
use super::{Session, Settings};
use crate::protocol::engineio::packet::PacketError;
use crate::protocol::engineio::payload::Body;

/// A message of a WebSocket.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event<'a, M> {
    /// A GET is waiting for packets.
    Poll(PeerId),
    /// A GET that was here before, perhaps by another way: what it was answered has not arrived.
    PollRepeated(PeerId),
    /// Its client has gone.
    PollAborted(PeerId),
    /// A POST has begun.
    PostBegun {
        /// Which.
        id: PeerId,
        /// Whether its content type is `application/octet-stream`.
        is_bytes: bool,
    },
    /// It is longer than [`Settings::max_payload_bytes`].
    PostTooLarge(PeerId),
    /// Its client has gone before its end.
    PostAborted(PeerId),
    /// It has come whole.
    Posted {
        /// Which.
        id: PeerId,
        /// What it brought.
        body: Body<'a>,
    },
    /// There is a WebSocket for this session.
    SocketOpened(PeerId),
    /// A message came by it.
    SocketMessage(PeerId, Message<'a>),
    /// It is closed.
    SocketClosed(PeerId),
    /// The server sends a message. With polling it waits for [`Event::Flush`], so that those of one
    /// turn go together.
    Send {
        /// What.
        message: M,
        /// It may be dropped if the client takes nothing right now.
        is_volatile: bool,
    },
    /// The turn in which messages were sent is over.
    Flush,
    /// The server ends the session.
    Close,
    /// Time has passed: [`Session::deadline`] is over.
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<'a, M> {
    /// Answer a poll with these packets: 200.
    Payload(PeerId, Vec<Out<M>>),
    /// Answer a POST with `ok`: 200.
    Ok(PeerId),
    /// Refuse a request: 400.
    BadRequest(PeerId),
    /// Refuse a POST: 413.
    TooLarge(PeerId),
    /// Send a packet by a WebSocket.
    Write(PeerId, Out<M>),
    /// Close a WebSocket, after what was written to it.
    CloseSocket(PeerId),
    /// The client has sent a message of text.
    Text(Cow<'a, str>),
    /// The client has sent a message of bytes.
    Bytes(Cow<'a, [u8]>),
    /// It goes on by this WebSocket.
    Upgraded(PeerId),
    /// The session has ended. Nothing follows, but the refusal of what came too late.
    Closed(Reason),
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The client said so.
    #[error("the client has closed the session")]
    Client,
    /// The WebSocket was closed.
    #[error("the transport was closed")]
    TransportClosed,
    /// A poll or a POST was aborted.
    #[error("a request was aborted")]
    Aborted,
    /// The server said so.
    #[error("the server has closed the session")]
    Server,
    /// Two polls, or two POSTs, at a time.
    #[error("two requests of one kind at a time")]
    Overlap,
    /// A body of bytes, in revision 4.
    #[error("a body that the revision does not have")]
    Content,
    /// What came is no packet.
    #[error("{0}")]
    Packet(#[from] PacketError),
    /// A packet that does not belong here, such as a heartbeat in the wrong direction.
    #[error("a packet out of place")]
    OutOfPlace,
    /// No heartbeat came in time.
    #[error("no heartbeat in time")]
    PingTimeout,
    /// The client takes less than it is sent.
    #[error("the client takes too little")]
    Slow,
}
