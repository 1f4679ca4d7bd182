//! The way to a room's actor, and what it is told: what does not fit into its mailbox is read from
//! Postgres later. What is ephemeral goes past it, to the threads with connections in the room.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use actix::prelude::*;
use parking_lot::RwLock;

use super::Room;
use super::healing::Standing;
use crate::hub::encoded::{SharedEvent, SharedPush};
use crate::hub::fanout::{ConnectionKey, FanoutHandle, FanoutMessage};
use crate::hub::metrics::OVERFLOWS;
use crate::hub::supervision::Life;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, UserId};

/// What is seen of a room's actor without asking it.
#[derive(Debug)]
pub(super) struct Shared {
    life: Life,
    /// The last event that is known to be committed: a message lost on the way to the actor is
    /// noticed by it.
    committed: AtomicU64,
    /// The life of the log that it knows; 0 while it knows none.
    epoch: AtomicI32,
    /// The last event that it has given to the threads.
    delivered: AtomicU64,
    /// The highest `seq` that another node has told of and that the room has not looked at yet; 0
    /// if no message about it is under way.
    hinted: AtomicU64,
    /// The threads with connections in the room: what is ephemeral goes there without the actor.
    threads: RwLock<Vec<FanoutHandle>>,
}

impl Shared {
    pub(super) fn new(life: Life) -> Self {
        Self {
            life,
            committed: AtomicU64::new(0),
            epoch: AtomicI32::new(0),
            delivered: AtomicU64::new(0),
            hinted: AtomicU64::new(0),
            threads: RwLock::default(),
        }
    }

    /// The last event that is known to be committed.
    pub(super) fn committed(&self) -> Seq {
        self.committed.load(Ordering::Relaxed)
    }

    /// The log has this event. Gives what was known before.
    pub(super) fn commit(&self, seq: Seq) -> Seq {
        self.committed.fetch_max(seq, Ordering::Relaxed)
    }

    /// What was known was of another log.
    pub(super) fn forget_commits(&self) {
        self.committed.store(0, Ordering::Relaxed);
        self.epoch.store(0, Ordering::Release);
    }

    /// The room has connections on these threads.
    pub(super) fn set_threads(&self, threads: Vec<FanoutHandle>) {
        *self.threads.write() = threads;
    }

    /// What another node has told of.
    pub(super) fn take_hint(&self) -> Seq {
        self.hinted.swap(0, Ordering::AcqRel)
    }

    /// The room has come so far.
    pub(super) fn stand_at(&self, epoch: Epoch, delivered: Seq) {
        self.delivered.store(delivered, Ordering::Relaxed);
        // Whoever sees the epoch sees a position in it: one of the log before would look as if
        // events of this one were lost.
        self.epoch.store(epoch.0, Ordering::Release);
    }
}

/// A room's actor, as the rest of the hub knows it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RoomHandle {
    pub(super) id: RoomId,
    pub(super) addr: Addr<Room>,
    pub(super) shared: Arc<Shared>,
}

impl RoomHandle {
    /// A room whose actor has gone, for benchmarks.
    pub(in crate::hub) fn without_actor(id: RoomId) -> Self {
        let (sender, _) = actix::dev::channel::channel(1);
        Self {
            id,
            addr: Addr::new(sender),
            shared: Arc::new(Shared::new(0)),
        }
    }

    pub(crate) fn id(&self) -> RoomId {
        self.id
    }

