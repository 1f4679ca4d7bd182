//! What a worker thread has for its connections, and the actor that serves them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::mpsc;

use super::behind::LOOK_EVERY;
use super::delivering::deliver;
use super::drain;
use super::session_check::SESSION_CHECK;
use super::table::{Attachment, ConnectionKey, Table};
use super::wheel::Wheel;
use super::{FanoutHandle, FanoutMessage, Target};
use crate::fault;
use crate::hub::HubHandle;
use crate::hub::compression;
use crate::hub::connection::liveness::{Care, Second, Timeouts};
use crate::hub::connection::outbox::{Class, OutboxLimits};
use crate::hub::connection::stream;
use crate::hub::metrics::DISCONNECTS;
use crate::hub::presence::Generation;
use crate::protocol::close::Disconnect;
use crate::protocol::websocket::deflate::Inflater;
use crate::stall::{Activity, doing, marked};

/// How many messages are taken from the inbox at once.
const INBOX_BATCH: usize = 256;

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
    pub(crate) outbox_limits: Rc<OutboxLimits>,
    /// Of sessions that poll.
    pub(crate) polled_limits: Rc<OutboxLimits>,
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
        let config = &hub.settings().websocket;
        let socketio = hub.engineio().config();
        compression::configure(config, socketio);
        let outbox_limits = Rc::new(OutboxLimits::from(config));
        let polled_limits = Rc::new(outbox_limits.of_polls(socketio));
        let coalesce = Duration::from_millis(config.coalesce_ms);
        let worker = Rc::new(Self {
            fanout,
            announced: RefCell::new(announced),
            timeouts: Timeouts::from(config),
            table: RefCell::new(Table::new(Rc::clone(&outbox_limits), coalesce)),
            outbox_limits,
            polled_limits,
            hub,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            inflater: RefCell::default(),
            wheel: RefCell::new(Wheel::new()),
            blocked: RefCell::default(),
            started: Instant::now(),
        });
        let fanout = Fanout {
            worker: Rc::clone(&worker),
            inbox: Some(inbox),
            is_passing: false,
            gathering: None,
            is_looking: false,
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
                    .push(attachment.format.get().ping(), Class::Durable);
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
    /// There is something to write, and its turn comes by itself.
    is_passing: bool,
    /// Rooms wait for what else may come.
    gathering: Option<SpawnHandle>,
    /// Members who lack something are looked after again soon.
    is_looking: bool,
}

impl Fanout {
    fn apply(&self, message: FanoutMessage) {
        fault::point!("hub.fanout.apply");
        let worker = &self.worker;
        match message {
            FanoutMessage::Deliver(events) => {
                for event in &events {
                    deliver(worker, event);
                }
            }
            FanoutMessage::Page(events) => {
                for event in &events {
                    deliver(worker, event);
                }
                if let Some(event) = events.last() {
                    worker.ask_on(event.event.room_id);
                }
            }
            FanoutMessage::Late(room_id, events) => worker.bring_up(room_id, events.as_deref()),
            FanoutMessage::Broadcast(push, except) => {
                worker.table.borrow_mut().broadcast(push, except);
            }
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
            FanoutMessage::EngineIo(connection, call) => worker.call(connection, *call),
            FanoutMessage::Survey(survey) => worker.tell(&survey),
            FanoutMessage::Dismiss(dismissed) => worker.dismiss(dismissed),
            FanoutMessage::Drain { spread_ms } => drain::start(worker, spread_ms),
        }
    }

    /// Does what has to be done about messages that found the inbox full.
    fn make_up(&self) {
        let worker = &self.worker;
        let Some(overflow) = worker.fanout.take_overflow() else {
            return;
        };
        for room_id in overflow.rooms {
            worker.resync(room_id);
        }
        for (shard, generation) in overflow.shards {
            worker.reannounce(shard, generation);
        }
        for room_id in overflow.presence {
            worker.hub.presence_shards().tell_again(room_id);
        }
        for session in overflow.sessions {
            worker.disconnect(Target::Session(session), Disconnect::SessionEnded);
        }
        for dismissed in overflow.dismissed {
            worker.dismiss(dismissed);
        }
        if overflow.everybody {
            worker.disconnect(Target::All, Disconnect::Resync);
        }
        for user_id in overflow.joiners {
            stream::resync(worker, user_id);
        }
        if let Some(spread_ms) = overflow.drain {
            drain::start(worker, spread_ms);
        }
        for connection in overflow.connections {
            worker.disconnect(Target::Connection(connection), Disconnect::Resync);
        }
    }

    /// Writes for a while, and goes on after everything else on this thread had its turn.
    fn pass(&mut self, ctx: &mut Context<Self>) {
        let _doing = doing(Activity::Flush);
        let pass = self.worker.table.borrow_mut().pass();
        for attachment in &pass.to_look_after {
            self.worker.note_closing(attachment);
        }
        for room_id in pass.short {
            self.worker.ask_for_missing(room_id);
        }
        self.look_after_stragglers(ctx);
        self.is_passing = pass.is_left;
        if self.is_passing {
            // Where threads share a core, those that a small room's message goes through would wait
            // for the kernel's slice of this one, at each of them. Nobody else ready: next to nothing.
            std::thread::yield_now();
            let turn = tokio::task::yield_now().into_actor(self);
            ctx.spawn(turn.map(|(), this, ctx| this.pass(ctx)));
        }
    }

    /// Looks after members who lack something soon, if there are any.
    fn look_after_stragglers(&mut self, ctx: &mut Context<Self>) {
        if self.is_looking || !self.worker.table.borrow().has_stragglers() {
            return;
        }
        self.is_looking = true;
        ctx.run_later(LOOK_EVERY, |this, ctx| {
            this.is_looking = false;
            this.worker.look_after_stragglers();
            this.look_after_stragglers(ctx);
        });
    }

    /// Writes, unless that is going to be done anyway.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.gathering.is_none()
            && let Some(wait) = self.worker.table.borrow_mut().end_gathering()
        {
            self.gathering = Some(ctx.run_later(wait, |this, ctx| {
                this.gathering = None;
                this.write(ctx);
            }));
        }
        if !self.is_passing {
            self.pass(ctx);
        }
    }
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
            // It may have been noted after the last batch was looked through.
            this.make_up();
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
        for message in batch {
            self.apply(message);
        }
        self.make_up();
        drop(delivering);
        self.write(ctx);
    }
}
