//! What threads hand to the thread of a session.

use std::convert::Infallible;
use std::fmt::Debug;
use std::io;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Handover, Payload, Refused};
use crate::hub::connection::{DetachedSocket, Socket};
use crate::protocol::ask::{Asked, NotAsked};
use crate::protocol::engineio::session::PeerId;
use crate::protocol::id::UserId;

/// The answer to a request.
pub(crate) type Answer<T> = Result<T, Refused>;

/// Something for a session.
#[derive(Debug)]
pub(crate) enum Call {
    /// A request has begun.
    Begun(PeerId, Waiting),
    /// The body of a POST has come; none if it is too long.
    Posted(PeerId, Option<Bytes>),
    /// A WebSocket for it is on its way, until the other end of this is dropped.
    Coming(oneshot::Receiver<Infallible>),
    /// It is there.
    Socket(PeerId, Box<Handed>, Option<Coming>),
    /// An event that its client is to acknowledge.
    Ask(Question),
}

/// An event that a client is to acknowledge, and who waits for that.
#[derive(Debug)]
pub(crate) struct Question {
    /// Whose the session must be.
    pub(crate) user_id: UserId,
    /// Its name and arguments: a list, as JSON.
    pub(crate) args: String,
    pub(crate) answer: oneshot::Sender<Asked>,
}

/// A WebSocket is on its way to its session for as long as this is there.
#[derive(Debug)]
pub struct Coming(#[expect(dead_code, reason = "it is dropped")] oneshot::Sender<Infallible>);

impl Coming {
    /// And what the session sees of it.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Infallible>) {
        let (coming, seen) = oneshot::channel();
        (Self(coming), seen)
    }
}

/// A request, or a socket, that a session answers.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A GET.
    Poll {
        answer: oneshot::Sender<Answer<Payload>>,
        takes_bytes: bool,
        /// See [`Query::stamp`](crate::protocol::engineio::request::Query::stamp).
        stamp: Option<u64>,
    },
    /// A POST.
    Post {
        answer: oneshot::Sender<Answer<()>>,
        is_bytes: bool,
    },
    /// A socket of this thread.
    Socket(Handover),
}

impl Call {
    /// Refuses it without asking the session.
    pub(crate) fn refuse(self, refused: Refused) {
        // Who asked may have gone.
        match self {
            Self::Begun(_, Waiting::Poll { answer, .. }) => drop(answer.send(Err(refused))),
            Self::Begun(_, Waiting::Post { answer, .. }) => drop(answer.send(Err(refused))),
            Self::Ask(Question { answer, .. }) => {
                let why = match refused {
                    Refused::Overloaded => NotAsked::Overloaded,
                    _ => NotAsked::Gone,
                };
                drop(answer.send(Err(why)));
            }
            // Who waits for the POST's answer waits for one that was handed over before.
            Self::Posted(..)
            | Self::Begun(_, Waiting::Socket(_))
            | Self::Coming(_)
            | Self::Socket(..) => {}
        }
    }
}

/// A socket on its way between threads.
#[derive(Debug)]
pub(crate) struct Handed {
    socket: DetachedSocket,
    greeting: Bytes,
    read_ahead: Vec<u8>,
    deflate: bool,
    keep: Box<dyn Debug + Send>,
}

impl Handed {
    /// Takes it off its thread.
    pub(crate) fn new(socket: Handover) -> io::Result<Self> {
        Ok(Self {
            socket: socket.socket.detach()?,
            greeting: socket.greeting,
            read_ahead: socket.read_ahead,
            deflate: socket.deflate,
            keep: socket.keep,
        })
    }

    /// Gives it to the present thread.
    pub(crate) fn arrive(self) -> io::Result<Handover> {
        Ok(Handover {
            socket: Socket::attach(self.socket)?,
            greeting: self.greeting,
            read_ahead: self.read_ahead,
            deflate: self.deflate,
            keep: self.keep,
        })
    }
}
