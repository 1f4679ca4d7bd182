//! What a thread does when an actor that it stands with has been recreated, or when a room's
//! events do not come in their turn.

use std::rc::Rc;
use std::sync::Arc;

use super::Worker;
use super::table::{Attachment, Turn};
use crate::hub::encoded::SharedEvent;
use crate::hub::metrics::{ACTORS_DOWN, OUT_OF_TURN};
use crate::hub::presence::Generation;
use crate::hub::room::{Adopt, Missed, RoomHandle, Standing};
use crate::protocol::id::RoomId;

impl Worker {
    /// Takes an event for its room's connections if it is the next one. If it is not, they do not
    /// get it, and what they lack is asked for.
    pub(super) fn take(&self, event: &Arc<SharedEvent>) -> bool {
        #[cfg(feature = "failpoints")]
        if let Some(is_taken) = super::sabotage::take(self, event) {
            return is_taken;
        }
        let room_id = event.event.room_id;
        let turn = self.table.borrow_mut().deliver(event);
        let kind = match turn {
            Turn::Next => return true,
            Turn::Nobody => return false,
            Turn::Known => "known",
            Turn::Hole => {
                self.ask_for_missing(room_id);
                "hole"
            }
            Turn::Full => "full",
            Turn::OtherEpoch => {
                self.resync(room_id);
                "epoch"
            }
        };
        OUT_OF_TURN.with_label_values(&[kind]).inc();
        false
    }

    /// Has the room send what its connections here lack.
    pub(super) fn ask_for_missing(&self, room_id: RoomId) {
        let now = self.now();
        if let Some((room, standing)) = self.table.borrow_mut().ask(room_id, now) {
            room.missed(Missed {
                fanout: self.fanout.clone(),
                standing,
                is_late: false,
            });
        }
    }

    /// A page of what a room's connections lack has come: asks for what follows it, unless too
    /// much is pending, which asks when it has been written.
    pub(super) fn ask_on(&self, room_id: RoomId) {
        let is_behind = self.table.borrow().is_behind(room_id);
        if is_behind {
            self.ask_for_missing(room_id);
        }
    }

    /// Asks for the last events of rooms if they have not come: no later one shows the hole.
    pub(super) fn look_behind(&self) {
        let behind = self.table.borrow_mut().behind();
        for room_id in behind {
            OUT_OF_TURN.with_label_values(&["behind"]).inc();
            self.ask_for_missing(room_id);
        }
    }

    /// A room has a new actor, which is told who is here and what they have.
    pub(super) fn recreated(&self, room: &RoomHandle) {
        let adopted = self.table.borrow_mut().adopt(room);
        if let Some((count, standing)) = adopted {
            room.adopt(Adopt {
                fanout: self.fanout.clone(),
                count,
                standing,
            });
        }
    }

    /// Whether a join that begins there can begin now. Those who are in the room already share
    /// one position: if it is another one, the join has to be asked for again.
    pub(super) fn can_begin(&self, room: &RoomHandle, begins: Standing) -> bool {
        let room_id = room.id();
        let known = {
            let table = self.table.borrow();
            let known = table.standing(room_id);
            known.map(|(known, standing)| (known.is_same(room), standing))
        };
        let Some((is_same, standing)) = known else {
            return true;
        };
        if !is_same || standing.epoch != begins.epoch {
            // They belong to an actor that was lost or to another log, and what that had not
            // delivered to them is lost with it.
            self.resync(room_id);
            return true;
        }
        if standing.position == begins.position {
            return true;
        }
        OUT_OF_TURN.with_label_values(&["late"]).inc();
        if standing.position < begins.position {
            self.ask_for_missing(room_id);
        }
        false
    }

    /// A presence shard wants to know who is here, for its next generation.
    pub(super) fn reannounce(&self, shard: usize, generation: Generation) {
        let presence = self.hub.presence_shards();
        let is_new = {
            let mut announced = self.announced.borrow_mut();
            let known = announced.get_mut(shard);
            known.is_some_and(|known| std::mem::replace(known, generation.max(*known)) < generation)
        };
        // A thread that has announced itself already says so all the same: it is waited for.
        let present = if is_new {
            let is_of_shard = |room| presence.shard_of(room) == shard;
            self.table.borrow().present(is_of_shard)
        } else {
            Vec::new()
        };
        presence.announce(shard, generation, self.fanout.id(), present);
    }

    /// After a panic nobody would deliver to these connections or time them out. They are gone
    /// from rooms and presence at once; they reconnect and resume with the fan-out that the next
    /// connection starts.
    pub(super) fn give_up(self: &Rc<Self>) {
        ACTORS_DOWN.with_label_values(&["fanout"]).inc();
        tracing::error!(worker = self.fanout.id(), "an actor panicked");
        let worker = Rc::clone(self);
        // Not while the panic unwinds: a second one would end the process.
        actix_rt::spawn(async move {
            let connections: Vec<_> = worker.table.borrow().all().cloned().collect();
            for attachment in connections {
                attachment.joining.take();
                attachment.outbox.shut();
                worker.detach(&attachment);
            }
        });
    }
}

/// Whether a connection can be given all of a replay now.
pub(super) fn takes_at_once(attachment: &Attachment, replay: &[Arc<SharedEvent>]) -> bool {
    let bytes = attachment.replay_bytes(replay);
    replay.len() <= 1 || attachment.outbox.has_room_for_all(bytes)
}
