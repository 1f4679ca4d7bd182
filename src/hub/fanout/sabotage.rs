//! Faults of the fan-out that no guard can notice, for tests that show that a client does: events
//! that are lost, doubled or out of order on the last step, into the outboxes.
//!
//! The action is `return`, for all connections of the thread in the room, or `return(one)`, for
//! one of them.

use std::cell::RefCell;
use std::sync::Arc;

use super::Worker;
use super::table::ConnectionKey;
use crate::hub::encoded::SharedEvent;

thread_local! {
    /// An event that comes after the next one of its room, and for whom.
    static HELD: RefCell<Option<(Arc<SharedEvent>, Option<ConnectionKey>)>> =
        const { RefCell::new(None) };
}

/// Whether a fault is asked for; if so, whether for one connection only.
fn asked(name: &str) -> Option<bool> {
    fail::eval(name, |argument| argument.as_deref() == Some("one"))
}

/// Carries out a fault with an event that is the next one, which counts as delivered then. None if
/// no fault is asked for.
pub(super) fn take(worker: &Worker, event: &Arc<SharedEvent>) -> Option<bool> {
    let (room_id, seq) = (event.event.room_id, event.event.seq);
    let standing = worker.table.borrow().standing(room_id).map(|it| it.1)?;
    let is_next = standing.epoch == event.event.epoch && standing.position + 1 == seq;
    (is_next && deliver(worker, event)).then(|| {
        worker.table.borrow_mut().stand_at(room_id, seq);
        true
    })
}

/// Carries out a fault. False if none is asked for.
fn deliver(worker: &Worker, event: &Arc<SharedEvent>) -> bool {
    let held = HELD.with_borrow_mut(|held| {
        held.take_if(|(held, _)| held.event.room_id == event.event.room_id)
    });
    if let Some((held, only)) = held {
        push(worker, event, None, None);
        push(worker, &held, None, only);
        return true;
    }
    let first = || {
        let table = worker.table.borrow();
        let connections = table.in_room(event.event.room_id, |_| true);
        connections.first().map(|attachment| attachment.key)
    };
    if let Some(is_one) = asked("hub.fanout.lose") {
        if is_one {
            push(worker, event, first(), None);
        }
        return true;
    }
    if let Some(is_one) = asked("hub.fanout.double") {
        push(worker, event, None, None);
        push(worker, event, None, first().filter(|_| is_one));
        return true;
    }
    if let Some(is_one) = asked("hub.fanout.swap") {
        let only = first().filter(|_| is_one);
        if only.is_some() {
            push(worker, event, only, None);
        }
        HELD.replace(Some((Arc::clone(event), only)));
        return true;
    }
    false
}

/// To everyone in the room, or all but one, or one.
fn push(
    worker: &Worker,
    event: &Arc<SharedEvent>,
    except: Option<ConnectionKey>,
    only: Option<ConnectionKey>,
) {
    let mut table = worker.table.borrow_mut();
    match only {
        None => table.deliver_anyway(event, except),
        Some(only) => {
            if let Some(attachment) = table.get(only) {
                table.catch_up_in(&attachment, event.event.room_id);
                attachment.push_event(&table, event);
                table.mark(&attachment);
            }
        }
    }
}
