//! One connection's state: handshake, heartbeats, the change of transport, and its end.
//!
//! It does no I/O: it is told what has happened and when, and says what to do ([`Action`]). The
//! messages that the server sends are of any type that knows how long it is ([`Outgoing`]), so that
//! one encoded message can be shared by many sessions. They wait here only while there is no poll to
//! answer; what goes to a WebSocket is handed on at once, and waits in that one's outbox.
//!
//! Requests and sockets are known by numbers that the caller gives them, never the same for two.

mod closing;
mod event;
mod polling;
mod upgrading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::open::Open;
use super::packet::Packet;
use super::{Revision, Transport};
pub use event::{Action, Event, Message, Reason};
use polling::Polling;
use upgrading::Upgrading;

/// A request or a WebSocket of a session.
pub type PeerId = u64;

/// What a packet in the queue takes beside its data, bytes.
const PACKET_BYTES: usize = 32;

/// What may be set. The same for all sessions, which share it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often there is a heartbeat.
    pub ping_interval: Duration,
    /// How long the other side's may take.
    pub ping_timeout: Duration,
    /// How long a change of transport may take.
    pub upgrade_timeout: Duration,
    /// How long a session that the server ends waits for a poll that it can tell.
    pub close_timeout: Duration,
    /// Whether sessions may change to a WebSocket.
    pub may_upgrade: bool,
    /// At most so many bytes fit into a request, or into a message of a WebSocket.
    pub max_payload_bytes: usize,
    /// At most so many bytes wait for a poll.
    pub queue_bytes: usize,
    /// At most so many packets wait for a poll.
    pub queue_packets: usize,
}

/// A message of the server's.
pub trait Outgoing {
    /// About how much memory it holds, bytes.
    fn size_bytes(&self) -> usize;
}

/// A packet on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out<M> {
    /// One of the protocol's own.
    Packet(Packet<'static>),
    /// A message of the server's, already in its form.
    Message(M),
}

impl<M: Outgoing> Out<M> {
    fn size_bytes(&self) -> usize {
        PACKET_BYTES
            + match self {
                Self::Packet(packet) => packet.size_bytes(),
                Self::Message(message) => message.size_bytes(),
            }
    }
}

/// How the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The server has ended it, and waits so long for a poll that it can tell.
    Closing(Instant),
    Closed,
}

/// What packets go by.
#[derive(Clone, Debug)]
enum Current {
    Polling(Polling),
    Websocket(PeerId),
}

/// The heartbeat: when the next thing is due.
#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    /// Revision 4: the server sends a ping.
    Ping(Instant),
    /// The client's must have come.
    Missing(Instant),
}

/// One connection of Engine.IO.
#[derive(Debug)]
pub struct Session<M> {
    settings: Arc<Settings>,
    revision: Revision,
    state: State,
    current: Current,
    upgrading: Option<Upgrading>,
    heartbeat: Heartbeat,
    queue: VecDeque<Out<M>>,
    queued_bytes: usize,
}

impl<M: Outgoing> Session<M> {
    /// A session begins with a GET (`transport` polling) or a WebSocket, which `first` is.
    pub fn open(
        settings: &Arc<Settings>,
        revision: Revision,
        sid: &str,
        transport: Transport,
        first: PeerId,
        now: Instant,
        actions: &mut Vec<Action<'_, M>>,
    ) -> Self {
        let current = match transport {
            Transport::Polling => Current::Polling(Polling::of(first)),
            Transport::Websocket => Current::Websocket(first),
        };
        let mut session = Self {
            settings: Arc::clone(settings),
            revision,
            state: State::Open,
            current,
            upgrading: None,
            heartbeat: Heartbeat::Ping(now),
            queue: VecDeque::new(),
            queued_bytes: 0,
        };
        session.heard(now);
        let open = Open {
            sid,
            may_upgrade: settings.may_upgrade && transport == Transport::Polling,
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            max_payload_bytes: settings.max_payload_bytes,
        };
        session.send(Out::Packet(open.packet(revision)), actions);
        session.flush(actions);
        session
    }

    /// Its revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// What it goes by now.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self.current {
            Current::Polling(_) => Transport::Polling,
            Current::Websocket(_) => Transport::Websocket,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether what is sent now goes at once: to a WebSocket, or to a poll that waits.
    #[must_use]
    pub fn takes_now(&self) -> bool {
        !self.takes_nothing()
    }

