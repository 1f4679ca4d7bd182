//! What a worker thread has for its connections, and the actor that serves them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::mpsc;

use super::drain;
use super::session_check::SESSION_CHECK;
use super::table::{Attachment, ConnectionKey, Table};
use super::wheel::Wheel;
use super::{FanoutHandle, FanoutMessage, Target};
use crate::fault;
use crate::hub::HubHandle;
use crate::hub::compression;
use crate::hub::connection::liveness::{Care, Second, Timeouts};
use crate::hub::connection::outbox::Class;
use crate::hub::connection::stream;
use crate::hub::encoded::SharedEvent;
use crate::hub::metrics::{DELIVERY_MS, DISCONNECTS};
use crate::hub::presence::Generation;
use crate::protocol::close::Disconnect;
use crate::protocol::event::{EventBody, MembershipChange};
use crate::protocol::websocket::deflate::Inflater;
use crate::stall::{Activity, doing, marked};

/// How many messages are taken from the inbox at once.
const INBOX_BATCH: usize = 256;

/// How many connections are written to before the thread does something else.
const FLUSH_CHUNK: usize = 256;

/// Until when somebody is muted of whom no end is said.
const FOREVER: jiff::Timestamp = jiff::Timestamp::MAX;

/// Bytes read from a socket at once; one buffer for all connections of a thread.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A worker thread's own state, shared by its connections and its fan-out.
pub(crate) struct Worker {
    pub(crate) hub: HubHandle,
    pub(crate) fanout: FanoutHandle,
    pub(crate) table: RefCell<Table>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// Inflates what comes compressed, for all of them: each message by itself.
    pub(crate) inflater: RefCell<Inflater>,
    wheel: RefCell<Wheel<ConnectionKey>>,
    /// Those whose sockets take no more for the moment.
    pub(super) blocked: RefCell<Vec<ConnectionKey>>,
    timeouts: Timeouts,
    started: Instant,
    /// For each presence shard the last generation that knows who is here.
    pub(super) announced: RefCell<Vec<Generation>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

impl Worker {
    /// This thread's worker; made, and known to the hub, when it is first asked for.
    pub(crate) fn current(hub: &HubHandle) -> Rc<Self> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(worker) if worker.fanout.is_alive() => Rc::clone(worker),
            _ => {
                let worker = Self::start(hub.clone());
                *current = Some(Rc::clone(&worker));
                worker
            }
        })
    }

    fn start(hub: HubHandle) -> Rc<Self> {
        let (sender, inbox) = mpsc::channel(hub.settings().hub.fanout_queue);
        let fanout = hub.register_worker(|id| FanoutHandle::new(id, sender));
        // After it is known: a generation that begins from now on asks.
        let announced = hub.presence_shards().generations();
        compression::configure(&hub.settings().websocket);
        let worker = Rc::new(Self {
            fanout,
            announced: RefCell::new(announced),
            timeouts: Timeouts::from(&hub.settings().websocket),
            hub,
            table: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            inflater: RefCell::default(),
            wheel: RefCell::new(Wheel::new()),
            blocked: RefCell::default(),
            started: Instant::now(),
        });
        let fanout = Fanout {
            worker: Rc::clone(&worker),
            inbox: Some(inbox),
            is_flushing: false,
        };
        let fanout = Context::new().into_future(fanout);
        actix_rt::spawn(marked(Activity::Fanout, fanout));
        worker
    }

    /// The worker's clock.
    pub(crate) fn now(&self) -> Second {
        Second::try_from(self.started.elapsed().as_secs()).unwrap_or(Second::MAX)
    }

    /// Looks after a connection from now on.
    pub(crate) fn watch(&self, attachment: &Attachment) {
        let now = self.now();
        let care = attachment.life.get().care(now, false, &self.timeouts);
        let at = match care {
            Care::LookAgain(at) => at,
            _ => now,
        };
        self.wheel.borrow_mut().schedule(attachment.key, at);
    }

    /// Begins to close a connection.
    pub(crate) fn close(&self, attachment: &Rc<Attachment>, reason: Disconnect) {
        attachment.outbox.close(reason);
        self.note_closing(attachment);
        attachment.outbox.flush();
    }

    /// After a flush: looks after a connection whose socket takes no more, counts one that is
    /// closing and limits the time that this may take.
    pub(crate) fn note_closing(&self, attachment: &Attachment) {
        self.note_blocked(attachment);
        let Some(reason) = attachment.outbox.closing() else {
            return;
        };
        let mut life = attachment.life.get();
        if life.closing.is_some() {
            return;
        }
        let now = self.now();
        life.closing = Some(now);
        attachment.life.set(life);
        // Its actor may wait for an answer that is lost, and would never read the socket's end.
        attachment.stop_waiting();
        DISCONNECTS.with_label_values(&[reason.reason()]).inc();
        self.wheel.borrow_mut().schedule(attachment.key, now);
    }

    /// What is due for a connection.
    fn care(self: &Rc<Self>, key: ConnectionKey) {
        let Some(attachment) = self.table.borrow().get(key) else {
            return;
        };
        let now = self.now();
        if attachment.outbox.has_taken() {
            attachment.ping_was_taken();
        }
        let mut life = attachment.life.get();
        let next = match life.care(now, attachment.room_count() > 0, &self.timeouts) {
            Care::LookAgain(at) => at,
            Care::Ping => {
                life.pinged = Some(now);
                attachment.life.set(life);
                let is_marked = attachment.outbox.mark();
                attachment
                    .outbox
                    .push(attachment.format.ping(), Class::Durable);
                attachment.outbox.flush();
                if is_marked {
                    // Nobody tells when it has been taken.
                    now.saturating_add(1)
                } else {
                    now.saturating_add(self.timeouts.ping_timeout)
                }
            }
            Care::CheckSession => {
                // Pings go on while the answer is waited for.
                attachment.check_session_at(now.saturating_add(SESSION_CHECK));
                self.check_session(&attachment);
                now
            }
            Care::Close(reason) => return self.close(&attachment, reason),
            Care::Shut => return attachment.outbox.shut(),
        };
        self.wheel.borrow_mut().schedule(key, next);
    }
}

