//! What events have touched: the compact form in which nodes tell each other what of the rooms that
//! they keep copies of is out of date.

use super::event::{Epoch, Event, EventBody, Seq};
use super::id::{RoomId, UserId};

/// So many members are named; of more it is said that any may be meant.
const MEMBERS_MAX: usize = 64;

/// Parts of a room, besides its head, that every event moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// The head alone.
    pub const NONE: Self = Self(0);
    /// Messages that were there before.
    pub const EARLIER: Self = Self(1);
    /// Who is a member, and what.
    pub const MEMBERS: Self = Self(2);
    /// What is said of the room.
    pub const ROOM: Self = Self(4);
    /// Any membership, of whichever user.
    pub const MEMBERSHIPS: Self = Self(8);
    /// All of that.
    pub const ALL: Self = Self(15);

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As they travel.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Reads [`Parts::bits`]. What a newer version says besides means all of them.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        if bits & !Self::ALL.0 == 0 {
            Self(bits)
        } else {
            Self::ALL
        }
    }
}

/// What a run of events of one room has touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The room.
    pub room_id: RoomId,
    /// The log's life, if it is known.
    pub epoch: Option<Epoch>,
    /// The first event of the run: of all from this one to the last it is said here what they touched.
    pub first: Seq,
    /// The last event of the run.
    pub seq: Seq,
    /// What besides the head.
    pub parts: Parts,
    /// Whose memberships.
    pub members: Vec<UserId>,
}

impl Touched {
    /// What one event has touched.
    #[must_use]
    pub fn by(event: &Event) -> Self {
        let mut members = Vec::new();
        let parts = match &event.body {
            // The root of a thread counts its replies.
            EventBody::Message { thread, .. } if thread.is_none() => Parts::NONE,
            EventBody::Custom { .. } => Parts::NONE,
            EventBody::Message { .. }
            | EventBody::Edit { .. }
            | EventBody::Delete { .. }
            | EventBody::Reaction { .. }
            | EventBody::Pin { .. } => Parts::EARLIER,
            EventBody::Membership { user_id, .. } => {
                members.push(*user_id);
                Parts::MEMBERS
            }
            EventBody::Room(_) => Parts::ROOM,
        };
        Self {
            room_id: event.room_id,
            epoch: Some(event.epoch),
            first: event.seq,
            seq: event.seq,
            parts,
            members,
        }
    }

    /// Whatever it was that happened up to `seq`, it may have touched everything.
    #[must_use]
    pub fn everything(room_id: RoomId, epoch: Option<Epoch>, seq: Seq) -> Self {
        Self {
            room_id,
            epoch,
            first: 0,
            seq,
            parts: Parts::ALL,
            members: Vec::new(),
        }
    }

    /// Takes in what another run of the room has touched. If they do not follow each other, only the
    /// later one's events are said to be told of; what both touched is.
    pub fn merge(&mut self, other: Self) {
        let (earlier_seq, first) = if other.first > self.first {
            (self.seq, other.first)
        } else {
            (other.seq, self.first)
        };
        let joins = first <= earlier_seq.saturating_add(1);
        self.first = if joins {
            self.first.min(other.first)
        } else {
            first
        };
        if other.epoch.is_some() && self.epoch != other.epoch {
            self.epoch = other.epoch;
        }
        self.seq = self.seq.max(other.seq);
        self.parts = self.parts.and(other.parts);
        for member in other.members {
            if !self.members.contains(&member) {
                self.members.push(member);
            }
        }
        if self.members.len() > MEMBERS_MAX {
            self.members.clear();
            self.parts = self.parts.and(Parts::MEMBERSHIPS);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::protocol::event::MembershipChange;
    use crate::protocol::id::EventId;

    fn event(seq: Seq, body: EventBody) -> Event {
        Event {
            room_id: RoomId(uuid::Uuid::nil()),
            epoch: Epoch(7),
            seq,
            id: EventId::generate(),
            user_id: UserId::generate(),
            created_at: Timestamp::UNIX_EPOCH,
            body,
        }
    }

    fn message(seq: Seq, thread: Option<EventId>) -> Event {
        let body = EventBody::Message {
            msg_no: seq,
            body: "hi".into(),
            client_id: "c".into(),
            thread,
            mentions: Box::default(),
            deleted: false,
        };
        event(seq, body)
    }

    fn joined(seq: Seq) -> Event {
        let body = EventBody::Membership {
            user_id: UserId::generate(),
            change: MembershipChange::Joined,
            role: None,
            until: None,
        };
        event(seq, body)
    }

    #[test]
    fn a_message_touches_the_head_alone_and_a_reply_its_root() {
        assert_eq!(Touched::by(&message(3, None)).parts, Parts::NONE);
        let reply = Touched::by(&message(3, Some(EventId::generate())));
        assert_eq!(reply.parts, Parts::EARLIER);
        let message_id = EventId::generate();
        let delete = Touched::by(&event(4, EventBody::Delete { message_id }));
        assert_eq!(delete.parts, Parts::EARLIER);
        let joined = Touched::by(&joined(5));
        assert_eq!((joined.parts, joined.members.len()), (Parts::MEMBERS, 1));
    }

    #[test]
    fn runs_that_follow_each_other_are_one_and_others_claim_only_the_later() {
        let mut run = Touched::by(&message(3, None));
        run.merge(Touched::by(&joined(4)));
        assert_eq!((run.first, run.seq, run.parts), (3, 4, Parts::MEMBERS));
        run.merge(Touched::by(&message(7, None)));
        assert_eq!((run.first, run.seq, run.parts), (7, 7, Parts::MEMBERS));
        run.merge(Touched::by(&message(6, None)));
        assert_eq!((run.first, run.seq), (6, 7));
    }

    #[test]
    fn too_many_members_mean_all() {
        let mut run = Touched::by(&joined(1));
        for seq in 2..100 {
            run.merge(Touched::by(&joined(seq)));
        }
        assert!(run.parts.has(Parts::MEMBERSHIPS));
        assert!(run.members.len() <= MEMBERS_MAX);
        assert_eq!((run.first, run.seq), (1, 99));
    }

    #[test]
    fn what_a_newer_version_says_means_all() {
        assert_eq!(Parts::from_bits(0x41), Parts::ALL);
        assert_eq!(Parts::from_bits(Parts::ROOM.bits()), Parts::ROOM);
    }
}
