//! Presence: who is in which room now, on this node. Rooms are spread over a few actors.
//!
//! What changes is told in diffs, gathered for a moment: a join costs its room one entry of a
//! diff, whatever the room's size.
//!
//! A shard that panics is recreated, as its next *generation*, and learns who is here from the
//! worker threads: each announces whom it has, once for each generation. Until then it tells the
//! shard of no moves: they are part of the announcement. When all have announced themselves, each
//! room is told the whole list once.

mod shard;
mod tracker;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use parking_lot::RwLock;

pub(crate) use self::shard::Present;
use self::shard::{Announce, Move, Shard, TellAgain, Who};
use crate::config;
use crate::hub::arbiters::start_on;
use crate::hub::fanout::FanoutMessage;
use crate::hub::journal::index_of;
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;
use crate::hub::workers::Workers;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::reply::RoomPresence;
use crate::stall::Activity;

/// What a shard needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresenceSettings {
    pub(crate) mailbox: usize,
    /// Changes are gathered for this long.
    pub(crate) coalesce: Duration,
    /// At most so many users are named.
    pub(crate) list_max: usize,
}

impl From<&config::Hub> for PresenceSettings {
    fn from(config: &config::Hub) -> Self {
        Self {
            mailbox: config.presence_mailbox,
            coalesce: Duration::from_millis(config.presence_coalesce_ms),
            list_max: config.presence_list_max,
        }
    }
}

/// Which of the actors of a shard's place this is, from 1; 0 while there has been none.
pub(crate) type Generation = u64;

/// The node's presence shards. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    shards: Arc<[RwLock<Place>]>,
}

/// A shard's place: it stays when the shard is recreated.
#[derive(Debug, Default)]
struct Place {
    shard: Option<Addr<Shard>>,
    generation: Generation,
}

impl Presence {
    /// Places for `shards` shards.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards.max(1)).map(|_| RwLock::default()).collect(),
        }
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Starts the shard of a place, and asks the threads whom they have.
    pub(crate) fn start_shard(
        &self,
        number: usize,
        arbiter: &ArbiterHandle,
        settings: PresenceSettings,
        registry: Registry,
        workers: &Workers,
        guard: Guard,
    ) {
        let awaited = workers.ids();
        let addr = start_on(arbiter, Activity::Presence, settings.mailbox, move || {
            Shard::new(settings, registry, awaited, guard)
        });
        let generation = {
            let mut place = self.shards[number].write();
            place.shard = Some(addr);
            place.generation += 1;
            place.generation
        };
        workers.send(|| FanoutMessage::Reannounce {
            shard: number,
            generation,
        });
    }

    /// The shards' generations. A thread that has nobody yet has announced itself to them.
    pub(crate) fn generations(&self) -> Vec<Generation> {
        let generation = |place: &RwLock<Place>| place.read().generation;
        self.shards.iter().map(generation).collect()
    }

    /// Which shard a room belongs to.
    pub(crate) fn shard_of(&self, room: RoomId) -> usize {
        index_of(room, self.shards.len())
    }

    /// A connection of a user has come into a room. `announced` are the generations that its
    /// thread has announced itself to.
    pub(crate) fn arrive(&self, announced: &[Generation], room: RoomId, user: UserId) {
        let is_arrival = true;
        self.shift(
            announced,
            Move {
                room,
                user,
                is_arrival,
            },
        );
    }

    /// A connection of a user has gone from a room.
    pub(crate) fn depart(&self, announced: &[Generation], room: RoomId, user: UserId) {
        let is_arrival = false;
        self.shift(
            announced,
            Move {
                room,
                user,
                is_arrival,
            },
        );
    }

    /// Whom a thread has in the rooms of a shard. Later generations have to be told anew.
    pub(crate) fn announce(
        &self,
        shard: usize,
        generation: Generation,
        worker: usize,
        present: Vec<Present>,
    ) {
        let addr = self.at(shard, |place| place.generation == generation);
        if let Some(addr) = addr {
            send_certainly(addr, Announce { worker, present });
        }
    }

    /// A room may have missed diffs: it is told the whole list.
    pub(crate) fn tell_again(&self, room: RoomId) {
        if let Some(addr) = self.at(self.shard_of(room), |_| true) {
            send_certainly(addr, TellAgain { room });
        }
    }

    /// Who is in a room.
    pub(crate) async fn who(&self, room: RoomId) -> Result<RoomPresence, Refusal> {
        let away = || {
            Refusal::new(
                ErrorCode::Unavailable,
                "presence is not available, try again",
            )
        };
        let shard = self.at(self.shard_of(room), |_| true).ok_or_else(away)?;
        let answer = shard.send(Who { room }).await.map_err(|_| away())?;
        answer.ok_or_else(away)
    }

    /// The shard of a place, if it is the one that is meant.
    fn at(&self, shard: usize, is_it: impl Fn(&Place) -> bool) -> Option<Addr<Shard>> {
        let place = self.shards.get(shard)?.read();
        place.shard.clone().filter(|_| is_it(&place))
    }

    fn shift(&self, announced: &[Generation], message: Move) {
        let shard = self.shard_of(message.room);
        let is_announced = |place: &Place| announced.get(shard) == Some(&place.generation);
        if let Some(addr) = self.at(shard, is_announced) {
            send_certainly(addr, message);
        }
    }
}

/// Sends what must add up in the end. There is at most one waiting task for each connection and
/// room, and one for each room and thread.
fn send_certainly<M>(shard: Addr<Shard>, message: M)
where
    M: Message<Result = ()> + Send + 'static,
    Shard: Handler<M>,
{
    if let Err(SendError::Full(message)) = shard.try_send(message) {
        actix_rt::spawn(async move { shard.send(message).await.ok() });
    }
}
