//! Presence: who is in which room now, on this node. Rooms are spread over a few actors.
//!
//! What changes is told in diffs, gathered for a moment: a join costs its room one entry of a
//! diff, whatever the room's size. When a shard is recreated after a panic it
//! does not know who was here, and counts them wrongly until the node restarts; nothing durable
//! depends on it.

mod tracker;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use self::tracker::Tracker;
use crate::hub::encoded::{Ephemeral, SharedPush};
use crate::hub::journal::index_of;
use crate::hub::registry::Registry;
use crate::hub::supervision::{ActorId, Down, Guard};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::reply::RoomPresence;

/// What a shard needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresenceSettings {
    pub(crate) mailbox: usize,
    /// Changes are gathered for this long.
    pub(crate) coalesce: Duration,
    /// At most so many users are named.
    pub(crate) list_max: usize,
}

/// The node's presence shards. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    shards: Arc<[RwLock<Option<Addr<Shard>>>]>,
}

impl Presence {
    /// Places for `shards` shards.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| RwLock::new(None)).collect(),
        }
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Starts the shard of a place.
    pub(crate) fn start_shard(
        &self,
        number: usize,
        arbiter: &ArbiterHandle,
        settings: PresenceSettings,
        registry: Registry,
        reports: mpsc::Sender<Down>,
    ) {
        let guard = Guard::new(ActorId::Presence(number), reports);
        let addr = Shard::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(settings.mailbox);
            Shard {
                tracker: Tracker::default(),
                settings,
                registry,
                is_telling: false,
                guard,
            }
        });
        *self.shards[number].write() = Some(addr);
    }

    /// A connection of a user has come into a room.
    pub(crate) fn arrive(&self, room: RoomId, user: UserId) {
        self.send(Move {
            room,
            user,
            is_arrival: true,
        });
    }

    /// A connection of a user has gone from a room.
    pub(crate) fn depart(&self, room: RoomId, user: UserId) {
        self.send(Move {
            room,
            user,
            is_arrival: false,
        });
    }

    /// Who is in a room.
    pub(crate) async fn who(&self, room: RoomId) -> Result<RoomPresence, Refusal> {
        let away = || {
            Refusal::new(
                ErrorCode::Unavailable,
                "presence is not available, try again",
            )
        };
        let shard = self.shard(room).ok_or_else(away)?;
        shard.send(Who { room }).await.map_err(|_| away())
    }

    fn shard(&self, room: RoomId) -> Option<Addr<Shard>> {
        self.shards[index_of(room, self.shards.len())]
            .read()
            .clone()
    }

    fn send(&self, message: Move) {
        let Some(shard) = self.shard(message.room) else {
            return;
        };
        if let Err(SendError::Full(message)) = shard.try_send(message) {
            // Arrivals and departures must add up. There is at most one such task for each
            // connection and room.
            actix_rt::spawn(async move { shard.send(message).await.ok() });
        }
    }
}

/// A connection came or went.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Move {
    room: RoomId,
    user: UserId,
    is_arrival: bool,
}

/// Who is there?
#[derive(Debug, Message)]
#[rtype(result = "RoomPresence")]
struct Who {
    room: RoomId,
}

/// The actor.
struct Shard {
    tracker: Tracker,
    settings: PresenceSettings,
    registry: Registry,
    is_telling: bool,
    guard: Guard,
}

impl Shard {
    fn tell(&mut self) {
        self.is_telling = false;
        for diff in self.tracker.take_diffs() {
            // A room without an actor has nobody left to tell.
            let Some(room) = self.registry.find(diff.room_id) else {
                continue;
            };
            let max = self.settings.list_max;
            let first = |mut users: Vec<UserId>| {
                users.truncate(max);
                users
            };
            let push = SharedPush::new(Ephemeral::Presence {
                room_id: diff.room_id,
                joins: first(diff.joins),
                leaves: first(diff.leaves),
                count: diff.count,
            });
            room.broadcast(push, None);
        }
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.guard.finish();
    }
}

impl Handler<Move> for Shard {
    type Result = ();

    fn handle(&mut self, message: Move, ctx: &mut Self::Context) {
        if message.is_arrival {
            self.tracker.arrive(message.room, message.user);
        } else {
            self.tracker.depart(message.room, message.user);
        }
        if self.tracker.has_changes() && !self.is_telling {
            self.is_telling = true;
            ctx.run_later(self.settings.coalesce, |this, _| this.tell());
        }
    }
}

impl Handler<Who> for Shard {
    type Result = MessageResult<Who>;

    fn handle(&mut self, message: Who, _: &mut Self::Context) -> Self::Result {
        let (count, users) = self.tracker.who(message.room, self.settings.list_max);
        MessageResult(RoomPresence {
            room: message.room,
            count,
            users,
        })
    }
}
