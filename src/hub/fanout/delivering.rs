//! What a thread does with an event besides giving it to the room's connections.

use std::rc::Rc;
use std::sync::Arc;

use super::Worker;
use crate::fault;
use crate::hub::encoded::SharedEvent;
use crate::protocol::event::{EventBody, MembershipChange};

/// Until when somebody is muted of whom no end is said.
const FOREVER: jiff::Timestamp = jiff::Timestamp::MAX;

/// Takes an event if it is the next one, and does what it says of a member.
pub(super) fn deliver(worker: &Rc<Worker>, event: &Arc<SharedEvent>) {
    fault::point!("hub.fanout.deliver", ());
    if !worker.take(event) {
        return;
    }
    if let EventBody::Membership {
        user_id,
        change,
        until,
        ..
    } = &event.event.body
    {
        let room_id = event.event.room_id;
        let mut table = worker.table.borrow_mut();
        match change {
            MembershipChange::Muted => table.mute(room_id, *user_id, until.unwrap_or(FOREVER)),
            MembershipChange::Unmuted => table.unmute(room_id, *user_id),
            change if change.ends_membership() => {
                table.unmute(room_id, *user_id);
                drop(table);
                worker.evict(room_id, *user_id);
            }
            _ => {}
        }
    }
}
