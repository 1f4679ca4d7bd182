//! Fan-out: one actor for each worker thread, and the thread's table of connections.
//!
//! A room sends each event once to each thread that has connections in it. The thread's fan-out
//! takes what has come in batches and puts it down once for each room; then the rooms are walked in
//! turns, and each connection is written to once, with all that it lacks.
//!
//! Pure: `table::walk` (who has been given what), `table::schedule` (whose turn it is),
//! `wheel` (when to look after a connection).

mod arrivals;
mod behind;
mod delivering;
mod departures;
mod drain;
mod recovery;
mod replay;
#[cfg(feature = "failpoints")]
mod sabotage;
mod session_check;
mod sessions;
mod slow;
mod survey;
pub(crate) mod table;
mod wheel;
pub(crate) mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) use self::survey::{Dismissed, Survey};
pub(crate) use self::table::{Announcement, Attachment, ConnectionKey, JoinProgress, Joining};
pub(crate) use self::worker::Worker;
use crate::fault;
use crate::hub::encoded::{Ephemeral, SharedEvent, SharedPush};
use crate::hub::engineio::{Call, Refused};
use crate::hub::metrics::{EPHEMERAL_DROPPED, OVERFLOWS};
use crate::hub::presence::Generation;
use crate::hub::room::RoomHandle;
use crate::protocol::close::Disconnect;
use crate::protocol::error::Refusal;
use crate::protocol::event::{Epoch, Seq};
use crate::protocol::id::{RoomId, SessionId, UserId};
use crate::protocol::native::request::RequestId;
use crate::protocol::reply::{Gap, Reply};

/// What a worker thread's fan-out is told by other threads.
#[derive(Debug)]
pub(crate) enum FanoutMessage {
    /// Events of one room, in their order, for everyone in it.
    Deliver(Vec<Arc<SharedEvent>>),
    /// A part of what this thread has asked for, out of the log.
    Page(Vec<Arc<SharedEvent>>),
    /// A part of what those lack whose outboxes were full, after the first of their positions; none
    /// if that is not in the log any more.
    Late(RoomId, Option<Vec<Arc<SharedEvent>>>),
    /// Something ephemeral for everyone in its room but one.
    Broadcast(Arc<SharedPush>, Option<ConnectionKey>),
    /// The answer to a request.
    Reply(ConnectionKey, Option<RequestId>, Result<Reply, Refusal>),
    /// A room's answer to [`crate::hub::room::Subscribe`].
    Subscribed(Box<Subscribed>),
    /// A room's actor was lost before it could answer, or cannot answer.
    NotSubscribed {
        connection: ConnectionKey,
        join: u32,
    },
    /// The room's connections cannot be kept in order any more and have to resume.
    Resync(RoomId),
    /// A membership has ended, as the control log says: take the user's connections out of the
    /// room, unless this thread has had the room's own event.
    Evict {
        room_id: RoomId,
        user_id: UserId,
        /// The event's place in the room.
        seq: Seq,
        /// The room's own event has had its time.
        is_late: bool,
    },
    /// The room has a new actor, because the one before panicked.
    Recreated(RoomHandle),
    /// A presence shard has a new actor, which does not know who is here.
    Reannounce {
        shard: usize,
        generation: Generation,
    },
    /// Close connections.
    Disconnect(Target, Disconnect),
    /// A user has become a member of a room: streams of all their rooms get this one, too.
    JoinRoom(UserId, RoomId),
    /// A request, or a socket, for a session of Engine.IO.
    EngineIo(ConnectionKey, Box<Call>),
    /// Say who is connected.
    Survey(Survey),
    /// End connections by order.
    Dismiss(Dismissed),
    /// Tell every connection to move, and close them over this time, milliseconds.
    Drain { spread_ms: u64 },
}

/// Which connections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Those of a session.
    Session(SessionId),
    /// One.
    Connection(ConnectionKey),
    /// Every one.
    All,
}

/// A connection is in a room from now on, or is too far behind.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) connection: ConnectionKey,
    /// Which of the connection's joins is answered.
    pub(crate) join: u32,
    pub(crate) room: RoomHandle,
    pub(crate) epoch: Epoch,
    /// The last event before the live ones.
    pub(crate) head: Seq,
    /// The missed events; none if memory does not reach back far enough.
    pub(crate) replay: Option<Vec<Arc<SharedEvent>>>,
    pub(crate) gap: Option<Gap>,
}

/// The way to a worker thread's fan-out. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct FanoutHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: usize,
    inbox: mpsc::Sender<FanoutMessage>,
    /// Set when something durable found the inbox full.
    has_overflowed: AtomicBool,
    overflow: Mutex<Overflow>,
}

/// Who missed something durable because the inbox was full. They are closed with a reason that
/// says "resume": late, but with nothing lost.
#[derive(Debug, Default)]
struct Overflow {
    rooms: HashSet<RoomId>,
    connections: HashSet<ConnectionKey>,
    /// Sessions that have ended.
    sessions: HashSet<SessionId>,
    /// Orders to end connections.
    dismissed: HashSet<Dismissed>,
    /// Everybody has to come back.
    everybody: bool,
    /// Presence shards that want to know who is here, and their generations.
    shards: HashMap<usize, Generation>,
    /// Rooms that were not told who came and went.
    presence: HashSet<RoomId>,
    /// Users whose streams may lack a room.
    joiners: HashSet<UserId>,
    /// The node is going.
    drain: Option<u64>,
}

