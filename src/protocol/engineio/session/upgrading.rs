//! From polling to a WebSocket.
//!
//! The client opens a WebSocket, sends a probe by it and gets one back. Meanwhile it stops polling:
//! the poll that waits is ended by a noop, and so is any that still comes. Then it sends an upgrade
//! packet, and from there on the WebSocket alone counts. What waits for a poll goes by it first.
//! Whatever else comes by it, or nothing for too long, ends the attempt, and polling goes on.

use std::time::{Duration, Instant};

use super::{Action, Current, Message, Out, Outgoing, PeerId, Reason, Session, State};
use crate::protocol::engineio::Revision;
use crate::protocol::engineio::packet::{PROBE, Packet, PacketError};

/// A poll that comes after the probe is ended after this time: at once would let a client that does
/// not stop polling go round in circles.
const PAUSE: Duration = Duration::from_millis(100);

/// A WebSocket that the session may go on by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upgrading {
    pub(super) socket: PeerId,
    until: Instant,
    is_probed: bool,
    /// When the poll that waits is to be ended.
    noop_at: Option<Instant>,
}

impl Upgrading {
    pub(super) fn deadline(&self) -> Instant {
        self.noop_at.map_or(self.until, |at| at.min(self.until))
    }
}

impl<'m> Message<'m> {
    fn packet(self, revision: Revision) -> Result<Packet<'m>, PacketError> {
        match self {
            Message::Text(text) => Packet::from_text(revision, text),
            Message::Bytes(bytes) => Packet::from_bytes(revision, bytes),
        }
    }
}

impl<M: Outgoing> Session<M> {
    pub(super) fn socket_opened(
        &mut self,
        now: Instant,
        id: PeerId,
        actions: &mut Vec<Action<'_, M>>,
    ) {
        let may_upgrade = self.settings.may_upgrade
            && self.state == State::Open
            && self.upgrading.is_none()
            && matches!(self.current, Current::Polling(_));
        if !may_upgrade {
            return actions.push(Action::CloseSocket(id));
        }
        self.upgrading = Some(Upgrading {
            socket: id,
            until: now + self.settings.upgrade_timeout,
            is_probed: false,
            noop_at: None,
        });
    }

    pub(super) fn socket_message<'a>(
        &mut self,
        now: Instant,
        id: PeerId,
        message: Message<'a>,
        actions: &mut Vec<Action<'a, M>>,
    ) {
        if self.is_closed() {
            return;
        }
        if matches!(self.current, Current::Websocket(it) if it == id) {
            return match message.packet(self.revision) {
                Ok(packet) => self.packet(now, packet, actions),
                Err(error) => self.fail(error.into(), actions),
            };
        }
        let Some(upgrading) = self.upgrading.filter(|it| it.socket == id) else {
            return;
        };
        match message.packet(self.revision) {
            Ok(Packet::Ping(data)) if data == PROBE && !upgrading.is_probed => {
                let pong = Packet::Pong(PROBE.into());
                actions.push(Action::Write(id, Out::Packet(pong)));
                self.upgrading = Some(Upgrading {
                    is_probed: true,
                    ..upgrading
                });
                self.end_poll(Packet::Noop, actions);
            }
            Ok(Packet::Upgrade) if upgrading.is_probed => self.upgrade(id, now, actions),
            _ => self.give_up_upgrade(actions),
        }
    }

    pub(super) fn socket_closed(&mut self, id: PeerId, actions: &mut Vec<Action<'_, M>>) {
        if self.is_closed() {
            return;
        }
        if self.upgrading.take_if(|it| it.socket == id).is_some() {
            return;
        }
        if matches!(self.current, Current::Websocket(it) if it == id) {
            self.fail(Reason::TransportClosed, actions);
        }
    }

    fn upgrade(&mut self, id: PeerId, now: Instant, actions: &mut Vec<Action<'_, M>>) {
        self.upgrading = None;
        let Current::Polling(polling) = &self.current else {
            return;
        };
        // By the rules there is neither: the client has stopped polling. Those that came before the
        // probe were answered then, and a poll that was sent after this packet may have come first.
        let requests = polling.poll.into_iter().chain(polling.post);
        actions.extend(requests.map(Action::BadRequest));
        self.current = Current::Websocket(id);
        actions.push(Action::Upgraded(id));
        let queue = self.take_queue();
        actions.extend(queue.into_iter().map(|out| Action::Write(id, out)));
        match self.state {
            State::Open if self.revision == Revision::V3 => self.heard(now),
            State::Open | State::Closed => {}
            State::Closing(_) => self.end(Reason::Server, actions),
        }
    }

    pub(super) fn give_up_upgrade(&mut self, actions: &mut Vec<Action<'_, M>>) {
        if let Some(upgrading) = self.upgrading.take() {
            actions.push(Action::CloseSocket(upgrading.socket));
        }
    }

    /// A poll waits: if the client is to stop polling, it is ended soon.
    pub(super) fn expect_pause(&mut self, now: Instant) {
        if let Some(upgrading) = self.upgrading.as_mut().filter(|it| it.is_probed) {
            upgrading.noop_at = Some(now + PAUSE);
        }
    }

    pub(super) fn pass_time_of_upgrade(&mut self, now: Instant, actions: &mut Vec<Action<'_, M>>) {
        let Some(upgrading) = &mut self.upgrading else {
            return;
        };
        if upgrading.until <= now {
            return self.give_up_upgrade(actions);
        }
        if upgrading.noop_at.take_if(|at| *at <= now).is_some() {
            self.end_poll(Packet::Noop, actions);
        }
    }
}
