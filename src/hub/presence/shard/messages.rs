//! What a shard is told and asked.

use std::time::Instant;

use actix::prelude::*;

use super::{Shard, count_heard};
use crate::bus::BusState;
use crate::fault;
use crate::hub::presence::own::Step;
use crate::hub::presence::state::Neighbour;
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::origin::Origin;
use crate::protocol::presence::{PresenceChange, PresenceDigest, PresencePage, PresencePull};
use crate::protocol::reply::RoomPresence;

/// A connection came or went.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in super::super) struct Move {
    pub(in super::super) room: RoomId,
    pub(in super::super) user: UserId,
    pub(in super::super) step: Step,
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
pub(in super::super) struct Announce {
    pub(in super::super) worker: usize,
    pub(in super::super) present: Vec<Present>,
}

/// A room may have missed diffs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in super::super) struct TellAgain {
    pub(in super::super) room: RoomId,
}

/// Who is there? None while that is not known.
#[derive(Debug, Message)]
#[rtype(result = "Option<RoomPresence>")]
pub(in super::super) struct Who {
    pub(in super::super) room: RoomId,
}

/// Another node says what has changed there.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in super::super) struct Hear {
    pub(in super::super) origin: Origin,
    pub(in super::super) version: u64,
    pub(in super::super) changes: Vec<PresenceChange>,
}

/// Another node says where it stands.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in super::super) struct Compare {
    pub(in super::super) origin: Origin,
    pub(in super::super) digest: PresenceDigest,
}

/// Another node asks where this one stands. None while that is not known.
#[derive(Debug, Message)]
#[rtype(result = "Option<PresenceDigest>")]
pub(in super::super) struct Stand;

/// Another node asks who is present by this one. None while that is not known.
#[derive(Debug, Message)]
#[rtype(result = "Option<PresencePage>")]
pub(in super::super) struct Answer {
    pub(in super::super) pull: PresencePull,
}

/// Something is different around this node.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(in super::super) enum Surround {
    /// These others live.
    Neighbours(Vec<Neighbour>),
    /// This one's lease has run out.
    Lost(Origin),
    /// The bus has come or gone.
    Bus(BusState),
}

impl Handler<Move> for Shard {
    type Result = ();

    fn handle(&mut self, message: Move, ctx: &mut Self::Context) {
        fault::point!("hub.presence.move");
        let Move { room, user, step } = message;
        self.state.shift(room, user, step, Instant::now());
        self.settle(ctx);
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
            self.state.announce(room, user, connections);
        }
        self.awaited.retain(|worker| *worker != message.worker);
        self.settle(ctx);
    }
}

impl Handler<TellAgain> for Shard {
    type Result = ();

    fn handle(&mut self, message: TellAgain, ctx: &mut Self::Context) {
        self.state.tell_whole(message.room);
        self.settle(ctx);
    }
}

impl Handler<Who> for Shard {
    type Result = MessageResult<Who>;

    fn handle(&mut self, message: Who, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.is_known().then(|| {
            let here = self.state.ask(message.room);
            RoomPresence {
                room: message.room,
                count: here.count,
                only_count: here.users.is_none(),
                users: here.users.unwrap_or_default(),
                stale: here.is_stale,
            }
        }))
    }
}

impl Handler<Hear> for Shard {
    type Result = ();

    fn handle(&mut self, message: Hear, ctx: &mut Self::Context) {
        let Hear {
            origin,
            version,
            changes,
        } = message;
        let fate = self.state.hear(&origin, version, &changes);
        count_heard("diff", fate);
        self.settle(ctx);
    }
}

impl Handler<Compare> for Shard {
    type Result = ();

    fn handle(&mut self, message: Compare, ctx: &mut Self::Context) {
        let Compare { origin, digest } = message;
        let fate = self.state.compare(&origin, digest, Instant::now());
        count_heard("digest", fate);
        self.settle(ctx);
    }
}

impl Handler<Stand> for Shard {
    type Result = Option<PresenceDigest>;

    fn handle(&mut self, _: Stand, _: &mut Self::Context) -> Self::Result {
        self.awaited.is_empty().then(|| {
            self.say();
            self.state.digest()
        })
    }
}

impl Handler<Answer> for Shard {
    type Result = Option<PresencePage>;

    fn handle(&mut self, message: Answer, _: &mut Self::Context) -> Self::Result {
        // Its own people are known as soon as its threads have told, whatever other nodes do.
        self.awaited.is_empty().then(|| {
            self.say();
            self.state.page(&message.pull)
        })
    }
}

impl Handler<Surround> for Shard {
    type Result = ();

    fn handle(&mut self, message: Surround, ctx: &mut Self::Context) {
        let now = Instant::now();
        match message {
            Surround::Neighbours(neighbours) => self.state.meet(neighbours, now),
            Surround::Lost(origin) => self.state.lose(&origin, now),
            Surround::Bus(bus) => self.state.turn(bus, now),
        }
        self.settle(ctx);
    }
}
