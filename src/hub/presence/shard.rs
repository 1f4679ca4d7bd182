//! The actor of a shard.

use std::time::Duration;

use actix::prelude::*;

use super::PresenceSettings;
use super::tracker::Tracker;
use crate::fault;
use crate::hub::encoded::{Ephemeral, SharedPush};
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::reply::RoomPresence;

/// A thread that has not announced itself after this is not waited for: what it has comes as
/// arrivals.
const ANNOUNCEMENTS: Duration = Duration::from_secs(1);

/// A connection came or went.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Move {
    pub(super) room: RoomId,
    pub(super) user: UserId,
    pub(super) is_arrival: bool,
}

/// A user's connections in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) room: RoomId,
    pub(crate) user: UserId,
    pub(crate) connections: usize,
}

/// Whom a thread has.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Announce {
    pub(super) worker: usize,
    pub(super) present: Vec<Present>,
}

/// A room may have missed diffs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct TellAgain {
    pub(super) room: RoomId,
}

/// Who is there? None while that is not known.
#[derive(Debug, Message)]
#[rtype(result = "Option<RoomPresence>")]
pub(super) struct Who {
    pub(super) room: RoomId,
}

/// The actor.
pub(super) struct Shard {
    tracker: Tracker,
    settings: PresenceSettings,
    registry: Registry,
    /// Threads that have not said yet whom they have.
    awaited: Vec<usize>,
    is_telling: bool,
    /// Dropped with it.
    _guard: Guard,
}

impl Shard {
    pub(super) fn new(
        settings: PresenceSettings,
        registry: Registry,
        awaited: Vec<usize>,
        guard: Guard,
    ) -> Self {
        Self {
            tracker: Tracker::default(),
            settings,
            registry,
            awaited,
            is_telling: false,
            _guard: guard,
        }
    }

    /// What has changed is told in a moment, once it is known who is here.
    fn tell_soon(&mut self, ctx: &mut Context<Self>) {
        if self.awaited.is_empty() && self.tracker.has_changes() && !self.is_telling {
            self.is_telling = true;
            ctx.run_later(self.settings.coalesce, |this, _| this.tell());
        }
    }

    fn tell(&mut self) {
        self.is_telling = false;
        for diff in self.tracker.take_diffs() {
            // A room without an actor has nobody left to tell, or is being recreated: then it
            // asks to be told again.
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
                reset: diff.is_whole,
            });
            room.broadcast(push, None);
        }
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if !self.awaited.is_empty() {
            ctx.run_later(ANNOUNCEMENTS, |this, ctx| {
                this.awaited.clear();
                this.tell_soon(ctx);
            });
        }
    }
}

impl Handler<Move> for Shard {
    type Result = ();

    fn handle(&mut self, message: Move, ctx: &mut Self::Context) {
        fault::point!("hub.presence.move");
        if message.is_arrival {
            self.tracker.arrive(message.room, message.user);
        } else {
            self.tracker.depart(message.room, message.user);
        }
        self.tell_soon(ctx);
    }
}

impl Handler<Announce> for Shard {
    type Result = ();

    fn handle(&mut self, message: Announce, ctx: &mut Self::Context) {
        for present in message.present {
            let Present {
                room,
                user,
                connections,
            } = present;
            self.tracker.announce(room, user, connections);
        }
        self.awaited.retain(|worker| *worker != message.worker);
        self.tell_soon(ctx);
    }
}

impl Handler<TellAgain> for Shard {
    type Result = ();

    fn handle(&mut self, message: TellAgain, ctx: &mut Self::Context) {
        self.tracker.tell_whole(message.room);
        self.tell_soon(ctx);
    }
}

impl Handler<Who> for Shard {
    type Result = MessageResult<Who>;

    fn handle(&mut self, message: Who, _: &mut Self::Context) -> Self::Result {
        let is_known = self.awaited.is_empty();
        MessageResult(is_known.then(|| {
            let (count, users) = self.tracker.who(message.room, self.settings.list_max);
            RoomPresence {
                room: message.room,
                count,
                users,
            }
        }))
    }
}
