//! Node against node: at one place of a room's log all of them have told the same event.
//!
//! That each tells them in the order of their places is what every subscription is judged by.

use std::collections::BTreeMap;

use super::{Case, Promise, Violation};
use crate::chaos::history::{What, room_of, seq_of};

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut nodes = BTreeMap::new();
    let mut told: BTreeMap<(&str, u64), (&str, String)> = BTreeMap::new();
    let mut violations = Vec::new();
    for (at, record) in case.history.records.iter().enumerate() {
        let Some(client) = record.client else {
            continue;
        };
        let connection = (client, record.connection);
        let push = match &record.what {
            What::Connected { node, .. } => {
                let name = node.map_or("behind nginx".to_owned(), |it| it.to_string());
                nodes.insert(connection, name);
                continue;
            }
            What::Observed { push } => push,
            _ => continue,
        };
        let (Some(room), Some(seq), Some(id)) = (room_of(push), seq_of(push), push["id"].as_str())
        else {
            continue;
        };
        let node = nodes.get(&connection).cloned().unwrap_or_default();
        let (first, by) = told.entry((room, seq)).or_insert((id, node.clone()));
        if *first != id {
            let text = format!("node {by} told {first} at {seq}, and node {node} told {id}");
            let violation = Violation::new(Promise::SameForAll, text);
            violations.push(violation.of(client).within(room).seq(seq).at(at));
        }
    }
    violations
}