    /// Whether the actor lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.addr.connected()
    }

    /// Which of the room's actors this is.
    pub(crate) fn life(&self) -> Life {
        self.shared.life
    }

    /// Whether both are the same actor, and not one that was recreated.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.addr == other.addr
    }

    /// Whether this is the actor at that address.
    pub(crate) fn is_at(&self, addr: &Addr<Room>) -> bool {
        self.addr == *addr
    }

    /// The last event that the room has given to the threads.
    pub(crate) fn delivered(&self) -> Seq {
        self.shared.delivered.load(Ordering::Relaxed)
    }

    /// Which log it knows, and how much of it it has delivered; none while it knows none.
    pub(crate) fn standing(&self) -> Option<(Epoch, Seq)> {
        let epoch = self.shared.epoch.load(Ordering::Acquire);
        (epoch != 0).then(|| (Epoch(epoch), self.delivered()))
    }

    /// Gives the room what was committed. If its mailbox is full the room reads it from Postgres
    /// when it gets to it.
    pub(crate) fn committed(&self, events: Vec<Arc<SharedEvent>>) {
        if let Some(last) = events.last() {
            self.shared.commit(last.event.seq);
        }
        self.try_send(Committed { events });
    }

    /// The log has this event: if the room has not delivered it yet, nobody will bring it.
    pub(crate) fn known(&self, seq: Seq) {
        if self.shared.commit(seq) < seq {
            self.try_send(Heal);
        }
    }

    /// Another node says that the log has this event. It is read unless it comes by the bus in
    /// time, which need not be waited for if there is none. What is said need not be true.
    pub(crate) fn hinted(&self, seq: Seq, has_bus: bool) {
        if seq <= self.delivered() || self.shared.hinted.fetch_max(seq, Ordering::AcqRel) > 0 {
            return;
        }
        if !self.try_send(Hinted { has_bus }) {
            self.shared.take_hint();
        }
    }

    /// The log may have more than the room has been told of.
    pub(crate) fn look_again(&self) {
        self.try_send(LookAgain);
    }

    /// The log's head was read, and is not where the room stood.
    pub(crate) fn saw_head(&self, seen: SawHead) {
        self.try_send(seen);
    }

    /// A thread says how many connections it has here, which the room's last actor knew, and where
    /// they stand.
    pub(crate) fn adopt(&self, adopt: Adopt) {
        self.send_certainly(adopt);
    }

    /// A thread lacks events. If the mailbox is full it asks again later.
    pub(crate) fn missed(&self, missed: Missed) {
        self.try_send(missed);
    }

    /// Sends something ephemeral to everyone in the room but one connection of one thread. It needs
    /// no order among the events, so it does not wait for the actor's turn.
    pub(crate) fn broadcast(&self, push: Arc<SharedPush>, except: Option<(usize, ConnectionKey)>) {
        let threads = self.shared.threads.read();
        for (fanout, push) in threads.iter().zip(iter::repeat_n(push, threads.len())) {
            let except = except.and_then(|(worker, key)| (worker == fanout.id()).then_some(key));
            fanout.send(FanoutMessage::Broadcast(push, except));
        }
    }

    /// Asks for a subscription; the answer goes to the connection's thread, also when the room is
    /// lost before it can give one.
    pub(crate) fn subscribe(&self, subscribe: Subscribe) {
        self.try_send(Ask(Some(subscribe)));
    }

    /// A connection of a thread has left.
    pub(crate) fn unsubscribe(&self, fanout: &FanoutHandle) {
        self.send_certainly(Unsubscribe {
            fanout: fanout.clone(),
        });
    }

    /// Sends what must add up in the end.
    fn send_certainly<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Room: Handler<M>,
    {
        if let Err(SendError::Full(message)) = self.addr.try_send(message) {
            let addr = self.addr.clone();
            actix_rt::spawn(async move { addr.send(message).await.ok() });
        }
    }

    fn try_send<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Room: Handler<M>,
    {
        let sent = self.addr.try_send(message);
        if let Err(SendError::Full(_)) = sent {
            OVERFLOWS.with_label_values(&["room"]).inc();
        }
        sent.is_ok()
    }
}

/// Events were committed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Committed {
    pub(super) events: Vec<Arc<SharedEvent>>,
}

/// See whether there is a hole.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Heal;

/// Another node says that there is more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Hinted {
    /// Events of other nodes may come by themselves.
    pub(super) has_bus: bool,
}

/// Read where the log's head is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct LookAgain;

/// A connection wants the room's events.
#[derive(Debug)]
pub(crate) struct Subscribe {
    /// The connection's thread.
    pub(crate) fanout: FanoutHandle,
    /// The connection.
    pub(crate) connection: ConnectionKey,
    /// Which of its joins.
    pub(crate) join: u32,
    /// Whose connection.
    pub(crate) user_id: UserId,
    /// The head when the user was found to be a member.
    pub(crate) checked_at: Seq,
    /// Of which life of the log.
    pub(crate) checked_epoch: Epoch,
    /// The last event that it has.
    pub(crate) since: Option<Seq>,
    /// Of which life of the log that is.
    pub(crate) epoch: Option<Epoch>,
}

/// A [`Subscribe`] that says so when it is lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Ask(pub(super) Option<Subscribe>);

impl Drop for Ask {
    fn drop(&mut self) {
        if let Some(subscribe) = self.0.take() {
            subscribe.fanout.send(FanoutMessage::NotSubscribed {
                connection: subscribe.connection,
                join: subscribe.join,
            });
        }
    }
}

/// A connection of a thread has left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Unsubscribe {
    pub(super) fanout: FanoutHandle,
}

/// A thread's connections in the room are this actor's from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Adopt {
    pub(crate) fanout: FanoutHandle,
    /// How many they are.
    pub(crate) count: usize,
    /// Where they stand: what comes after that they get.
    pub(crate) standing: Standing,
}

/// A thread's connections have not got everything.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Missed {
    pub(crate) fanout: FanoutHandle,
    /// Where they stand.
    pub(crate) standing: Standing,
    /// It is some of them alone, whose outboxes were full.
    pub(crate) is_late: bool,
}

/// The log's head, as it was read after the room stood at `delivered`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct SawHead {
    /// The log's life.
    pub(crate) epoch: Epoch,
    /// Its last event.
    pub(crate) head: Seq,
    /// What the room had delivered before.
    pub(crate) delivered: Seq,
}

/// The hub has taken the room out of its registry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;
