//! Members who have not got everything because their outboxes were full: they are looked after for
//! as long as there are any.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::hub::encoded::SharedEvent;
use crate::hub::metrics::STRAGGLERS;
use crate::hub::room::Missed;
use crate::protocol::close::Disconnect;
use crate::protocol::id::RoomId;

/// How often it is looked whether they have room. What an outbox may hold for a replay in this time
/// is more than a network brings.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Worker {
    /// Asks rooms for what those lack who have room for it, and closes those who read too slowly.
    pub(super) fn look_after_stragglers(&self) {
        let look = self.table.borrow_mut().look_after_stragglers();
        for attachment in look.overdue {
            STRAGGLERS.with_label_values(&["closed"]).inc();
            self.close(&attachment, Disconnect::Slow);
        }
        for (room, standing) in look.asks {
            room.missed(Missed {
                fanout: self.fanout.clone(),
                standing,
                is_late: true,
            });
        }
    }

    /// A room says what its stragglers lack; none if the log does not have that any more.
    pub(super) fn bring_up(self: &Rc<Self>, room_id: RoomId, events: Option<&[Arc<SharedEvent>]>) {
        let Some(events) = events else {
            let stragglers = self.table.borrow().stragglers_of(room_id);
            for attachment in stragglers {
                STRAGGLERS.with_label_values(&["closed"]).inc();
                self.close(&attachment, Disconnect::Resync);
            }
            return;
        };
        let to_look_after = self.table.borrow_mut().bring_up(room_id, events);
        for attachment in to_look_after {
            self.note_closing(&attachment);
        }
    }
}
