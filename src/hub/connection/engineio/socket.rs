//! The WebSockets of a session: the one that counts, and one that it may go on by.

use std::io;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use std::time::Instant;

use actix::prelude::*;

use super::effects::Effect;
use super::opening::decoder;
use super::{Connection, Engine};
use crate::hub::connection::context::Context;
use crate::hub::connection::incoming::{MESSAGE_BYTES, TURN_BYTES};
use crate::hub::connection::outbox::Socket;
use crate::hub::engineio::Handover;
use crate::hub::fanout::Worker;
use crate::hub::metrics::{HELD_FULL, INFLATED, INFLATED_BYTES, TURNS_OVER};
use crate::protocol::close::Disconnect;
use crate::protocol::engineio::session::{Event, Message, PeerId};
use crate::protocol::websocket::decode::{Decoder, Incoming, Input};
use crate::protocol::websocket::encode;

/// A WebSocket that is not, or not yet, the session's own.
#[derive(Debug)]
pub(super) struct Probing {
    id: PeerId,
    socket: Socket,
    decoder: Decoder,
    deflate: bool,
    /// What it has not taken: of a socket that comes from another thread it is not known before
    /// the runtime has looked.
    unsent: Vec<u8>,
    keep: Box<dyn std::fmt::Debug>,
}

/// So much may be unsent, bytes: the handshake's answer, a probe's, and some pongs.
const UNSENT_MAX_BYTES: usize = 16 * 1024;

impl Probing {
    pub(super) fn is(&self, id: PeerId) -> bool {
        self.id == id
    }

    /// Writes a frame, now or when the socket takes it.
    pub(super) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.unsent.len() + frame.len() > UNSENT_MAX_BYTES {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unsent.extend_from_slice(frame);
        match self.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Writes what is unsent. Fails with `WouldBlock` while some of it is left.
    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let written = self.socket.try_write(&self.unsent)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unsent.drain(..written);
        }
        self.socket.try_flush()
    }

    /// The same, when the socket takes more. Ready when nothing is left, or nothing ever will be
    /// taken.
    fn poll_flush(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }
}

impl Engine {
    /// Lets go of the other socket, if it is that one.
    pub(super) fn drop_probing(&mut self, id: PeerId) {
        if let Some(mut probing) = self.probing.take_if(|it| it.is(id)) {
            probing.write(&encode::close(1000, "")).ok();
            probing.socket.finish().ok();
        }
    }
}

impl Connection {
    /// There is another WebSocket.
    pub(super) fn probe(
        &mut self,
        now: Instant,
        id: PeerId,
        socket: Handover,
        ctx: &mut Context<Self>,
    ) {
        let Handover {
            socket,
            greeting,
            mut read_ahead,
            deflate,
            keep,
        } = socket;
        let Some(engine) = &mut self.engine else {
            return;
        };
        let mut probing = Probing {
            id,
            socket,
            unsent: Vec::new(),
            decoder: decoder(engine.place.registry.config(), deflate),
            deflate,
            keep,
        };
        if probing.write(&greeting).is_err() {
            return;
        }
        let is_second = engine.probing.is_some();
        if is_second {
            // The session refuses it: it has one.
            probing.socket.finish().ok();
            return;
        }
        engine.probing = Some(Box::new(probing));
        self.happened(now, Event::SocketOpened(id), ctx);
        if !read_ahead.is_empty() {
            self.decode_probing(id, Input::new(&mut read_ahead), ctx);
        }
    }

