//! The way to a room's actor, and what it is told. What does not fit into its mailbox is dropped
//! if it is ephemeral, and read from Postgres later if it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use actix::prelude::*;

use super::Room;
use crate::hub::encoded::{SharedEvent, SharedPush};
use crate::hub::fanout::{ConnectionKey, FanoutHandle, FanoutMessage};
use crate::hub::metrics::{EPHEMERAL_DROPPED, OVERFLOWS};
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, UserId};

/// A room's actor, as the rest of the hub knows it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RoomHandle {
    pub(super) id: RoomId,
    pub(super) addr: Addr<Room>,
    /// The last event that is known to be committed: a message lost on the way to the actor is
    /// noticed by it.
    pub(super) committed: Arc<AtomicU64>,
    /// Ephemeral pushes in the mailbox: they get half of it.
    pub(super) broadcasts: Arc<AtomicUsize>,
    pub(super) broadcasts_max: usize,
}

impl RoomHandle {
    pub(crate) fn id(&self) -> RoomId {
        self.id
    }

    /// Whether the actor lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.addr.connected()
    }

    /// Whether both are the same actor, and not one that was recreated.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.addr == other.addr
    }

    /// Whether this is the actor at that address.
    pub(crate) fn is_at(&self, addr: &Addr<Room>) -> bool {
        self.addr == *addr
    }

    /// Gives the room what was committed. If its mailbox is full the room reads it from Postgres
    /// when it gets to it.
    pub(crate) fn committed(&self, events: Vec<Arc<SharedEvent>>) {
        if let Some(last) = events.last() {
            self.committed.fetch_max(last.event.seq, Ordering::Relaxed);
        }
        self.try_send(Committed { events });
    }

    /// The log has this event: if the room has not delivered it yet, nobody will bring it.
    pub(crate) fn known(&self, seq: Seq) {
        if self.committed.fetch_max(seq, Ordering::Relaxed) < seq {
            self.try_send(Heal);
        }
    }

    /// The log may have more than the room has been told of.
    pub(crate) fn look_again(&self) {
        self.try_send(LookAgain);
    }

    /// Sends something ephemeral to everyone in the room but one connection of one thread.
    pub(crate) fn broadcast(&self, push: Arc<SharedPush>, except: Option<(usize, ConnectionKey)>) {
        if self.broadcasts.fetch_add(1, Ordering::Relaxed) >= self.broadcasts_max {
            self.broadcasts.fetch_sub(1, Ordering::Relaxed);
            EPHEMERAL_DROPPED.with_label_values(&["room"]).inc();
            return;
        }
        let count = Counted(Arc::clone(&self.broadcasts));
        self.try_send(Broadcast {
            push,
            except,
            _count: count,
        });
    }

    /// Asks for a subscription; the answer goes to the connection's thread, also when the room is
    /// lost before it can give one.
    pub(crate) fn subscribe(&self, subscribe: Subscribe) {
        self.try_send(Ask(Some(subscribe)));
    }

    /// A connection of a thread has left.
    pub(crate) fn unsubscribe(&self, worker: usize) {
        let message = Unsubscribe { worker };
        if let Err(SendError::Full(message)) = self.addr.try_send(message) {
            // The count must come right in the end.
            let addr = self.addr.clone();
            actix_rt::spawn(async move { addr.send(message).await.ok() });
        }
    }

    fn try_send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Room: Handler<M>,
    {
        if let Err(SendError::Full(_)) = self.addr.try_send(message) {
            OVERFLOWS.with_label_values(&["room"]).inc();
        }
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

/// Read where the log's head is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct LookAgain;

/// Something ephemeral for everyone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Broadcast {
    pub(super) push: Arc<SharedPush>,
    pub(super) except: Option<(usize, ConnectionKey)>,
    _count: Counted,
}

/// One of those that are counted, for as long as it waits.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

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
    /// The last event that it has.
    pub(crate) since: Option<Seq>,
    /// Of which life of the log.
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
    pub(super) worker: usize,
}

/// The hub has taken the room out of its registry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;
