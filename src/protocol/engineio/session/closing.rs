//! The ways in which a session ends.

use std::time::Instant;

use super::{Action, Current, Outgoing, Reason, Session, State};
use crate::protocol::engineio::packet::Packet;

impl<M: Outgoing> Session<M> {
    /// The server ends it: what waits is still sent. With polling that needs a poll, for which it
    /// waits a while, and one more for the end itself: the official client (npm, version 4) handles
    /// messages a moment after they came and the end at once. Messages that came with the end would
    /// find it disconnected; it keeps those for later without counting them as received, so that it
    /// asks for them again when it recovers, and has them twice.
    pub(super) fn close(&mut self, now: Instant, actions: &mut Vec<Action<'_, M>>) {
        if self.state != State::Open {
            return;
        }
        self.state = State::Closing(now + self.settings.close_timeout);
        if !self.takes_nothing() && self.queue.is_empty() {
            self.end(Reason::Server, actions);
        }
    }

    /// The client ends it. Its poll gets a noop, as it knows.
    pub(super) fn client_closed(&mut self, actions: &mut Vec<Action<'_, M>>) {
        self.take_queue();
        self.end_poll(Packet::Noop, actions);
        self.finish(Reason::Client, actions);
    }

    /// Something is wrong: what waits is not sent.
    pub(super) fn fail(&mut self, reason: Reason, actions: &mut Vec<Action<'_, M>>) {
        self.take_queue();
        self.end(reason, actions);
    }

    /// The client is told that it is over, if that is possible. Nothing may be waiting any more.
    pub(super) fn end(&mut self, reason: Reason, actions: &mut Vec<Action<'_, M>>) {
        self.end_poll(Packet::Close, actions);
        self.finish(reason, actions);
    }

    fn finish(&mut self, reason: Reason, actions: &mut Vec<Action<'_, M>>) {
        if self.is_closed() {
            return;
        }
        self.give_up_upgrade(actions);
        match &self.current {
            Current::Websocket(id) => actions.push(Action::CloseSocket(*id)),
            // One that is just being read, not one that has brought the end.
            Current::Polling(polling) => actions.extend(polling.post.map(Action::BadRequest)),
        }
        self.state = State::Closed;
        self.take_queue();
        actions.push(Action::Closed(reason));
    }
}