    /// Reads what is there of either socket.
    pub(super) fn poll_sockets(
        &mut self,
        ctx: &mut Context<Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        let Some(engine) = &mut self.engine else {
            return Poll::Pending;
        };
        if let Some(probing) = &mut engine.probing {
            let id = probing.id;
            if let Poll::Ready(Err(_)) = probing.poll_flush(cx) {
                self.probing_lost(id, ctx);
                return Poll::Ready(());
            }
            match probing.socket.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => {
                    self.read_probing(id, ctx);
                    return Poll::Ready(());
                }
                Poll::Ready(Err(_)) => {
                    self.probing_lost(id, ctx);
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
        }
        // What it holds is begun first; then the task is polled again.
        if self.held.is_full() {
            return Poll::Pending;
        }
        match self.attachment.outbox.poll_readable(cx) {
            Poll::Ready(Ok(())) => self.read_session(ctx),
            Poll::Ready(Err(_)) => self.lost(ctx),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    fn read_probing(&mut self, id: PeerId, ctx: &mut Context<Self>) {
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        let Some(probing) = self.engine.as_ref().and_then(|it| it.probing.as_ref()) else {
            return;
        };
        match probing.socket.try_read(&mut scratch) {
            Ok(0) => self.probing_lost(id, ctx),
            Ok(length) => self.decode_probing(id, Input::new(&mut scratch[..length]), ctx),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.probing_lost(id, ctx),
        }
    }

    fn probing_lost(&mut self, id: PeerId, ctx: &mut Context<Self>) {
        if let Some(engine) = &mut self.engine {
            engine.probing.take_if(|it| it.is(id));
        }
        self.happened(Instant::now(), Event::SocketClosed(id), ctx);
    }

    /// Goes through what has come by the other socket, as long as it is the other one.
    fn decode_probing(&mut self, id: PeerId, mut input: Input<'_>, ctx: &mut Context<Self>) {
        let worker = Rc::clone(&self.worker);
        let probing = |this: &mut Self| {
            let engine = this.engine.as_mut()?;
            let probing = engine.probing.as_mut().filter(|it| it.is(id))?;
            Some(std::mem::replace(&mut probing.decoder, Decoder::new(0)))
        };
        // Not a part of it while what it has decoded is looked at.
        let Some(mut decoder) = probing(self) else {
            return;
        };
        let now = Instant::now();
        loop {
            let Some(engine) = &mut self.engine else {
                return;
            };
            let mut effects = Vec::new();
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => {
                    let max_bytes = engine.place.registry.config().max_http_buffer_size;
                    engine.came(now, id, incoming, (&worker, max_bytes), &mut effects);
                }
                Err(_) => {
                    engine.drop_probing(id);
                    engine.handle(now, Event::SocketClosed(id), &mut effects);
                }
            }
            self.apply(effects, ctx);
            let Some(engine) = &mut self.engine else {
                return;
            };
            if engine.socket == Some(id) {
                // The rest came by the session's own.
                decoder.stash(input);
                self.decoder = decoder;
                return self.decode_session(Input::empty(), ctx);
            }
            if !engine.probing.as_ref().is_some_and(|it| it.is(id)) {
                return;
            }
        }
        decoder.stash(input);
        if let Some(engine) = &mut self.engine
            && let Some(probing) = engine.probing.as_mut().filter(|it| it.is(id))
        {
            probing.decoder = decoder;
        }
    }

    /// The session goes on by the other socket.
    pub(super) fn upgraded(&mut self, id: PeerId) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let Some(probing) = engine.probing.take_if(|it| it.is(id)) else {
            return;
        };
        engine.socket = Some(id);
        engine.place.upgraded();
        if !probing.unsent.is_empty() {
            // Its client has answered what it had not been sent, or takes no pongs.
            self.worker
                .close(&self.attachment, Disconnect::ProtocolError);
        }
        self.keep = Some(probing.keep);
        self.attachment.outbox.adopt(probing.socket);
        self.use_deflate(probing.deflate);
        self.attachment.outbox.flush();
    }

    fn read_session(&mut self, ctx: &mut Context<Self>) {
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        match self.attachment.outbox.read(&mut scratch) {
            Ok(0) => self.lost(ctx),
            Ok(length) => self.decode_session(Input::new(&mut scratch[..length]), ctx),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.lost(ctx),
        }
    }

    /// The session's own socket has ended.
    fn lost(&mut self, ctx: &mut Context<Self>) {
        if let Some(id) = self.engine.as_ref().and_then(|it| it.socket) {
            self.happened(Instant::now(), Event::SocketClosed(id), ctx);
        }
        ctx.stop();
    }

    /// Goes through what has come by the session's own socket.
    pub(super) fn decode_session(&mut self, mut input: Input<'_>, ctx: &mut Context<Self>) {
        let worker = Rc::clone(&self.worker);
        let now = Instant::now();
        let mut turn_bytes = 0;
        loop {
            if self.attachment.outbox.is_over() {
                return self.skip_to_close(&mut input, ctx);
            }
            if self.held.is_full() {
                HELD_FULL.inc();
                break;
            }
            let is_more = !input.rest().is_empty() || self.decoder.has_stashed();
            if turn_bytes > TURN_BYTES && is_more && !ctx.is_waiting() {
                TURNS_OVER.inc();
                let turn = tokio::task::yield_now().into_actor(self);
                ctx.wait(turn.map(|(), this, ctx| this.resume_session(ctx)));
                break;
            }
            let Some(engine) = &mut self.engine else {
                return;
            };
            let Some(id) = engine.socket else {
                return;
            };
            let mut effects = Vec::new();
            match self.decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(incoming)) => {
                    turn_bytes += MESSAGE_BYTES + incoming.len();
                    let max_bytes = engine.place.registry.config().max_http_buffer_size;
                    engine.came(now, id, incoming, (&worker, max_bytes), &mut effects);
                }
                Err(error) => {
                    tracing::debug!(%error, address = %self.address, "a session has failed");
                    effects.push(Effect::End(error.disconnect()));
                }
            }
            self.apply(effects, ctx);
            self.settle(ctx);
            if ctx.state() == ActorState::Stopping {
                return;
            }
        }
        if !input.rest().is_empty() {
            self.decoder.stash(input);
        }
    }
}

