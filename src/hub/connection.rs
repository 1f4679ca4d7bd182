//! Connections: one actor for each socket.
//!
//! The actor owns what comes in: it reads when the socket has something, decodes, and runs one
//! command after the other. What goes out is the [`outbox`]'s, which the thread's fan-out fills
//! and writes without asking the actor.
//!
//! Pure: [`session`] (what may be asked for), [`liveness`] (pings and time-outs).

mod commands;
mod context;
pub(crate) mod engineio;
mod held;
pub mod identity;
mod incoming;
mod join;
pub(crate) mod liveness;
pub(crate) mod outbox;
mod pace;
mod resume;
mod session;
pub mod stream;
mod submit;

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{self, Poll};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;

pub(crate) use self::commands::timed_out;
use self::context::{Context, Running};
use self::engineio::{Engine, Said};
use self::held::Held;
use self::identity::Identity;
use self::liveness::Liveness;
use self::outbox::{Class, Outbox};
pub use self::outbox::{DetachedSocket, Socket, TlsSocket};
use self::session::{Admission, Session, SessionLimits, Situation};
use crate::fault;
use crate::hub::HubHandle;
use crate::hub::encoded::WireFormat;
use crate::hub::fanout::{Attachment, Worker};
use crate::hub::metrics::{ACTORS_DOWN, COMMANDS, CONNECTIONS};
use crate::protocol::close::Disconnect;
use crate::protocol::error::Refusal;
use crate::protocol::native::{
    Codec, Request, RequestError, RequestId, decode_packed_request, decode_request,
};
use crate::protocol::reply::Reply;
use crate::protocol::websocket::decode::{Decoder, Incoming, Input};
use crate::protocol::websocket::encode;
use crate::protocol::websocket::frame_error::FrameError;
use crate::stall::{Activity, doing_with, marked};

/// A socket whose handshake was accepted, and what is known of who is at its other end.
#[derive(Debug)]
pub struct Opening {
    /// The socket, with nothing but TLS between it and the peer.
    pub socket: Socket,
    /// The answer to the handshake, behind those to requests before it. It is sent when the
    /// connection is registered: whoever has read it is counted, and told when the node stops.
    pub greeting: Bytes,
    /// What had been read from it beyond the handshake.
    pub read_ahead: Vec<u8>,
    /// The client's address.
    pub address: IpAddr,
    /// Who it is, if the handshake said so.
    pub identity: Option<Identity>,
    /// How its messages are written, by the subprotocol that was agreed upon.
    pub codec: Codec,
    /// Whether permessage-deflate was agreed on.
    pub deflate: bool,
    /// What is spoken.
    pub contract: Contract,
    /// Kept until the socket has been closed, and dropped then.
    pub keep: Box<dyn Debug>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// The native protocol.
    Native,
    /// Messages come back as they are; what conformance suites of RFC 6455 run against.
    Echo,
}

/// Gives a socket its actor, on the present thread.
pub fn open(hub: &HubHandle, opening: Opening) {
    let worker = Worker::current(hub);
    let config = &hub.settings().websocket;
    let outbox = Outbox::new(opening.socket, Rc::clone(&worker.outbox_limits));
    let is_known = opening.identity.is_some() || opening.contract == Contract::Echo;
    let life = Liveness::new(worker.now(), is_known);
    let attachment = worker.table.borrow_mut().attach(
        outbox,
        WireFormat::Native {
            codec: opening.codec,
            is_deflated: opening.deflate,
        },
        opening.address,
        opening.identity,
        life,
        None,
    );
    if let Some(identity) = opening.identity {
        hub.online().arrive(identity.user_id);
        attachment.check_session_at(worker.look_before(identity.expires_at));
    }
    worker.watch(&attachment);
    CONNECTIONS.inc();
    attachment.outbox.push(opening.greeting, Class::Durable);
    attachment.outbox.flush();
    // The handshake took its time: what was told meanwhile did not reach this connection.
    if let Some(reason) = too_late(hub, opening.identity) {
        worker.close(&attachment, reason);
    }
    let max_message_bytes = match opening.contract {
        Contract::Native => config.max_message_bytes,
        Contract::Echo => config.echo_max_message_bytes,
    };
    let connection = Connection {
        decoder: if opening.deflate {
            Decoder::with_deflate(max_message_bytes)
        } else {
            Decoder::new(max_message_bytes)
        },
        contract: opening.contract,
        session: Session::new(SessionLimits {
            max_rooms: config.max_rooms,
            max_inflight: config.max_inflight,
        }),
        address: opening.address,
        held: Held::default(),
        is_tap_shut: false,
        joins: 0,
        worker,
        attachment,
        keep: Some(opening.keep),
        engine: None,
    };
    let (mut connection, mut ctx) = (connection, Context::new());
    let mut read_ahead = opening.read_ahead;
    if !read_ahead.is_empty() {
        connection.decode(Input::new(&mut read_ahead), &mut ctx);
    }
    let running = Running { connection, ctx };
    actix_rt::spawn(marked(Activity::Connection, running));
}

