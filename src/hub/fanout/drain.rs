//! Telling a thread's connections to move, and closing them one after the other, so that they do
//! not all come to the next node at once.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Worker;
use super::table::{Attachment, ConnectionKey};
use crate::protocol::close::Disconnect;
use crate::protocol::push::Push;

/// A connection that has publishes on their way is closed when they are answered, or after this.
const ANSWERS: Duration = Duration::from_millis(crate::config::DRAIN_ANSWERS_MS);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Tells every connection of the thread, and closes them over the time given.
pub(super) fn start(worker: &Rc<Worker>, spread_ms: u64) {
    let connections: Vec<_> = worker.table.borrow().all().cloned().collect();
    tell_to_move(worker, &connections, spread_ms);
}

/// Tells these, and closes them over the time given.
pub(super) fn tell_to_move(worker: &Rc<Worker>, connections: &[Rc<Attachment>], spread_ms: u64) {
    let count = connections.len() as u64;
    let after_ms = move |place: usize| spread_ms * place as u64 / count.max(1);
    for (place, attachment) in connections.iter().enumerate() {
        let cursor = worker.table.borrow().cursor(attachment, None);
        attachment.push(&Push::Drain {
            after_ms: after_ms(place),
            cursor: &cursor.unwrap_or_default(),
        });
        attachment.outbox.flush();
    }
    let keys: Vec<_> = connections
        .iter()
        .map(|attachment| attachment.key)
        .collect();
    let worker = Rc::clone(worker);
    actix_rt::spawn(async move {
        let begun = Instant::now();
        let mut leaving = VecDeque::new();
        for (place, key) in keys.into_iter().enumerate() {
            let at = Duration::from_millis(after_ms(place));
            let wait = at.saturating_sub(begun.elapsed());
            // Even a sleep of nothing takes until the timer's next tick.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if let Some(attachment) = worker.table.borrow().get(key) {
                attachment.is_leaving.set(true);
            }
            leaving.push_back((key, Instant::now()));
            close_answered(&worker, &mut leaving);
        }
        while !leaving.is_empty() {
            tokio::time::sleep(LOOK).await;
            close_answered(&worker, &mut leaving);
        }
    });
}

/// Closes those that have all their answers. A connection that is leaving gives no new commands.
fn close_answered(worker: &Worker, leaving: &mut VecDeque<(ConnectionKey, Instant)>) {
    leaving.retain(|(key, since)| {
        let Some(attachment) = worker.table.borrow().get(*key) else {
            return false;
        };
        if attachment.inflight.get() > 0 && since.elapsed() < ANSWERS {
            return true;
        }
        worker.close(&attachment, Disconnect::Drain);
        false
    });
}
