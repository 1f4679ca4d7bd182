//! Presence: who is in which room now, by all nodes. Rooms are spread over a few actors, in the same
//! way on every node.
//!
//! What changes is told in diffs, gathered for a moment: a join costs its room one entry of a
//! diff, whatever the room's size. Other nodes are told the same diffs, numbered, by the bus, and
//! every now and then where this node stands; who has missed something asks ([`elsewhere`]). What a
//! shard knows and does about it is pure ([`state`]).
//!
//! A shard that panics is recreated, as its next *generation*, and learns who is here from the
//! worker threads: each announces whom it has, once for each generation. Until then it tells the
//! shard of no moves: they are part of the announcement. When all have announced themselves, and
//! the other nodes have answered, each room is told the whole list once.

pub(crate) mod elsewhere;
mod members;
mod others;
mod own;
mod shard;
mod slots;
mod state;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use parking_lot::RwLock;

use self::elsewhere::Asker;
pub(crate) use self::own::Step;
pub(crate) use self::shard::Present;
use self::shard::{Announce, Move, Shard, ShardParts, Surround, TellAgain, Who};
use self::state::{Manner, Neighbour, Rules};
use crate::bus::BusState;
use crate::bus::presence::SHARDS;
use crate::config;
use crate::hub::arbiters::start_on;
use crate::hub::bridge::BridgeHandle;
use crate::hub::fanout::FanoutMessage;
use crate::hub::journal::index_of;
use crate::hub::registry::Registry;
use crate::hub::supervision::Guard;
use crate::hub::workers::Workers;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::reply::RoomPresence;
use crate::stall::Activity;

/// A node that has not answered is asked again after this.
const RETRY: Duration = Duration::from_secs(1);

/// Bits of a version that count what one generation of a shard has said.
const SAID_BITS: u32 = 40;

/// What a shard needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresenceSettings {
    pub(crate) mailbox: usize,
    /// Changes are gathered for this long.
    pub(crate) coalesce: Duration,
    /// With more users a room is told their number alone.
    pub(crate) list_max: usize,
    /// And no more often than this.
    pub(crate) count_every: Duration,
    /// Who is lost may come back for so long.
    pub(crate) grace: Duration,
    /// How often other nodes are told where this one stands.
    pub(crate) digest_every: Duration,
    /// People of each other node that a shard knows at most.
    pub(crate) people_max: usize,
}

impl From<&config::Hub> for PresenceSettings {
    fn from(config: &config::Hub) -> Self {
        Self {
            mailbox: config.presence_mailbox,
            coalesce: Duration::from_millis(config.presence_coalesce_ms),
            list_max: config.presence_list_max,
            count_every: Duration::from_millis(config.presence_count_ms),
            grace: Duration::from_millis(config.presence_grace_ms),
            digest_every: Duration::from_millis(config.presence_digest_ms),
            people_max: config.presence_peer_max / usize::from(SHARDS),
        }
    }
}

impl From<&PresenceSettings> for Rules {
    fn from(settings: &PresenceSettings) -> Self {
        Self {
            manner: Manner {
                list_max: settings.list_max,
                count_every: settings.count_every,
            },
            grace: settings.grace,
            people_max: settings.people_max,
            retry: RETRY,
        }
    }
}

/// Which of the actors of a shard's place this is, from 1; 0 while there has been none.
pub(crate) type Generation = u64;

/// What is around this node, as far as presence is concerned.
#[derive(Debug, Clone)]
struct Surroundings {
    neighbours: Vec<Neighbour>,
    bus: BusState,
}

/// The node's presence shards. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Presence {
    shards: Arc<[RwLock<Place>]>,
    surroundings: Arc<RwLock<Surroundings>>,
    asker: Asker,
}

/// A shard's place: it stays when the shard is recreated.
#[derive(Debug, Default)]
struct Place {
    shard: Option<Addr<Shard>>,
    generation: Generation,
}

/// What a shard is started with.
pub(crate) struct PresenceParts<'a> {
    pub(crate) settings: PresenceSettings,
    pub(crate) registry: Registry,
    pub(crate) bridge: BridgeHandle,
    pub(crate) workers: &'a Workers,
}

impl Presence {
    /// Places for the shards. `bus` is the way to other nodes now.
    pub(crate) fn new(asker: Asker, bus: BusState) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            surroundings: Arc::new(RwLock::new(Surroundings {
                neighbours: Vec::new(),
                bus,
            })),
            asker,
        }
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Starts the shard of a place, and asks the threads whom they have.
    pub(crate) fn start_shard(
        &self,
        number: u8,
        arbiter: &ArbiterHandle,
        parts: PresenceParts<'_>,
        guard: Guard,
    ) {
        let Some(place) = self.shards.get(usize::from(number)) else {
            return;
        };
        let workers = parts.workers;
        let generation = place.read().generation + 1;
        let shard = ShardParts {
            number,
            settings: parts.settings,
            registry: parts.registry,
            bridge: parts.bridge,
            asker: self.asker.clone(),
            first_version: generation << SAID_BITS,
            awaited: workers.ids(),
            is_recreated: generation > 1,
            surroundings: self.surroundings.read().clone(),
            guard,
        };
        let mailbox = parts.settings.mailbox;
        let addr = start_on(arbiter, Activity::Presence, mailbox, move || {
            Shard::new(shard)
        });
        {
            let mut place = place.write();
            place.shard = Some(addr.clone());
            place.generation = generation;
        }
        workers.send(|| FanoutMessage::Reannounce {
            shard: usize::from(number),
            generation,
        });
        // They may have changed before others found it.
        let Surroundings { neighbours, bus } = self.surroundings.read().clone();
        send_certainly(addr.clone(), Surround::Neighbours(neighbours));
        send_certainly(addr, Surround::Bus(bus));
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

    /// A connection of a user has come into a room, or gone from it. `announced` are the
    /// generations that its thread has announced itself to.
    pub(crate) fn shift(&self, announced: &[Generation], room: RoomId, user: UserId, step: Step) {
        let shard = self.shard_of(room);
        let is_announced = |place: &Place| announced.get(shard) == Some(&place.generation);
        if let Some(addr) = self.at(shard, is_announced) {
            send_certainly(addr, Move { room, user, step });
        }
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
        let shard = self.at(self.shard_of(room), |_| true).ok_or_else(away)?;
        let answer = shard.send(Who { room }).await.map_err(|_| away())?;
        answer.ok_or_else(away)
    }

    /// The shard of a place, if it is the one that is meant.
    fn at(&self, shard: usize, is_it: impl Fn(&Place) -> bool) -> Option<Addr<Shard>> {
        let place = self.shards.get(shard)?.read();
        place.shard.clone().filter(|_| is_it(&place))
    }
}

fn away() -> Refusal {
    Refusal::new(
        ErrorCode::Unavailable,
        "presence is not available, try again",
    )
}

/// Sends what must add up in the end. There is at most one waiting task for each connection and
/// room, one for each room and thread, and one for each change around the node.
fn send_certainly<M>(shard: Addr<Shard>, message: M)
where
    M: Message<Result = ()> + Send + 'static,
    Shard: Handler<M>,
{
    if let Err(SendError::Full(message)) = shard.try_send(message) {
        actix_rt::spawn(async move { shard.send(message).await.ok() });
    }
}