/// Whether a connection comes too late: its node is going, or its session has just been ended.
fn too_late(hub: &HubHandle, identity: Option<Identity>) -> Option<Disconnect> {
    if hub.is_draining() {
        return Some(Disconnect::Drain);
    }
    identity
        .filter(|identity| hub.has_ended(identity.session_id))
        .map(|_| Disconnect::SessionEnded)
}

/// The actor.
struct Connection {
    worker: Rc<Worker>,
    attachment: Rc<Attachment>,
    decoder: Decoder,
    contract: Contract,
    session: Session,
    address: IpAddr,
    held: Held,
    /// More commands came than are held: it reads no further for now.
    is_tap_shut: bool,
    /// Numbers the joins.
    joins: u32,
    /// For as long as the socket is there.
    keep: Option<Box<dyn Debug>>,
    /// What there is in place of one socket if Engine.IO is spoken.
    engine: Option<Box<Engine>>,
}

/// Whether decoding may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    /// A command waits for something: the rest is kept until it has its answer.
    Wait,
    /// A command takes its time: other commands are held, and everything else goes on.
    Busy,
    Stop,
}

/// What a message of the client asks of the actor, detached from the buffer that it came in.
enum Step {
    Run(Request),
    Refuse(RequestError),
    Pong(Bytes),
    /// The echo contract's answer.
    Echo(Bytes),
    Nothing,
    Close(Disconnect),
    /// What a client of Socket.IO says that is no command.
    Said(Box<Said>),
    /// What came breaks the RFC, or a limit.
    Fail(FrameError),
    PeerClosed(Option<u16>),
}