impl Engine {
    /// A frame came by a socket.
    fn came(
        &mut self,
        now: Instant,
        id: PeerId,
        incoming: Incoming<'_>,
        (worker, max_bytes): (&Worker, usize),
        effects: &mut Vec<Effect>,
    ) {
        match incoming {
            Incoming::Text(text) => {
                let message = Message::Text(text);
                self.handle(now, Event::SocketMessage(id, message), effects);
            }
            Incoming::Binary(bytes) => {
                let message = Message::Bytes(bytes);
                self.handle(now, Event::SocketMessage(id, message), effects);
            }
            Incoming::Deflated(message) => {
                let mut inflater = worker.inflater.borrow_mut();
                match inflater.message(message, max_bytes) {
                    // What it was is no longer compressed.
                    Ok(incoming) => {
                        INFLATED.with_label_values(&["ok"]).inc();
                        INFLATED_BYTES.inc_by(incoming.len() as u64);
                        let message = match incoming {
                            Incoming::Text(text) => Message::Text(text),
                            Incoming::Binary(bytes) => Message::Bytes(bytes),
                            _ => return,
                        };
                        self.handle(now, Event::SocketMessage(id, message), effects);
                    }
                    Err(error) => {
                        let outcome = error.disconnect().reason();
                        INFLATED.with_label_values(&[outcome]).inc();
                        effects.push(Effect::End(error.disconnect()));
                    }
                }
                inflater.release();
            }
            Incoming::Ping(payload) => effects.push(Effect::Pong(id, encode::pong(payload))),
            Incoming::Pong(_) => {}
            Incoming::Close(frame) => {
                let answer = match frame {
                    Some(frame) => encode::close(frame.code, ""),
                    None => encode::close_without_code(),
                };
                effects.push(Effect::Write(id, answer));
                self.handle(now, Event::SocketClosed(id), effects);
            }
        }
    }
}