/// The actor.
struct Fanout {
    worker: Rc<Worker>,
    inbox: Option<mpsc::Receiver<FanoutMessage>>,
    is_flushing: bool,
}

impl Fanout {
    fn apply(&self, message: FanoutMessage) {
        fault::point!("hub.fanout.apply");
        let worker = &self.worker;
        match message {
            FanoutMessage::Deliver(event) => deliver(worker, &event),
            FanoutMessage::Broadcast(push, except) => worker.table.borrow_mut().broadcast(
                push.content.room_id(),
                None,
                Class::Ephemeral,
                except,
                |format| push.frame(format),
            ),
            FanoutMessage::Reply(connection, request, result) => {
                let mut table = worker.table.borrow_mut();
                if let Some(attachment) = table.get(connection) {
                    attachment.answered();
                    attachment.push_reply(request.as_ref(), &result);
                    table.mark(&attachment);
                }
            }
            FanoutMessage::Subscribed(subscribed) => worker.subscribed(*subscribed),
            FanoutMessage::NotSubscribed { connection, join } => {
                worker.not_subscribed(connection, join);
            }
            FanoutMessage::Resync(room_id) => worker.resync(room_id),
            FanoutMessage::Evict {
                room_id,
                user_id,
                seq,
                is_late,
            } => {
                worker.membership_ended(room_id, user_id, seq, is_late);
            }
            FanoutMessage::Recreated(room) => worker.recreated(&room),
            FanoutMessage::Reannounce { shard, generation } => {
                worker.reannounce(shard, generation);
            }
            FanoutMessage::Disconnect(target, reason) => worker.disconnect(target, reason),
            FanoutMessage::JoinRoom(user_id, room_id) => {
                stream::join_room(worker, user_id, room_id);
            }
            FanoutMessage::Drain { spread_ms } => drain::start(worker, spread_ms),
        }
    }

