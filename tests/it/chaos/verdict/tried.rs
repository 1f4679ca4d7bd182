//! A run in which nothing was done proves nothing.

use std::collections::BTreeSet;

use super::{Case, Promise, Violation};
use crate::chaos::history::What;

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let history = case.history;
    let mut struck = BTreeSet::new();
    let mut acks = 0;
    for record in &history.records {
        match &record.what {
            What::Struck { strike, .. } => drop(struck.insert(*strike)),
            What::Answered { answer, .. } if answer.is_of_an_event() => acks += 1,
            _ => {}
        }
    }
    let mut violations = Vec::new();
    for (strike, kind) in history.strikes.iter().enumerate() {
        if !struck.contains(&strike) {
            let text = format!("fault {strike} ({kind}) was planned and never came");
            violations.push(Violation::new(Promise::Tried, text));
        }
    }
    if acks < history.acks_min {
        let text = format!("{acks} events were acknowledged, of {}", history.acks_min);
        violations.push(Violation::new(Promise::Tried, text));
    }
    violations
}
