//! Rooms: one actor for each room that is in use on this node.
//!
//! It puts the room's events in order, notices and fills holes, remembers the last events, and
//! gives each event once to every worker thread that has connections in the room. It never waits
//! for Postgres on the way of a message. Its whole state can be made again from the log, and is
//! when it panics: the threads tell the next actor where they stand, see [`healing`].
//!
//! Pure: [`log`] (what is known of the log), [`threads`] (who is told).

mod handle;
mod healing;
mod joining;
pub(crate) mod log;
mod threads;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::channel;
use actix::prelude::*;

pub(crate) use self::handle::{Adopt, Missed, RoomHandle, SawHead, Stop, Subscribe};
use self::handle::{Ask, Committed, Heal, Hinted, LookAgain, Shared, Unsubscribe};
use self::healing::Healing;
pub(crate) use self::healing::Standing;
use self::log::{MemoryLimits, RoomLog};
use self::threads::Threads;
use crate::config;
use crate::fault;
use crate::hub::encoded::SharedEvent;
use crate::hub::fanout::{FanoutHandle, FanoutMessage};
use crate::hub::presence::Presence;
use crate::hub::supervision::{Guard, Life};
use crate::hub::supervisor::SupervisorHandle;
use crate::protocol::event::Seq;
use crate::protocol::id::RoomId;
use crate::stall::{Activity, marked};
use crate::store::{Store, room_events};

/// What a room needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomSettings {
    pub(crate) memory: MemoryLimits,
    /// Messages that may wait for it, and joins that may wait for it to catch up.
    pub(crate) mailbox: usize,
    /// Without connections for this long it ends.
    pub(crate) idle: Duration,
    /// A hole waits this long for the bus.
    pub(crate) gap_wait: Duration,
    /// Events read from the log at once.
    pub(crate) page_events: u32,
}

impl From<&config::Hub> for RoomSettings {
    fn from(config: &config::Hub) -> Self {
        Self {
            memory: MemoryLimits {
                max_events: config.room_memory_events,
                max_bytes: config.room_memory_bytes,
            },
            mailbox: config.room_mailbox,
            idle: Duration::from_secs(config.room_idle_s),
            gap_wait: Duration::from_millis(config.gap_wait_ms),
            page_events: config.replay_page_events,
        }
    }
}

/// The actor.
pub(crate) struct Room {
    id: RoomId,
    store: Store,
    settings: RoomSettings,
    supervisor: SupervisorHandle,
    presence: Presence,
    shared: Arc<Shared>,
    /// None until the head has been read.
    log: Option<RoomLog>,
    /// The threads with connections here.
    threads: Threads<FanoutHandle>,
    healing: Healing,
    /// Threads that said where they stand before the head had been read.
    unheard: Vec<(FanoutHandle, Standing)>,
    /// Joins that wait until the room has caught up.
    waiting: VecDeque<Ask>,
    is_retiring: bool,
    /// Dropped with it.
    _guard: Guard,
}

/// A room that is known and does not run yet.
pub(crate) struct Unstarted {
    room: Room,
    inbox: channel::AddressReceiver<Room>,
}

impl Unstarted {
    /// Runs it on an arbiter.
    pub(crate) fn run_on(self, arbiter: &ArbiterHandle) {
        arbiter.spawn_fn(move || {
            let room = Context::with_receiver(self.inbox).into_future(self.room);
            actix_rt::spawn(marked(Activity::Room, room));
        });
    }
}

impl Room {
    /// A room's actor that takes messages and does nothing with them before it runs.
    pub(crate) fn prepare(
        id: RoomId,
        life: Life,
        store: Store,
        settings: RoomSettings,
        supervisor: SupervisorHandle,
        presence: Presence,
        guard: Guard,
    ) -> (RoomHandle, Unstarted) {
        let (sender, inbox) = channel::channel(settings.mailbox);
        let shared = Arc::new(Shared::new(life));
        let handle = RoomHandle {
            id,
            addr: Addr::new(sender),
            shared: Arc::clone(&shared),
        };
        let room = Self {
            id,
            store,
            settings,
            supervisor,
            presence,
            shared,
            log: None,
            threads: Threads::new(),
            healing: Healing::default(),
            unheard: Vec::new(),
            waiting: VecDeque::new(),
            is_retiring: false,
            _guard: guard,
        };
        (handle, Unstarted { room, inbox })
    }

    /// Reads where the log is. Nothing else is looked at before that.
    fn load(&mut self, ctx: &mut Context<Self>) {
        let (store, id) = (self.store.clone(), self.id);
        let loading = async move { room_events::head(&store, id).await };
        ctx.wait(loading.into_actor(self).map(|head, this, ctx| match head {
            Ok(Some((epoch, head))) => {
                this.log = Some(RoomLog::new(epoch, head, this.settings.memory));
                this.publish_standing();
                for (fanout, standing) in std::mem::take(&mut this.unheard) {
                    this.go_on(&fanout, standing, ctx);
                }
                this.answer_waiting(ctx);
            }
            Ok(None) => tracing::warn!(room = %this.id, "a room without a head"),
            Err(error) => {
                tracing::warn!(room = %this.id, %error, "a room's head cannot be read");
                this.load_later(ctx);
            }
        }));
    }

