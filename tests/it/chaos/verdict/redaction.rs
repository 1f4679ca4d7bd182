//! What was deleted leaves the log and the rooms' memory: no replay hands it out.

use std::collections::BTreeMap;

use super::{Case, Promise, Violation};
use crate::chaos::history::{What, room_of};
use crate::chaos::model::Text;

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    // When somebody first knew of each deletion: then it had been delivered.
    let mut known: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (at, record) in case.history.records.iter().enumerate() {
        if let What::Observed { push } = &record.what
            && push["push"] == "message.delete"
            && let (Some(room), Some(message)) = (room_of(push), push["message_id"].as_str())
        {
            known.entry((room, message)).or_insert(at);
        }
    }
    let mut violations = Vec::new();
    for subscription in case.subscriptions() {
        for seen in &subscription.seen {
            let id = match seen.push["push"].as_str() {
                Some("message") => &seen.push["id"],
                Some("message.edit") => &seen.push["message_id"],
                _ => continue,
            };
            let id = id.as_str().unwrap_or_default();
            let deleted_at = known.get(&(subscription.room.as_str(), id));
            if deleted_at.is_some_and(|at| *at < subscription.asked_at)
                && matches!(Text::of(seen.push), Text::Is(_))
            {
                let text = format!("the message was deleted, and {} was told", seen.push);
                let violation = Violation::new(Promise::Redacted, text).of(subscription.client);
                violations.push(
                    violation
                        .within(&subscription.room)
                        .seq(seen.seq)
                        .at(seen.at),
                );
            }
        }
    }
    violations
}
