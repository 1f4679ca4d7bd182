//! The verdicts: pure functions over a history and what is stored in the end.

mod access;
mod acks;
mod end;
mod nodes;
mod order;
pub(super) mod presence;
mod redaction;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod tried;

use super::history::{ClientNo, History};
use super::model::Membership;
use super::stored::{Stored, StoredRoom};
use super::subscription::{self, Subscription, Told};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Promise {
    /// What was acknowledged is in the log, at that place, with that content.
    AckedIsStored,
    /// What was sent under a key is stored once, and what was refused is not stored.
    StoredOnce,
    /// What is stored was sent.
    StoredWasSent,
    /// A log and a room's messages are numbered without holes, up to the head.
    Dense,
    /// Nobody observes an event twice within what their position says.
    NoDouble,
    /// Nobody observes a later event before an earlier one.
    NoReorder,
    /// Nothing is left out of a subscription without being told.
    NoHole,
    /// A gap that is told is one.
    HonestGap,
    /// What is observed is what the log has at that place.
    SameForAll,
    /// Nobody is told of an event of a time at which they were no member.
    NoLeak,
    /// Nobody says anything who is no member or is muted, and nobody becomes one who is banned.
    Entitled,
    /// One sender's publishes in a room keep their order.
    SenderOrder,
    /// What is stored beside the log, and every snapshot, is the fold of the log's events.
    StateIsFold,
    /// `apply(events, old snapshot) == fresh snapshot`
    ApplyIsFresh,
    /// What was deleted is not handed out again.
    Redacted,
    /// In the end everybody who may has everything.
    Complete,
    /// Every node tells who is in a room, and nobody who stays is told as gone.
    Present,
    /// The run comes to its end.
    Ends,
    /// A node that comes back is the one that it was.
    Identity,
    /// What was to break has broken, and clients got enough done meanwhile.
    Tried,
}

/// A broken promise, with what is needed to look at it.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) promise: Promise,
    pub(super) client: Option<ClientNo>,
    pub(super) room: Option<String>,
    pub(super) seq: Option<u64>,
    /// The record at which it shows.
    pub(super) at: Option<usize>,
    pub(super) text: String,
}

impl Violation {
    pub(super) fn new(promise: Promise, text: impl Into<String>) -> Self {
        Self {
            promise,
            client: None,
            room: None,
            seq: None,
            at: None,
            text: text.into(),
        }
    }

    pub(super) fn of(mut self, client: ClientNo) -> Self {
        self.client = Some(client);
        self
    }

    pub(super) fn within(mut self, room: &str) -> Self {
        self.room = Some(room.to_owned());
        self
    }

    fn seq(mut self, seq: u64) -> Self {
        self.seq = Some(seq);
        self
    }

    fn at(mut self, record: usize) -> Self {
        self.at = Some(record);
        self
    }
}

/// What the verdicts look at.
pub(super) struct Case<'a> {
    pub(super) history: &'a History,
    pub(super) stored: &'a Stored,
    told: Told<'a>,
}

impl<'a> Case<'a> {
    pub(super) fn new(history: &'a History, stored: &'a Stored) -> Self {
        let told = subscription::of(history);
        Self {
            history,
            stored,
            told,
        }
    }

    pub(super) fn subscriptions(&self) -> &[Subscription<'a>] {
        &self.told.subscriptions
    }

    /// The rooms of the run, with what is stored of them.
    fn rooms(&self) -> impl Iterator<Item = (&'a super::history::RoomInfo, &'a StoredRoom)> {
        let (history, stored) = (self.history, self.stored);
        (history.rooms.iter()).filter_map(|room| Some((room, stored.get(&room.id)?)))
    }

    /// When a client's user was a member.
    fn membership(&self, client: ClientNo, room: &str) -> Membership {
        let user_id = &self.history.clients[client].user_id;
        let Some((info, stored)) = self.rooms().find(|(info, _)| info.id == room) else {
            return Membership::default();
        };
        Membership::of(
            user_id,
            info.owner_id == *user_id,
            info.hides_past,
            stored.log.values(),
        )
    }
}

/// Everything that is wrong.
pub(super) fn all(case: &Case<'_>) -> Vec<Violation> {
    let verdicts: [fn(&Case<'_>) -> Vec<Violation>; 10] = [
        acks::verdict,
        stream::verdict,
        access::verdict,
        order::verdict,
        state::verdict,
        redaction::verdict,
        end::verdict,
        nodes::verdict,
        presence::verdict,
        tried::verdict,
    ];
    verdicts.iter().flat_map(|verdict| verdict(case)).collect()
}
