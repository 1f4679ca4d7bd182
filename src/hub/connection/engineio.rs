//! Sessions of Engine.IO: connections whose client polls, or has a WebSocket, or changes from the
//! one to the other.
//!
//! The actor is the same as that of a native connection, with an [`Engine`] in place of one socket:
//! commands, joins and replays are those of every connection, and what goes out waits in the same
//! outbox, which polls empty until there is a socket to write to. What the protocols want is said by
//! the two sessions without I/O, [`Session`] and, above it, [`socketio::session::Session`]; what they say to
//! do is an [`Effect`], and what the client wants of the hub a [`Step`](super::Step) in its turn.

mod contract;
mod effects;
mod entering;
mod mailbox;
mod opening;
mod packets;
mod put_off;
mod questions;
mod requests;
mod socket;

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use self::effects::Effect;
pub(crate) use self::mailbox::Mailbox;
pub(crate) use self::opening::open;
pub(super) use self::packets::Said;
use self::put_off::PutOff;
use self::questions::Questions;
use self::requests::{Gone, Requests, Taken};
use self::socket::Probing;
use super::Connection;
use super::context::Context;
use super::identity::Identity;
use crate::hub::engineio::{Call, Contract, EngineIo, Refused, Seat, Waiting};
use crate::hub::metrics::{SOCKETIO_ENDED, SOCKETIO_SESSIONS};
use crate::protocol::engineio::payload::Body;
use crate::protocol::engineio::session::{Event, PeerId, Session};
use crate::protocol::engineio::{Revision, Transport};
use crate::protocol::socketio;
use crate::protocol::websocket::decode::Input;

/// When nothing is due: later than anybody waits.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a connection has whose client speaks Engine.IO.
pub(super) struct Engine {
    place: Place,
    session: Session<Taken>,
    socketio: socketio::session::Session,
    contract: Contract,
    requests: Requests,
    questions: Questions,
    mailbox: Rc<Mailbox>,
    /// The WebSocket that counts.
    socket: Option<PeerId>,
    /// One that it may go on by.
    probing: Option<Box<Probing>>,
    /// Another one is on its way.
    coming: Option<oneshot::Receiver<Infallible>>,
    /// A poll that waits until that one has been read.
    put_off: Option<Box<PutOff>>,
    /// A POST that is answered when what it asked for has been begun.
    owed: Option<PeerId>,
    /// The session knows that the hub ends it.
    is_ending: bool,
    timer: Pin<Box<Sleep>>,
    due: Instant,
    /// Who the client is by its first request, if that said so.
    identity: Option<Identity>,
    token: Option<String>,
    takes_offsets: bool,
    /// To join a room is to leave the others.
    is_single_room: bool,
    /// The longest text or value of a command, bytes.
    message_bytes: usize,
    /// Kept for as long as the session lasts.
    _keep: Box<dyn Debug>,
}

/// Where requests find it. Taken back when it is dropped.
struct Place {
    registry: EngineIo,
    sid: Box<str>,
    transport: Transport,
    _seat: Seat,
}

impl Place {
    fn upgraded(&mut self) {
        SOCKETIO_SESSIONS
            .with_label_values(&[self.transport.name()])
            .dec();
        self.transport = Transport::Websocket;
        SOCKETIO_SESSIONS
            .with_label_values(&[self.transport.name()])
            .inc();
        self.registry.upgraded(&self.sid);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.forget(&self.sid);
        SOCKETIO_SESSIONS
            .with_label_values(&[self.transport.name()])
            .dec();
    }
}

impl Connection {
    /// Goes on with whatever there is for the session. Ready if there was something.
    pub(super) fn poll_session(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        let Some(engine) = &mut self.engine else {
            return Poll::Pending;
        };
        let now = Instant::now();
        if let Some(call) = engine.next_call(cx) {
            self.called(now, call, ctx);
        } else if let Some(gone) = engine.requests.gone(cx) {
            let event = match gone {
                Gone::Poll(id) => Event::PollAborted(id),
                Gone::Post(id) => Event::PostAborted(id),
            };
            self.happened(now, event, ctx);
        } else if engine.timer.as_mut().poll(cx).is_ready() {
            engine.due = now + NEVER;
            engine.timer.as_mut().reset(engine.due.into());
            self.time_passed(now, ctx);
        } else if self.poll_outbox(now, ctx, cx).is_pending()
            && self.poll_sockets(ctx, cx).is_pending()
            && self.poll_put_off(now, ctx, cx).is_pending()
        {
            return Poll::Pending;
        }
        self.settle(ctx);
        Poll::Ready(())
    }

    /// Gives what waits to the poll that does, and ends the session if the hub wants that.
    fn poll_outbox(
        &mut self,
        now: Instant,
        ctx: &mut Context<Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        let Some(engine) = &mut self.engine else {
            return Poll::Pending;
        };
        let outbox = &self.attachment.outbox;
        outbox.wake_for_frames(cx.waker());
        if outbox.has_socket() {
            return Poll::Pending;
        }
        if outbox.is_shut() {
            // No poll came to be told.
            SOCKETIO_ENDED.with_label_values(&["untold"]).inc();
            ctx.stop();
            return Poll::Ready(());
        }
        let is_closing = outbox.closing().is_some();
        if is_closing && engine.is_ending {
            return Poll::Pending;
        }
        if !is_closing && !engine.session.takes_now() {
            return Poll::Pending;
        }
        let max_bytes = if is_closing {
            usize::MAX
        } else {
            engine.place.registry.config().max_http_buffer_size
        };
        let frames = outbox.take_frames(max_bytes);
        if frames.is_none() && !is_closing {
            return Poll::Pending;
        }
        engine.is_ending |= is_closing;
        if let Some(frames) = frames {
            let message = Event::Send {
                message: Taken(frames),
                is_volatile: false,
            };
            self.happened(now, message, ctx);
        }
        let after = if is_closing {
            Event::Close
        } else {
            Event::Flush
        };
        self.happened(now, after, ctx);
        Poll::Ready(())
    }

