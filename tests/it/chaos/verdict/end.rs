//! In the end, when nobody asks for anything any more, everybody has everything.

use super::{Case, Promise, Violation};
use crate::chaos::history::What;

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    // A run that was cut short has said so itself.
    let is_settled = (case.history.records.iter()).any(|it| it.what == What::Settled);
    if !is_settled {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (room, stored) in case.rooms() {
        for client in 0..case.history.clients.len() {
            let is_member = case
                .membership(client, &room.id)
                .at(stored.last_seq)
                .is_some();
            let last = case.subscriptions().iter().rev().find(|subscription| {
                subscription.client == client
                    && subscription.room == room.id
                    && subscription.ended_at.is_none()
            });
            let text = match last {
                None if is_member => "is a member, and has no subscription".to_owned(),
                // A later `join` was refused, which may have ended it before the membership ended.
                Some(last) if last.is_uncertain && !is_member => continue,
                Some(last) if last.position() < stored.last_seq => {
                    format!(
                        "has everything up to {} of {}",
                        last.position(),
                        stored.last_seq
                    )
                }
                _ => continue,
            };
            let violation = Violation::new(Promise::Complete, text);
            violations.push(violation.of(client).within(&room.id).seq(stored.last_seq));
        }
    }
    violations
}
