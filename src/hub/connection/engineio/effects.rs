//! What the sessions say to do, detached from what they were told, and doing it.

use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;

use super::requests::Taken;
use super::{Connection, Contract, Engine};
use crate::hub::connection::Step;
use crate::hub::connection::context::Context;
use crate::hub::connection::outbox::Class;
use crate::hub::engineio::Refused;
use crate::hub::metrics::SOCKETIO_ENDED;
use crate::protocol::close::Disconnect;
use crate::protocol::engineio::Revision;
use crate::protocol::engineio::packet::append_bytes;
use crate::protocol::engineio::session::{Action, Out, PeerId, Reason};
use crate::protocol::websocket::encode;

/// Something to do.
pub(super) enum Effect {
    /// Answer a poll.
    Payload(PeerId, Vec<Out<Taken>>),
    /// Answer a POST, when what it brought has been begun.
    Done(PeerId),
    /// Refuse a request.
    Refuse(PeerId, Refused),
    /// Write to a WebSocket.
    Write(PeerId, Bytes),
    /// Answer a ping of a WebSocket.
    Pong(PeerId, Bytes),
    /// Close a WebSocket.
    CloseSocket(PeerId),
    /// The session goes on by this WebSocket.
    Upgraded(PeerId),
    /// What the client wants, in its turn. It came in a message of so many bytes.
    Step(Step, usize),
    /// Send the client a message.
    Say(Bytes),
    /// End the connection.
    End(Disconnect),
    /// The session has ended.
    Closed(Reason),
}

impl Engine {
    /// Takes what the session says to do.
    pub(super) fn note(
        &mut self,
        now: Instant,
        actions: Vec<Action<'_, Taken>>,
        effects: &mut Vec<Effect>,
    ) {
        for action in actions {
            let effect = match action {
                Action::Payload(id, packets) => Effect::Payload(id, packets),
                Action::Ok(id) => Effect::Done(id),
                Action::BadRequest(id) => Effect::Refuse(id, Refused::BadRequest),
                Action::TooLarge(id) => Effect::Refuse(id, Refused::TooLarge),
                Action::Write(id, out) => Effect::Write(id, frame(self.revision(), out)),
                Action::CloseSocket(id) => Effect::CloseSocket(id),
                Action::Upgraded(id) => Effect::Upgraded(id),
                Action::Closed(reason) => Effect::Closed(reason),
                Action::Text(text) => match self.contract {
                    Contract::Echo => Effect::Say(encode::text(&[b"4", text.as_bytes()].concat())),
                    Contract::Hub | Contract::SocketIoSuite => {
                        let mut said = Vec::new();
                        self.socketio.text(now, &text, &mut said);
                        self.note_said(said, text.len(), effects);
                        continue;
                    }
                },
                Action::Bytes(bytes) => match self.contract {
                    Contract::Echo => {
                        let mut payload = Vec::with_capacity(1 + bytes.len());
                        append_bytes(self.revision(), &bytes, &mut payload);
                        Effect::Say(encode::binary(&payload))
                    }
                    Contract::Hub | Contract::SocketIoSuite => {
                        let mut said = Vec::new();
                        self.socketio.bytes(now, &bytes, &mut said);
                        self.note_said(said, bytes.len(), effects);
                        continue;
                    }
                },
            };
            effects.push(effect);
        }
    }
}

impl Connection {
    /// Does what the sessions have said.
    pub(super) fn apply(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            let Some(engine) = &mut self.engine else {
                return;
            };
            match effect {
                Effect::Payload(id, packets) => {
                    let revision = engine.revision();
                    engine.requests.answer_poll(id, revision, &packets);
                }
                Effect::Done(id) => engine.owed = Some(id),
                Effect::Refuse(id, refused) => engine.requests.refuse(id, refused),
                Effect::Pong(id, frame) if engine.socket == Some(id) => {
                    self.attachment.outbox.push_pong(frame);
                }
                Effect::Write(id, frame) | Effect::Pong(id, frame) => self.write(id, frame),
                Effect::CloseSocket(id) => engine.drop_probing(id),
                Effect::Upgraded(id) => self.upgraded(id),
                Effect::Step(step, bytes) => self.held.push(step, bytes),
                Effect::Say(frame) => {
                    self.attachment.outbox.push(frame, Class::Durable);
                }
                Effect::End(reason) => self.worker.close(&self.attachment, reason),
                Effect::Closed(reason) => self.closed(reason, ctx),
            }
        }
    }

    fn write(&mut self, id: PeerId, frame: Bytes) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        if engine.socket == Some(id) {
            self.attachment.outbox.push(frame, Class::Durable);
        } else if let Some(probing) = engine.probing.as_mut().filter(|it| it.is(id))
            && probing.write(&frame).is_err()
        {
            // Nothing waits for it: it would be read if it were there.
            engine.probing = None;
        }
    }

    /// The session has ended.
    fn closed(&mut self, reason: Reason, ctx: &mut Context<Self>) {
        SOCKETIO_ENDED.with_label_values(&[label(reason)]).inc();
        let Some(engine) = &mut self.engine else {
            return;
        };
        if let Some(id) = engine.owed.take() {
            engine.requests.answer_post(id);
        }
        let outbox = &self.attachment.outbox;
        let disconnect = match reason {
            Reason::Client => {
                // It knows, and wants to hear nothing more.
                outbox.set_farewell(Bytes::new());
                self.attachment.has_taken_leave.set(true);
                Disconnect::Normal
            }
            Reason::TransportClosed | Reason::Aborted => return ctx.stop(),
            Reason::Server => Disconnect::Normal,
            Reason::PingTimeout => Disconnect::HeartbeatTimeout,
            Reason::Slow => Disconnect::Slow,
            Reason::Overlap | Reason::Content | Reason::Packet(_) | Reason::OutOfPlace => {
                tracing::debug!(%reason, address = %self.address, "a session has failed");
                Disconnect::ProtocolError
            }
        };
        self.worker.close(&self.attachment, disconnect);
        if !outbox.has_socket() {
            ctx.stop();
        }
    }
}

/// A packet as a frame of a WebSocket.
fn frame(revision: Revision, out: Out<Taken>) -> Bytes {
    match out {
        Out::Message(taken) => taken.0,
        Out::Packet(packet) => {
            let mut payload = Vec::new();
            packet.append(revision, &mut payload);
            if packet.is_binary() {
                encode::binary(&payload)
            } else {
                encode::text(&payload)
            }
        }
    }
}

fn label(reason: Reason) -> &'static str {
    match reason {
        Reason::Client => "client",
        Reason::TransportClosed => "transport_closed",
        Reason::Aborted => "aborted",
        Reason::Server => "server",
        Reason::Overlap => "overlap",
        Reason::Content => "content",
        Reason::Packet(_) => "packet",
        Reason::OutOfPlace => "out_of_place",
        Reason::PingTimeout => "ping_timeout",
        Reason::Slow => "slow",
    }
}