    /// Writes what is marked, a chunk at a time, so that a huge room does not keep the thread.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        let _doing = doing(Activity::Flush);
        let connections = self.worker.table.borrow_mut().take_dirty(FLUSH_CHUNK);
        for attachment in &connections {
            attachment.outbox.flush();
            self.worker.note_closing(attachment);
        }
        self.is_flushing = connections.len() == FLUSH_CHUNK;
        if self.is_flushing {
            let turn = tokio::task::yield_now().into_actor(self);
            ctx.spawn(turn.map(|(), this, ctx| this.flush(ctx)));
        }
    }
}

fn deliver(worker: &Worker, event: &Arc<SharedEvent>) {
    fault::point!("hub.fanout.deliver", ());
    if !worker.is_next(event) {
        return;
    }
    push(worker, event);
    if let EventBody::Membership {
        user_id,
        change,
        until,
        ..
    } = &event.event.body
    {
        let room_id = event.event.room_id;
        let mut table = worker.table.borrow_mut();
        match change {
            MembershipChange::Muted => table.mute(room_id, *user_id, until.unwrap_or(FOREVER)),
            MembershipChange::Unmuted => table.unmute(room_id, *user_id),
            change if change.ends_membership() => {
                table.unmute(room_id, *user_id);
                drop(table);
                worker.evict(room_id, |it| it.user_id() == Some(*user_id));
            }
            _ => {}
        }
    }
}

fn push(worker: &Worker, event: &Arc<SharedEvent>) {
    let (room_id, seq) = (event.event.room_id, event.event.seq);
    #[cfg(feature = "failpoints")]
    if super::sabotage::deliver(worker, event) {
        return worker.table.borrow_mut().stand_at(room_id, seq);
    }
    worker
        .table
        .borrow_mut()
        .broadcast(room_id, Some(seq), Class::Durable, None, |format| {
            event.frame(format)
        });
}

impl Actor for Fanout {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(mut inbox) = self.inbox.take() {
            let batches = futures_util::stream::poll_fn(move |cx| {
                let mut batch = Vec::new();
                inbox
                    .poll_recv_many(cx, &mut batch, INBOX_BATCH)
                    .map(|received| (received > 0).then_some(batch))
            });
            ctx.add_stream(batches);
        }
        ctx.run_interval(Duration::from_secs(1), |this, _| {
            let due = this.worker.wheel.borrow_mut().advance(this.worker.now());
            for key in due {
                this.worker.care(key);
            }
            this.worker.check_blocked();
            this.worker.look_behind();
        });
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.worker.give_up();
        }
    }
}

impl StreamHandler<Vec<FanoutMessage>> for Fanout {
    fn handle(&mut self, batch: Vec<FanoutMessage>, ctx: &mut Self::Context) {
        let delivering = doing(Activity::Deliver);
        let mut received = Vec::new();
        for message in batch {
            if let FanoutMessage::Deliver(event) = &message {
                received.extend(event.received_at);
            }
            self.apply(message);
        }
        if let Some(overflow) = self.worker.fanout.take_overflow() {
            for room_id in overflow.rooms {
                self.worker.resync(room_id);
            }
            for (shard, generation) in overflow.shards {
                self.worker.reannounce(shard, generation);
            }
            for session in overflow.sessions {
                self.worker
                    .disconnect(Target::Session(session), Disconnect::SessionEnded);
            }
            if overflow.everybody {
                self.worker.disconnect(Target::All, Disconnect::Resync);
            }
            for user_id in overflow.joiners {
                stream::resync(&self.worker, user_id);
            }
            if let Some(spread_ms) = overflow.drain {
                drain::start(&self.worker, spread_ms);
            }
            for connection in overflow.connections {
                self.worker
                    .disconnect(Target::Connection(connection), Disconnect::Resync);
            }
        }
        drop(delivering);
        if !self.is_flushing {
            self.flush(ctx);
        }
        for at in received {
            DELIVERY_MS.observe(at.elapsed().as_secs_f64() * 1000.0);
        }
    }
}
