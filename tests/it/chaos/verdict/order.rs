//! One sender's publishes in a room keep the order in which they were first sent.

use std::collections::BTreeMap;

use super::{Case, Promise, Violation};
use crate::chaos::history::{What, room_of};

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut places = BTreeMap::new();
    for (room, stored) in case.rooms() {
        for (seq, event) in &stored.log {
            if let (Some(user), Some(key)) =
                (event["user_id"].as_str(), event["client_id"].as_str())
            {
                places.entry((room.id.as_str(), user, key)).or_insert(*seq);
            }
        }
    }
    let mut last: BTreeMap<_, (u64, &str)> = BTreeMap::new();
    let mut begun = std::collections::BTreeSet::new();
    let mut violations = Vec::new();
    for (at, record) in case.history.records.iter().enumerate() {
        let (What::Asked { cmd, fields, .. }, Some(client)) = (&record.what, record.client) else {
            continue;
        };
        let (Some(room), Some(key)) = (room_of(fields), fields["client_id"].as_str()) else {
            continue;
        };
        let user = case.history.clients[client].user_id.as_str();
        if !matches!(*cmd, "publish" | "emit") || !begun.insert((room, user, key)) {
            continue;
        }
        let Some(seq) = places.get(&(room, user, key)) else {
            continue;
        };
        if let Some((before, earlier)) = last.insert((client, room), (*seq, key))
            && before > *seq
        {
            let text = format!("{earlier} was sent before {key}; they are at {before} and {seq}");
            let violation = Violation::new(Promise::SenderOrder, text);
            violations.push(violation.of(client).within(room).seq(*seq).at(at));
        }
    }
    violations
}