impl FanoutHandle {
    fn new(id: usize, inbox: mpsc::Sender<FanoutMessage>) -> Self {
        Self {
            shared: Arc::new(Shared {
                id,
                inbox,
                has_overflowed: AtomicBool::new(false),
                overflow: Mutex::default(),
            }),
        }
    }

    /// Which thread.
    pub(crate) fn id(&self) -> usize {
        self.shared.id
    }

    /// Whether the thread is still there.
    pub(crate) fn is_alive(&self) -> bool {
        !self.shared.inbox.is_closed()
    }

    /// Sends. Never waits: what is ephemeral is dropped when the inbox is full, who misses
    /// something durable will be told to resume.
    pub(crate) fn send(&self, message: FanoutMessage) {
        // Ephemeral things get half of the inbox, so that they cannot crowd out what is durable.
        let inbox = &self.shared.inbox;
        if let FanoutMessage::Broadcast(push, _) = &message
            && inbox.capacity() < inbox.max_capacity() / 2
        {
            self.drop_ephemeral(push);
            return;
        }
        let sent = if has_room() {
            inbox.try_send(message)
        } else {
            Err(mpsc::error::TrySendError::Full(message))
        };
        if let Err(mpsc::error::TrySendError::Full(message)) = sent {
            self.note_lost(message);
        }
    }

    /// A message found the inbox full.
    fn note_lost(&self, message: FanoutMessage) {
        match message {
            FanoutMessage::Broadcast(push, _) => self.drop_ephemeral(&push),
            FanoutMessage::Deliver(events) | FanoutMessage::Page(events) => {
                if let Some(event) = events.first() {
                    self.overflow_room(event.event.room_id);
                }
            }
            FanoutMessage::Resync(room_id) | FanoutMessage::Evict { room_id, .. } => {
                self.overflow_room(room_id);
            }
            // They are of the actor that was lost.
            FanoutMessage::Recreated(room) => self.overflow_room(room.id()),
            FanoutMessage::Reannounce { shard, generation } => {
                self.overflow(|missed| {
                    missed.shards.insert(shard, generation);
                });
            }
            FanoutMessage::Subscribed(subscribed) => {
                // The room counts it already, and would never again be without connections.
                if subscribed.replay.is_some() {
                    subscribed.room.unsubscribe(self);
                }
                self.overflow_connection(subscribed.connection);
            }
            FanoutMessage::Reply(connection, ..)
            | FanoutMessage::NotSubscribed { connection, .. }
            | FanoutMessage::Disconnect(Target::Connection(connection), _) => {
                self.overflow_connection(connection);
            }
            FanoutMessage::Disconnect(Target::Session(session), _) => {
                self.overflow(|missed| {
                    missed.sessions.insert(session);
                });
            }
            FanoutMessage::Disconnect(Target::All, _) => {
                self.overflow(|missed| missed.everybody = true);
            }
            FanoutMessage::Dismiss(dismissed) => {
                self.overflow(|missed| {
                    missed.dismissed.insert(dismissed);
                });
            }
            FanoutMessage::EngineIo(_, call) => call.refuse(Refused::Overloaded),
            // Who asked notices that an answer is missing.
            FanoutMessage::Survey(_) | FanoutMessage::Late(..) => {}
            FanoutMessage::JoinRoom(user_id, _) => {
                self.overflow(|missed| {
                    missed.joiners.insert(user_id);
                });
            }
            FanoutMessage::Drain { spread_ms } => {
                self.overflow(|missed| missed.drain = Some(spread_ms));
            }
        }
    }

    /// No later push makes up for one of presence: its room is told everybody when there is room.
    fn drop_ephemeral(&self, push: &SharedPush) {
        EPHEMERAL_DROPPED.with_label_values(&["fanout"]).inc();
        if let Ephemeral::Presence { room_id, .. } = push.content {
            self.shared.overflow.lock().presence.insert(room_id);
            self.shared.has_overflowed.store(true, Ordering::Release);
        }
    }

    fn overflow_room(&self, room_id: RoomId) {
        self.overflow(|missed| {
            missed.rooms.insert(room_id);
        });
    }

    fn overflow_connection(&self, connection: ConnectionKey) {
        self.overflow(|missed| {
            missed.connections.insert(connection);
        });
    }

    fn overflow(&self, note: impl FnOnce(&mut Overflow)) {
        OVERFLOWS.with_label_values(&["fanout"]).inc();
        note(&mut self.shared.overflow.lock());
        self.shared.has_overflowed.store(true, Ordering::Release);
    }

    fn take_overflow(&self) -> Option<Overflow> {
        self.shared
            .has_overflowed
            .swap(false, Ordering::Acquire)
            .then(|| std::mem::take(&mut *self.shared.overflow.lock()))
    }
}

/// Whether there may be room in an inbox. Tests say that there is none.
fn has_room() -> bool {
    fault::point!("hub.fanout.inbox", false);
    true
}

/// Where a request's answer goes.
#[derive(Debug, Clone)]
pub(crate) struct ReplyAddress {
    pub(crate) fanout: FanoutHandle,
    pub(crate) connection: ConnectionKey,
    pub(crate) request: Option<RequestId>,
}

impl ReplyAddress {
    /// Sends the answer.
    pub(crate) fn send(self, result: Result<Reply, Refusal>) {
        self.fanout
            .send(FanoutMessage::Reply(self.connection, self.request, result));
    }
}
