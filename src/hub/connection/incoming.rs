//! What comes in: from the socket's bytes to steps, one after the other.

use std::io;
use std::rc::Rc;

use actix::prelude::*;
use bytes::Bytes;

use super::context::Context;
use super::outbox::Class;
use super::{Connection, Contract, Flow, Step, step};
use crate::hub::encoded::WireFormat;
use crate::hub::fanout::Worker;
use crate::hub::metrics::{HELD_FULL, INFLATED, INFLATED_BYTES, TURNS_OVER};
use crate::protocol::websocket::decode::{Deflated, Incoming, Input};
use crate::protocol::websocket::encode;

/// A connection whose messages have been so long in one go lets others have their turn: a kilobyte
/// may become a megabyte, and a read holds many of them.
pub(super) const TURN_BYTES: usize = 256 * 1024;

/// What a message counts besides its bytes: a read holds thousands of short ones.
pub(super) const MESSAGE_BYTES: usize = 256;

impl Connection {
    pub(super) fn read(&mut self, ctx: &mut Context<Self>) {
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        match self.attachment.outbox.read(&mut scratch) {
            Ok(0) => ctx.stop(),
            Ok(length) => {
                self.attachment.heard(worker.now());
                self.decode(Input::new(&mut scratch[..length]), ctx);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::trace!(%error, "a connection was lost");
                ctx.stop();
            }
        }
    }

    /// Goes on with what was kept while a command waited.
    pub(super) fn resume(&mut self, ctx: &mut Context<Self>) {
        // While the command waited, nothing was read: its silence was ours.
        self.attachment.heard(self.worker.now());
        if self.engine.is_some() {
            return self.resume_session(ctx);
        }
        self.decode(Input::empty(), ctx);
    }

    /// Runs the commands in the input until one has to wait.
    pub(super) fn decode(&mut self, mut input: Input<'_>, ctx: &mut Context<Self>) {
        if self.run_held(ctx) == Flow::Continue {
            self.decode_input(&mut input, ctx);
        }
        if !input.rest().is_empty() {
            self.decoder.stash(input);
        }
        self.attachment.outbox.flush();
        // Its own replies may have been more than it reads.
        self.worker.note_closing(&self.attachment);
    }

    /// Runs the commands that were held, until one has to wait.
    pub(super) fn run_held(&mut self, ctx: &mut Context<Self>) -> Flow {
        while let Some(step) = self.held.pop() {
            match self.take(step, ctx) {
                Flow::Continue | Flow::Busy => {}
                flow => return flow,
            }
        }
        Flow::Continue
    }

    fn decode_input(&mut self, input: &mut Input<'_>, ctx: &mut Context<Self>) {
        let mut turn_bytes = 0;
        loop {
            if self.attachment.outbox.is_over() {
                return self.skip_to_close(input, ctx);
            }
            if self.held.is_full() {
                HELD_FULL.inc();
                self.is_tap_shut = true;
                break;
            }
            let is_more = !input.rest().is_empty() || self.decoder.has_stashed();
            if turn_bytes > TURN_BYTES && is_more {
                TURNS_OVER.inc();
                let turn = tokio::task::yield_now().into_actor(self);
                return ctx.wait(turn.map(|(), this, ctx| this.resume(ctx)));
            }
            let reading = Reading {
                worker: &self.worker,
                format: self.attachment.format.get(),
                contract: self.contract,
                max_message_bytes: self.decoder.max_message_bytes(),
            };
            let (step, bytes) = match self.decoder.next(input) {
                Ok(None) => break,
                Ok(Some(incoming)) => {
                    let came = incoming.len();
                    let (step, bytes) = match incoming {
                        Incoming::Deflated(message) => reading.inflated(message),
                        incoming => (reading.step(incoming), came),
                    };
                    turn_bytes += MESSAGE_BYTES + bytes.max(came);
                    (step, bytes)
                }
                Err(error) => (Step::Fail(error), 0),
            };
            if self.held.is_busy && step.is_command() {
                self.held.push(step, bytes);
                continue;
            }
            match self.take(step, ctx) {
                Flow::Continue | Flow::Busy => {}
                Flow::Wait | Flow::Stop => break,
            }
        }
    }

    /// Of a connection that the hub is closing only the client's own close frame matters.
    pub(super) fn skip_to_close(&mut self, input: &mut Input<'_>, ctx: &mut Context<Self>) {
        loop {
            match self.decoder.next(input) {
                Ok(Some(Incoming::Close(_))) => return ctx.stop(),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Sends a message back. While the client takes nothing, nothing more is read.
    pub(super) fn echo(&mut self, frame: Bytes, ctx: &mut Context<Self>) -> Flow {
        let attachment = &self.attachment;
        attachment.at_work(self.worker.now());
        attachment.outbox.flush();
        if !attachment.outbox.is_blocked() {
            attachment.outbox.push(frame, Class::Durable);
            return Flow::Continue;
        }
        let outbox = Rc::clone(&attachment.outbox);
        let drained = async move { outbox.drained_to(0).await }.into_actor(self);
        ctx.wait(drained.map(|(), this, ctx| {
            this.attachment.outbox.push(frame, Class::Durable);
            this.resume(ctx);
        }));
        Flow::Wait
    }
}

/// What it takes to know what a message asks for.
struct Reading<'a> {
    worker: &'a Worker,
    format: WireFormat,
    contract: Contract,
    max_message_bytes: usize,
}

impl Reading<'_> {
    fn step(&self, incoming: Incoming<'_>) -> Step {
        let limits = &self.worker.hub.settings().limits;
        match (self.contract, incoming) {
            (Contract::Echo, Incoming::Text(text)) => {
                Step::Echo(self.format.finish(encode::text(text.as_bytes())))
            }
            (Contract::Echo, Incoming::Binary(bytes)) => {
                Step::Echo(self.format.finish(encode::binary(bytes)))
            }
            (_, incoming) => step(incoming, self.format.codec(), limits.message_bytes),
        }
    }

    /// What a compressed message asks for, and how long it has become.
    fn inflated(&self, message: Deflated<'_>) -> (Step, usize) {
        let mut inflater = self.worker.inflater.borrow_mut();
        let done = match inflater.message(message, self.max_message_bytes) {
            Ok(incoming) => {
                INFLATED.with_label_values(&["ok"]).inc();
                INFLATED_BYTES.inc_by(incoming.len() as u64);
                (self.step(incoming), incoming.len())
            }
            Err(error) => {
                let outcome = error.disconnect().reason();
                INFLATED.with_label_values(&[outcome]).inc();
                (Step::Fail(error), 0)
            }
        };
        inflater.release();
        done
    }
}
