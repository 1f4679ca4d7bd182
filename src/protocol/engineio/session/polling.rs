//! Long polling: one GET that waits and one POST that brings, at a time.

use std::time::Instant;

use super::{Action, Current, Out, Outgoing, PeerId, Reason, Session, State};
use crate::protocol::engineio::Revision;
use crate::protocol::engineio::packet::Packet;
use crate::protocol::engineio::payload::{Body, Packets};

/// The requests that are open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Polling {
    /// The GET that is to be answered.
    pub(super) poll: Option<PeerId>,
    /// The POST that is being read.
    pub(super) post: Option<PeerId>,
}

impl Polling {
    pub(super) const fn of(poll: PeerId) -> Self {
        Self {
            poll: Some(poll),
            post: None,
        }
    }
}

impl<M: Outgoing> Session<M> {
    /// The requests, while it is they that count.
    fn requests(&mut self) -> Option<&mut Polling> {
        match (&mut self.current, self.state) {
            (_, State::Closed) | (Current::Websocket(_), _) => None,
            (Current::Polling(polling), _) => Some(polling),
        }
    }

    /// Whether what is sent now would have to wait for the client.
    pub(super) fn takes_nothing(&self) -> bool {
        matches!(self.current, Current::Polling(Polling { poll: None, .. }))
    }

    pub(super) fn poll(&mut self, now: Instant, id: PeerId, actions: &mut Vec<Action<'_, M>>) {
        let Some(requests) = self.requests() else {
            return actions.push(Action::BadRequest(id));
        };
        if requests.poll.is_some() {
            actions.push(Action::BadRequest(id));
            return self.fail(Reason::Overlap, actions);
        }
        requests.poll = Some(id);
        if matches!(self.state, State::Closing(_)) && self.queue.is_empty() {
            return self.end(Reason::Server, actions);
        }
        self.expect_pause(now);
    }

    /// What was handed out for it before is lost, and nobody knows what that was.
    pub(super) fn poll_repeated(&mut self, id: PeerId, actions: &mut Vec<Action<'_, M>>) {
        actions.push(Action::BadRequest(id));
        if self.requests().is_some() {
            self.fail(Reason::Aborted, actions);
        }
    }

    pub(super) fn poll_aborted(&mut self, id: PeerId, actions: &mut Vec<Action<'_, M>>) {
        if let Some(requests) = self.requests()
            && requests.poll.take_if(|it| *it == id).is_some()
        {
            self.fail(Reason::Aborted, actions);
        }
    }

    pub(super) fn post_begun(
        &mut self,
        id: PeerId,
        is_bytes: bool,
        actions: &mut Vec<Action<'_, M>>,
    ) {
        let has_bytes = self.revision == Revision::V3;
        let Some(requests) = self.requests() else {
            return actions.push(Action::BadRequest(id));
        };
        let reason = match requests.post {
            Some(_) => Reason::Overlap,
            None if is_bytes && !has_bytes => Reason::Content,
            None => return requests.post = Some(id),
        };
        actions.push(Action::BadRequest(id));
        self.fail(reason, actions);
    }

    /// The POST is over; whether it was open.
    fn end_post(&mut self, id: PeerId) -> bool {
        self.requests()
            .is_some_and(|it| it.post.take_if(|post| *post == id).is_some())
    }

    pub(super) fn post_too_large(&mut self, id: PeerId, actions: &mut Vec<Action<'_, M>>) {
        if self.end_post(id) {
            actions.push(Action::TooLarge(id));
        }
    }

    pub(super) fn post_aborted(&mut self, id: PeerId, actions: &mut Vec<Action<'_, M>>) {
        if self.end_post(id) {
            self.fail(Reason::Aborted, actions);
        }
    }

    pub(super) fn posted<'a>(
        &mut self,
        now: Instant,
        id: PeerId,
        body: Body<'a>,
        actions: &mut Vec<Action<'a, M>>,
    ) {
        if !self.end_post(id) {
            // Refused before, when the session ended or went on by its WebSocket.
            return;
        }
        for packet in Packets::of(self.revision, body) {
            match packet {
                Ok(packet) => self.packet(now, packet, actions),
                Err(error) => {
                    actions.push(Action::BadRequest(id));
                    return self.fail(error.into(), actions);
                }
            }
            if self.is_closed() {
                return answer_before_the_end(id, actions);
            }
        }
        actions.push(Action::Ok(id));
    }

    /// Answers the poll that waits, if there is something to say.
    pub(super) fn flush(&mut self, actions: &mut Vec<Action<'_, M>>) {
        if self.queue.is_empty() {
            return;
        }
        if let Some(poll) = self.requests().and_then(|it| it.poll.take()) {
            let packets = self.take_queue().into();
            actions.push(Action::Payload(poll, packets));
        }
    }

    /// Ends the poll that waits, with what waits for it and `last`.
    pub(super) fn end_poll(&mut self, last: Packet<'static>, actions: &mut Vec<Action<'_, M>>) {
        if let Some(poll) = self.requests().and_then(|it| it.poll.take()) {
            let mut packets: Vec<_> = self.take_queue().into();
            packets.push(Out::Packet(last));
            actions.push(Action::Payload(poll, packets));
        }
    }
}

/// A POST has ended the session: it is answered before that is told.
fn answer_before_the_end<M>(id: PeerId, actions: &mut Vec<Action<'_, M>>) {
    let end = actions.pop();
    let is_asked_for = matches!(end, Some(Action::Closed(Reason::Client)));
    actions.push(if is_asked_for {
        Action::Ok(id)
    } else {
        Action::BadRequest(id)
    });
    actions.extend(end);
}
