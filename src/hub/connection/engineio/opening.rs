//! How a session begins.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;

use super::questions::Questions;
use super::requests::Requests;
use super::{Connection, Engine, Mailbox, NEVER, Place};
use crate::config;
use crate::hub::HubHandle;
use crate::hub::connection::Contract as Native;
use crate::hub::connection::context::{Context, Running};
use crate::hub::connection::held::Held;
use crate::hub::connection::liveness::Liveness;
use crate::hub::connection::outbox::{Class, Outbox};
use crate::hub::connection::session::{self, SessionLimits};
use crate::hub::encoded::WireFormat;
use crate::hub::engineio::{Contract, Handover, Opening, Refused, Waiting};
use crate::hub::fanout::{Attachment, Worker};
use crate::hub::metrics::{CONNECTIONS, SOCKETIO_SESSIONS};
use crate::protocol::engineio::Transport;
use crate::protocol::engineio::session::{PeerId, Session};
use crate::protocol::socketio;
use crate::protocol::websocket::decode::{Decoder, Input};
use crate::stall::{Activity, marked};

/// Gives a session its actor, on the present thread. `first` is what it begins with.
pub(crate) fn open(hub: &HubHandle, opening: Opening, first: Waiting) -> Result<(), Refused> {
    if hub.is_draining() {
        return Err(Refused::Unavailable.counted());
    }
    let registry = hub.engineio().clone();
    let seat = registry.sit()?;
    let worker = Worker::current(hub);
    let transport = match &first {
        Waiting::Socket(_) => Transport::Websocket,
        Waiting::Poll { .. } | Waiting::Post { .. } => Transport::Polling,
    };
    let revision = opening.revision;
    let (attachment, mailbox) = attach(&worker, &opening, transport);
    let sid = registry.new_sid();
    let whereabouts = (worker.fanout.clone(), attachment.key);
    registry.register(&sid, revision, transport, whereabouts);
    let (now, id) = (Instant::now(), registry.next_peer());
    let (mut actions, mut said) = (Vec::new(), Vec::new());
    let session = Session::open(
        registry.engine_settings(),
        revision,
        &sid,
        transport,
        id,
        now,
        &mut actions,
    );
    let settings = Arc::clone(registry.socketio_settings());
    let socketio = socketio::session::Session::open(settings, revision, now, &mut said);
    let mut engine = Engine {
        place: Place {
            registry,
            sid: sid.into(),
            transport,
            _seat: seat,
        },
        session,
        socketio,
        contract: opening.contract,
        requests: Requests::default(),
        questions: Questions::default(),
        mailbox,
        socket: None,
        probing: None,
        coming: None,
        put_off: None,
        owed: None,
        is_ending: false,
        timer: Box::pin(sleep_until((now + NEVER).into())),
        due: now + NEVER,
        identity: opening.identity,
        token: opening.token,
        takes_offsets: opening.takes_offsets,
        is_single_room: false,
        message_bytes: hub.settings().limits.message_bytes,
        _keep: opening.keep,
    };
    let mut effects = Vec::new();
    engine.note(now, actions, &mut effects);
    if opening.contract != Contract::Echo {
        engine.note_said(said, 0, &mut effects);
    }
    let config = &hub.settings().websocket;
    let mut connection = Connection {
        decoder: Decoder::new(hub.engineio().config().max_http_buffer_size),
        contract: Native::Native,
        session: session::Session::new(SessionLimits {
            max_rooms: config.max_rooms,
            max_inflight: config.max_inflight,
        }),
        address: opening.address,
        held: Held::default(),
        is_tap_shut: false,
        joins: 0,
        worker,
        attachment,
        keep: None,
        engine: Some(Box::new(engine)),
    };
    let mut ctx = Context::new();
    let read_ahead = connection.begin(id, first);
    connection.apply(effects, &mut ctx);
    connection.attachment.outbox.flush();
    if let Some(mut read_ahead) = read_ahead {
        connection.decode_session(Input::new(&mut read_ahead), &mut ctx);
    }
    connection.settle(&mut ctx);
    let running = Running { connection, ctx };
    actix_rt::spawn(marked(Activity::Connection, running));
    Ok(())
}

/// Gives a session its place in the thread's table.
fn attach(
    worker: &Rc<Worker>,
    opening: &Opening,
    transport: Transport,
) -> (Rc<Attachment>, Rc<Mailbox>) {
    let limits = match transport {
        Transport::Websocket => &worker.outbox_limits,
        Transport::Polling => &worker.polled_limits,
    };
    let mut life = Liveness::new(worker.now(), false);
    life.has_heartbeats = true;
    let attachment = worker.table.borrow_mut().attach(
        Outbox::polled(Rc::clone(limits)),
        WireFormat::socketio(opening.revision),
        opening.address,
        None,
        life,
        None,
    );
    attachment.is_deaf.set(true);
    let mailbox = Rc::new(Mailbox::default());
    // It is new, and has none.
    attachment.mailbox.set(Rc::clone(&mailbox)).ok();
    worker.watch(&attachment);
    CONNECTIONS.inc();
    SOCKETIO_SESSIONS
        .with_label_values(&[transport.name()])
        .inc();
    (attachment, mailbox)
}

impl Connection {
    /// Puts what a session begins with where it belongs. Gives what was read of it already.
    fn begin(&mut self, id: PeerId, first: Waiting) -> Option<Vec<u8>> {
        let engine = self.engine.as_mut()?;
        match first {
            Waiting::Poll {
                answer,
                takes_bytes,
                ..
            } => engine.requests.poll(id, answer, takes_bytes),
            // No session begins so.
            Waiting::Post { .. } => {}
            Waiting::Socket(socket) => {
                engine.socket = Some(id);
                let Handover {
                    socket,
                    greeting,
                    read_ahead,
                    deflate,
                    keep,
                } = socket;
                let greeting = (greeting, Class::Durable);
                self.keep = Some(keep);
                self.decoder = decoder(engine.place.registry.config(), deflate);
                self.attachment.outbox.adopt(socket);
                self.attachment.outbox.push(greeting.0, greeting.1);
                self.use_deflate(deflate);
                return Some(read_ahead);
            }
        }
        None
    }

    /// From now on there is a socket, by which frames may go compressed.
    pub(super) fn use_deflate(&self, deflate: bool) {
        let attachment = &self.attachment;
        if let WireFormat::SocketIo { format, .. } = attachment.format.get()
            && deflate
        {
            let format = WireFormat::SocketIo {
                format,
                is_deflated: true,
            };
            self.worker
                .table
                .borrow_mut()
                .set_format(attachment, format);
        }
    }
}

/// For what comes by a WebSocket.
pub(super) fn decoder(config: &config::SocketIo, deflate: bool) -> Decoder {
    let max_message_bytes = config.max_http_buffer_size;
    if deflate {
        Decoder::with_deflate(max_message_bytes)
    } else {
        Decoder::new(max_message_bytes)
    }
}
