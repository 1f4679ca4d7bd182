//! What the cache is told, by whoever sees to it that all is.

use std::sync::atomic::Ordering;

use super::metrics::{FEED_BREAKS, INVALIDATIONS, ROOMS};
use super::version::Version;
use super::{Cache, Inner};
use crate::protocol::id::{RoomId, UserId};
use crate::protocol::touched::{Parts, Touched};
use crate::store::room_events::Head;

impl Cache {
    /// This node has committed events that touched these rooms: what the nodes share is its to keep
    /// right.
    pub fn committed(&self, rooms: &[Touched]) {
        self.touched(rooms);
        let Some(shared) = &self.inner.shared else {
            return;
        };
        for touched in rooms {
            if let (true, Some(epoch)) = (touched.parts.has(Parts::EARLIER), touched.epoch) {
                shared.forget(touched.room_id, Version::new(epoch, touched.seq));
            }
        }
    }

    /// Events have touched these rooms.
    pub fn touched(&self, rooms: &[Touched]) {
        let inner = &self.inner;
        for touched in rooms {
            let is_followed = inner.ledger.write().touched(touched);
            if is_followed {
                INVALIDATIONS.with_label_values(&["room"]).inc();
                // What was deleted must not stay in memory either.
                if touched.parts.has(Parts::EARLIER) {
                    inner.sweep(touched.room_id);
                }
            }
        }
    }

    /// Something may have happened in these rooms.
    pub fn doubtful(&self, rooms: &[RoomId]) {
        for &room in rooms {
            INVALIDATIONS.with_label_values(&["doubt"]).inc();
            self.inner.ledger.write().doubtful(room);
            self.inner.sweep(room);
        }
    }

    /// Something has changed of a user.
    pub fn user_changed(&self, user: UserId) {
        INVALIDATIONS.with_label_values(&["user"]).inc();
        self.inner.ledger.write().user_changed(user);
    }

    /// There are users who were not there before.
    pub fn users_added(&self) {
        INVALIDATIONS.with_label_values(&["users_added"]).inc();
        self.inner.ledger.write().users_added();
    }

    /// An operator wants all of this room to be read again; none: everything.
    pub fn drop_copies(&self, room: Option<RoomId>) {
        if let Some(room) = room {
            self.inner.ledger.write().doubtful(room);
            self.inner.sweep(room);
        } else {
            self.inner.ledger.write().lose();
            self.inner.local.clear();
        }
        INVALIDATIONS.with_label_values(&["order"]).inc();
    }

    /// What happened lately may not have been told: no copy of before counts. They stay for when the
    /// database cannot be asked.
    pub fn lost(&self, why: &'static str) {
        FEED_BREAKS.with_label_values(&[why]).inc();
        self.inner.ledger.write().lose();
    }

    /// The rooms that there are copies of, and up to which event of each all that was touched is known.
    #[must_use]
    pub fn followed(&self) -> Vec<Head> {
        let inner = &self.inner;
        let mut ledger = inner.ledger.write();
        let ends = ledger.followed(inner.now_ms(), inner.settings.idle_ms);
        ROOMS.set(i64::try_from(ledger.rooms()).unwrap_or(i64::MAX));
        drop(ledger);
        inner.local.size();
        let head = |(room_id, version): (RoomId, Version)| Head {
            room_id,
            epoch: version.epoch,
            last_seq: version.seq,
        };
        ends.into_iter().map(head).collect()
    }

    /// All of those have been compared; these logs end elsewhere.
    pub fn compared(&self, others: &[Head]) {
        let inner = &self.inner;
        for other in others {
            let found = Version::new(other.epoch, other.last_seq);
            let is_news = inner.ledger.write().compared(other.room_id, found);
            if is_news {
                INVALIDATIONS.with_label_values(&["compared"]).inc();
                inner.sweep(other.room_id);
            }
        }
        inner.compared_ms.store(inner.now_ms(), Ordering::Relaxed);
    }
}

impl Inner {
    /// Takes out what does not hold of a room's copies.
    fn sweep(&self, room: RoomId) {
        self.local.sweep(room, |copy| {
            let ledger = self.ledger.read();
            ledger.holds_of_what_was_told(&copy.tags, copy.began, copy.version)
        });
    }
}