    /// How many bytes wait for a poll.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// When [`Event::Tick`] is due at the latest; none if the session has ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let heartbeat = match (self.state, self.heartbeat) {
            (State::Closed, _) => return None,
            (State::Closing(until), _) => until,
            (State::Open, Heartbeat::Ping(at) | Heartbeat::Missing(at)) => at,
        };
        let upgrading = self.upgrading.as_ref().map(Upgrading::deadline);
        Some(upgrading.map_or(heartbeat, |at| at.min(heartbeat)))
    }

    /// Something has happened.
    pub fn handle<'a>(
        &mut self,
        now: Instant,
        event: Event<'a, M>,
        actions: &mut Vec<Action<'a, M>>,
    ) {
        self.pass_time(now, actions);
        match event {
            Event::Poll(id) => self.poll(now, id, actions),
            Event::PollRepeated(id) => self.poll_repeated(id, actions),
            Event::PollAborted(id) => self.poll_aborted(id, actions),
            Event::PostBegun { id, is_bytes } => self.post_begun(id, is_bytes, actions),
            Event::PostTooLarge(id) => self.post_too_large(id, actions),
            Event::PostAborted(id) => self.post_aborted(id, actions),
            Event::Posted { id, body } => self.posted(now, id, body, actions),
            Event::SocketOpened(id) => self.socket_opened(now, id, actions),
            Event::SocketMessage(id, message) => self.socket_message(now, id, message, actions),
            Event::SocketClosed(id) => self.socket_closed(id, actions),
            Event::Send {
                message,
                is_volatile,
            } => {
                if self.state == State::Open && !(is_volatile && self.takes_nothing()) {
                    self.send(Out::Message(message), actions);
                }
                // Others may follow in this turn.
                return;
            }
            Event::Flush | Event::Tick => {}
            Event::Close => self.close(now, actions),
        }
        self.flush(actions);
    }

    fn pass_time(&mut self, now: Instant, actions: &mut Vec<Action<'_, M>>) {
        match (self.state, self.heartbeat) {
            (State::Closed, _) => return,
            (State::Closing(until), _) if until <= now => {
                return self.end(Reason::Server, actions);
            }
            (State::Open, Heartbeat::Missing(until)) if until <= now => {
                return self.fail(Reason::PingTimeout, actions);
            }
            (State::Open, Heartbeat::Ping(at)) if at <= now => {
                self.heartbeat = Heartbeat::Missing(now + self.settings.ping_timeout);
                self.send(Out::Packet(Packet::Ping("".into())), actions);
            }
            _ => {}
        }
        self.pass_time_of_upgrade(now, actions);
    }

    /// The client lives.
    fn heard(&mut self, now: Instant) {
        let Settings {
            ping_interval,
            ping_timeout,
            ..
        } = *self.settings;
        self.heartbeat = match self.revision {
            Revision::V4 => Heartbeat::Ping(now + ping_interval),
            Revision::V3 => Heartbeat::Missing(now + ping_interval + ping_timeout),
        };
    }

    /// A packet came by the transport that counts.
    fn packet<'a>(&mut self, now: Instant, packet: Packet<'a>, actions: &mut Vec<Action<'a, M>>) {
        if self.state != State::Open {
            return;
        }
        if self.revision == Revision::V3 {
            self.heard(now);
        }
        match (packet, self.revision) {
            (Packet::Text(text), _) => actions.push(Action::Text(text)),
            (Packet::Binary(bytes), _) => actions.push(Action::Bytes(bytes)),
            (Packet::Ping(data), Revision::V3) => {
                let pong = Packet::Pong(data).into_owned();
                self.send(Out::Packet(pong), actions);
            }
            (Packet::Pong(_), Revision::V4) => self.heard(now),
            (Packet::Close, _) => self.client_closed(actions),
            (Packet::Noop, _) => {}
            (Packet::Ping(_) | Packet::Pong(_) | Packet::Open(_) | Packet::Upgrade, _) => {
                self.fail(Reason::OutOfPlace, actions);
            }
        }
    }

    /// Gives a packet to the WebSocket, or into the queue.
    fn send(&mut self, out: Out<M>, actions: &mut Vec<Action<'_, M>>) {
        if let Current::Websocket(id) = self.current {
            return actions.push(Action::Write(id, out));
        }
        self.queued_bytes += out.size_bytes();
        self.queue.push_back(out);
        let is_full = self.queued_bytes > self.settings.queue_bytes
            || self.queue.len() > self.settings.queue_packets;
        if is_full {
            self.fail(Reason::Slow, actions);
        }
    }

    fn take_queue(&mut self) -> VecDeque<Out<M>> {
        self.queued_bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests;