    fn accept(&mut self, events: Vec<Arc<SharedEvent>>, ctx: &mut Context<Self>) {
        fault::point!("hub.room.accept", ());
        let Some(log) = &mut self.log else {
            // The head will be read, and these are in the log already.
            return;
        };
        if let Some(event) = events.first()
            && event.event.epoch != log.epoch()
        {
            return self.start_afresh("its log has a new epoch", ctx);
        }
        if events.iter().any(|event| log.contradicts(event)) {
            // However far the log has come meanwhile.
            return self.lose_history(Seq::MAX, ctx);
        }
        let ready = log.accept(events);
        if !ready.is_empty() {
            // Before the threads have them: what a thread has was delivered by its room.
            self.publish_standing();
        }
        for fanout in self.threads.iter() {
            deliver(fanout, &ready);
        }
        self.heal(ctx);
        self.answer_waiting(ctx);
    }

    /// So many connections of a thread have come, or gone if it is less than none.
    fn count(&mut self, fanout: &FanoutHandle, change: isize) {
        if self.threads.count(fanout, change) {
            let threads = self.threads.iter().cloned().collect();
            self.shared.set_threads(threads);
        }
    }

    fn retire_if_idle(&mut self, ctx: &mut Context<Self>) {
        self.threads.forget_dead();
        if self.threads.is_empty() && !self.is_retiring {
            self.is_retiring = true;
            let (supervisor, id, addr) = (self.supervisor.clone(), self.id, ctx.address());
            let retiring = async move { supervisor.retire(id, addr).await };
            ctx.spawn(retiring.into_actor(self));
        }
    }
}

/// Gives events to a thread, all at once.
fn deliver<'a>(fanout: &FanoutHandle, events: impl IntoIterator<Item = &'a Arc<SharedEvent>>) {
    let events: Vec<_> = events.into_iter().filter(|_| is_sent()).cloned().collect();
    if !events.is_empty() {
        fanout.send(FanoutMessage::Deliver(events));
    }
}

/// Whether an event reaches a thread. Tests lose some.
fn is_sent() -> bool {
    fault::point!("hub.room.deliver", false);
    true
}

impl Actor for Room {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx);
        ctx.run_interval(self.settings.idle, Self::retire_if_idle);
    }
}

impl Handler<Committed> for Room {
    type Result = ();

    fn handle(&mut self, message: Committed, ctx: &mut Self::Context) {
        self.accept(message.events, ctx);
    }
}

impl Handler<Heal> for Room {
    type Result = ();

    fn handle(&mut self, Heal: Heal, ctx: &mut Self::Context) {
        self.heal(ctx);
    }
}

impl Handler<Hinted> for Room {
    type Result = ();

    fn handle(&mut self, message: Hinted, ctx: &mut Self::Context) {
        let seq = self.shared.take_hint();
        self.hinted(seq, message.has_bus, ctx);
    }
}

impl Handler<LookAgain> for Room {
    type Result = ();

    fn handle(&mut self, LookAgain: LookAgain, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<SawHead> for Room {
    type Result = ();

    fn handle(&mut self, message: SawHead, ctx: &mut Self::Context) {
        self.healing.compared();
        self.saw_head(message.epoch, message.head, message.delivered, ctx);
    }
}

impl Handler<Ask> for Room {
    type Result = ();

    fn handle(&mut self, message: Ask, ctx: &mut Self::Context) {
        self.asked(message, ctx);
    }
}

impl Handler<Unsubscribe> for Room {
    type Result = ();

    fn handle(&mut self, message: Unsubscribe, _: &mut Self::Context) {
        self.count(&message.fanout, -1);
    }
}

impl Handler<Adopt> for Room {
    type Result = ();

    fn handle(&mut self, message: Adopt, ctx: &mut Self::Context) {
        let count = isize::try_from(message.count).unwrap_or(isize::MAX);
        self.count(&message.fanout, count);
        // What presence told meanwhile was lost with the actor that this one replaces.
        self.presence.tell_again(self.id);
        self.go_on(&message.fanout, message.standing, ctx);
    }
}

impl Handler<Missed> for Room {
    type Result = ();

    fn handle(&mut self, message: Missed, ctx: &mut Self::Context) {
        if message.is_late {
            self.bring_up_late(&message.fanout, message.standing, ctx);
        } else {
            self.bring_up(&message.fanout, message.standing, ctx);
        }
    }
}

impl Handler<Stop> for Room {
    type Result = ();

    fn handle(&mut self, Stop: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