impl Connection {
    /// Ready when the socket has something to read that is wanted, or has ended.
    fn poll_readable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        if self.is_tap_shut {
            // What is beside opens it again, within the actor's own task.
            return Poll::Pending;
        }
        self.attachment.outbox.poll_readable(cx)
    }

    fn take(&mut self, step: Step, ctx: &mut Context<Self>) -> Flow {
        match step {
            Step::Nothing => Flow::Continue,
            Step::Pong(frame) => {
                self.attachment.outbox.push_pong(frame);
                Flow::Continue
            }
            Step::Echo(frame) => self.echo(frame, ctx),
            Step::Run(request) => self.run(request, ctx),
            Step::Said(said) => self.said(*said, ctx),
            Step::Refuse(error) => {
                self.refuse(error.id.as_ref(), error.refusal);
                match self.session.note_bad_request() {
                    None => Flow::Continue,
                    Some(reason) => {
                        self.worker.close(&self.attachment, reason);
                        Flow::Continue
                    }
                }
            }
            Step::Close(reason) => {
                self.worker.close(&self.attachment, reason);
                Flow::Continue
            }
            Step::Fail(error) => {
                tracing::debug!(%error, address = %self.address, "a connection has failed");
                self.worker.close(&self.attachment, error.disconnect());
                // Whatever else comes, a close frame too, is not looked at (RFC 6455 §7.1.7).
                ctx.stop();
                Flow::Stop
            }
            Step::PeerClosed(code) => {
                // A page that is left says 1001, and may be about to be loaded again.
                let is_leave = matches!(code, None | Some(1000));
                self.attachment.has_taken_leave.set(is_leave);
                let frame = match code {
                    Some(code) => encode::close(code, ""),
                    None => encode::close_without_code(),
                };
                self.attachment.outbox.push(frame, Class::Durable);
                self.attachment.outbox.flush();
                ctx.stop();
                Flow::Stop
            }
        }
    }

    fn run(&mut self, request: Request, ctx: &mut Context<Self>) -> Flow {
        // It may have waited for its turn, and nobody is here any more to ask for it.
        if self.attachment.outbox.is_over() {
            return Flow::Continue;
        }
        let _doing = doing_with(Activity::Command, request.command.name());
        fault::point!("hub.connection.command");
        let attachment = &self.attachment;
        let now = self.worker.now();
        let mut life = attachment.life.get();
        life.commanded = now;
        attachment.life.set(life);
        let situation = Situation {
            is_authenticated: attachment.identity.borrow().is_some(),
            is_draining: self.worker.hub.is_draining(),
            is_leaving: attachment.is_leaving.get(),
            inflight: attachment.inflight.get(),
        };
        match self.session.admit(&request.command, situation) {
            Admission::Run => {
                COMMANDS.with_label_values(&[request.command.name()]).inc();
                self.command(request, ctx)
            }
            Admission::Refuse(refusal) => {
                self.refuse(request.id.as_ref(), refusal);
                Flow::Continue
            }
            Admission::Wait => {
                let answered = attachment.next_answer().into_actor(self);
                ctx.wait(answered.map(|(), this, ctx| {
                    if matches!(this.run(request, ctx), Flow::Continue | Flow::Busy) {
                        this.resume(ctx);
                    }
                }));
                Flow::Wait
            }
        }
    }

    /// Runs what takes its time, and reads on beside it. `after` is for the answer.
    fn beside<T: 'static>(
        &mut self,
        work: impl Future<Output = T> + 'static,
        after: impl FnOnce(&mut Self, T) + 'static,
        ctx: &mut Context<Self>,
    ) -> Flow {
        self.held.is_busy = true;
        ctx.spawn(work.into_actor(self).map(move |done, this, ctx| {
            this.held.is_busy = false;
            after(this, done);
            this.is_tap_shut = false;
            this.resume(ctx);
        }));
        Flow::Busy
    }

    fn reply(&self, request: Option<&RequestId>, result: &Result<Reply, Refusal>) {
        self.attachment.push_reply(request, result);
    }

    fn refuse(&self, request: Option<&RequestId>, refusal: Refusal) {
        self.reply(request, &Err(refusal));
    }
}

impl Step {
    /// Whether it is a request, which has to wait for those before it.
    fn is_command(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Refuse(_))
    }
}

fn step(incoming: Incoming<'_>, codec: Codec, max_bytes: usize) -> Step {
    let request = match (codec, incoming) {
        (Codec::Json, Incoming::Text(text)) => decode_request(text, max_bytes),
        (Codec::MessagePack, Incoming::Binary(bytes)) => decode_packed_request(bytes, max_bytes),
        (_, incoming) => return step_besides(incoming),
    };
    match request {
        Ok(request) => Step::Run(request),
        Err(error) => Step::Refuse(error),
    }
}

/// What is no request.
fn step_besides(incoming: Incoming<'_>) -> Step {
    match incoming {
        Incoming::Text(_) | Incoming::Binary(_) => Step::Close(Disconnect::UnsupportedData),
        Incoming::Ping(payload) => Step::Pong(encode::pong(payload)),
        // Compressed messages have been inflated.
        Incoming::Pong(_) | Incoming::Deflated(_) => Step::Nothing,
        Incoming::Close(frame) => Step::PeerClosed(frame.map(|frame| frame.code)),
    }
}

impl Actor for Connection {
    type Context = Context<Self>;
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Also after a panic: the place in the table and the subscriptions must go with it.
        self.worker.detach(&self.attachment);
        if std::thread::panicking() {
            ACTORS_DOWN.with_label_values(&["connection"]).inc();
            self.attachment.outbox.shut();
        }
        let close_timeout_ms = self.worker.hub.settings().websocket.close_timeout_ms;
        let patience = Duration::from_millis(close_timeout_ms);
        self.attachment.outbox.finish(self.keep.take(), patience);
        CONNECTIONS.dec();
    }
}