    /// Something came by another thread.
    fn called(&mut self, now: Instant, call: Call, ctx: &mut Context<Self>) {
        let Some(engine) = &mut self.engine else {
            return call.refuse(Refused::UnknownSid);
        };
        match call {
            Call::Begun(
                id,
                Waiting::Poll {
                    answer,
                    takes_bytes,
                    stamp,
                },
            ) => {
                let event = if engine.requests.repeats(stamp) {
                    Event::PollRepeated(id)
                } else {
                    Event::Poll(id)
                };
                engine.requests.poll(id, answer, takes_bytes);
                self.happened(now, event, ctx);
            }
            Call::Begun(id, Waiting::Post { answer, is_bytes }) => {
                engine.requests.post(id, answer, is_bytes);
                let is_early = engine.owed.is_some();
                self.happened(now, Event::PostBegun { id, is_bytes }, ctx);
                if is_early {
                    // The one before is not answered: so it is two at a time.
                    let again = Event::PostBegun { id, is_bytes };
                    self.happened(now, again, ctx);
                }
            }
            Call::Posted(id, body) => self.posted(now, id, body, ctx),
            Call::Socket(id, handed, _coming) => {
                engine.coming = None;
                match handed.arrive() {
                    Ok(socket) => self.probe(now, id, socket, ctx),
                    Err(error) => tracing::debug!(%error, "a socket was lost on its way"),
                }
            }
            Call::Ask(question) => self.ask(question),
            // Not handed to a session that there is; and taken before.
            Call::Begun(_, Waiting::Socket(_)) | Call::Coming(_) => {}
        }
    }

    fn posted(&mut self, now: Instant, id: PeerId, body: Option<Bytes>, ctx: &mut Context<Self>) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let Some(is_bytes) = engine.requests.is_bytes(id) else {
            return;
        };
        let Some(body) = body else {
            return self.happened(now, Event::PostTooLarge(id), ctx);
        };
        let text = (!is_bytes).then(|| std::str::from_utf8(&body));
        let body = match text {
            None => Body::Bytes(&body),
            Some(Ok(text)) => Body::Text(text),
            Some(Err(_)) => {
                engine.requests.refuse(id, Refused::BadRequest);
                return self.happened(now, Event::PostAborted(id), ctx);
            }
        };
        self.happened(now, Event::Posted { id, body }, ctx);
    }

    /// Tells the session, and does what it says.
    fn happened(&mut self, now: Instant, event: Event<'_, Taken>, ctx: &mut Context<Self>) {
        let mut effects = Vec::new();
        if let Some(engine) = &mut self.engine {
            engine.handle(now, event, &mut effects);
        }
        self.apply(effects, ctx);
    }

    fn time_passed(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let mut effects = Vec::new();
        if let Some(engine) = &mut self.engine {
            engine.handle(now, Event::Tick, &mut effects);
            if engine.contract != Contract::Echo {
                let mut said = Vec::new();
                engine.socketio.tick(now, &mut said);
                engine.note_said(said, 0, &mut effects);
            }
        }
        self.apply(effects, ctx);
    }

    /// At the end of a turn: what the client asked for is begun, a POST that brought it is answered,
    /// what is to go out goes, and the timer is set.
    pub(super) fn settle(&mut self, ctx: &mut Context<Self>) {
        if !ctx.is_waiting() {
            self.run_held(ctx);
        }
        let is_idle = self.held.is_empty() && !ctx.is_waiting();
        if let Some(engine) = &mut self.engine {
            if is_idle && let Some(id) = engine.owed.take() {
                engine.requests.answer_post(id);
            }
            engine.set_timer();
        }
        // A poll has been given what there is.
        if self.attachment.outbox.has_socket() {
            self.attachment.outbox.flush();
        }
        self.worker.note_closing(&self.attachment);
    }

    /// Goes on after a command that everything waited for.
    pub(super) fn resume_session(&mut self, ctx: &mut Context<Self>) {
        self.settle(ctx);
        self.decode_session(Input::empty(), ctx);
    }
}

impl Engine {
    /// Tells the session what has happened.
    fn handle(&mut self, now: Instant, event: Event<'_, Taken>, effects: &mut Vec<Effect>) {
        let mut actions = Vec::new();
        self.session.handle(now, event, &mut actions);
        self.note(now, actions, effects);
    }

    fn revision(&self) -> Revision {
        self.session.revision()
    }

    fn set_timer(&mut self) {
        let above = match self.contract {
            Contract::Echo => None,
            Contract::Hub | Contract::SocketIoSuite => self.socketio.deadline(),
        };
        let due = self.session.deadline().into_iter().chain(above).min();
        let due = due.unwrap_or_else(|| Instant::now() + NEVER);
        if due != self.due {
            self.due = due;
            self.timer.as_mut().reset(due.into());
        }
    }
}
