//! Logs are dense, and every state is the fold of a log: what is stored beside it, what snapshots
//! show, and what a client has that applied the events that it observed to an old snapshot.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Case, Promise, Violation};
use crate::chaos::history::{ClientNo, RoomInfo, What, seq_of};
use crate::chaos::model::{Message, Model, Text, mentions};
use crate::chaos::stored::StoredRoom;

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (room, stored) in case.rooms() {
        let wrong = |promise, text: String| Violation::new(promise, text).within(&room.id);
        let numbers: Vec<u64> = stored.log.keys().copied().collect();
        if numbers != (stored.first_seq..=stored.last_seq).collect::<Vec<_>>() {
            let text = format!("{}..={}: {numbers:?}", stored.first_seq, stored.last_seq);
            violations.push(wrong(Promise::Dense, text));
        }
        let numbers: Vec<u64> = stored.state.messages.keys().copied().collect();
        if numbers != (1..=stored.last_msg_no).collect::<Vec<_>>() {
            let text = format!("messages up to {}: {numbers:?}", stored.last_msg_no);
            violations.push(wrong(Promise::Dense, text));
        }
        if stored.first_seq > 1 {
            // The beginning is gone: nothing can be folded.
            continue;
        }
        let folded = Model::fold(&room.owner_id, stored.log.values());
        let people = |model: &Model| {
            let Model {
                members,
                muted,
                banned,
                ..
            } = model;
            format!("members {members:?}, muted {muted:?}, banned {banned:?}")
        };
        let (found, expected) = (people(&stored.state), people(&folded));
        if found != expected {
            let text = format!("{found}; by the log {expected}");
            violations.push(wrong(Promise::StateIsFold, text));
        }
        if let Some((seq, text)) = difference(&folded.messages, &stored.state.messages) {
            violations.push(wrong(Promise::StateIsFold, text).seq(seq));
        }
        violations.extend(snapshots(case, room, stored));
        violations.extend(applied(case, room, stored, &folded));
    }
    violations
}

/// The first difference of two states of the same messages, with the message's place.
fn difference(
    expected: &BTreeMap<u64, Message>,
    found: &BTreeMap<u64, Message>,
) -> Option<(u64, String)> {
    let numbers = expected.keys().chain(found.keys());
    for number in numbers {
        let (expected, found) = (expected.get(number), found.get(number));
        let is_same = match (expected, found) {
            (Some(expected), Some(found)) => agree(expected, found),
            _ => false,
        };
        if !is_same {
            let seq = expected.or(found).map_or(0, |message| message.seq);
            let text = format!("message {number}: {found:?}, by the events {expected:?}");
            return Some((seq, text));
        }
    }
    None
}

/// Whether two messages are the same, where one of them may have been redacted since.
fn agree(expected: &Message, found: &Message) -> bool {
    let mut same = found.clone();
    if expected.text == Text::Redacted && !expected.is_deleted {
        same.text = Text::Redacted;
        same.mentions.clear();
    }
    same == *expected
}

/// Each page of the newest messages against the log as it was then.
fn snapshots(case: &Case<'_>, room: &RoomInfo, stored: &StoredRoom) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, record) in case.history.records.iter().enumerate() {
        let What::Snapshot { room: of, page } = &record.what else {
            continue;
        };
        if *of != room.id {
            continue;
        }
        let (shown, upto) = messages(page);
        let folded = Model::fold(&room.owner_id, stored.log.range(..=upto).map(|(_, it)| it));
        let first = shown.keys().next().copied();
        let newest = match first {
            Some(first) => folded.messages.range(first..),
            // An empty page says that there is none.
            None => folded.messages.range(..),
        };
        let membership = record.client.map(|it| case.membership(it, &room.id));
        // A page may be given to somebody whose membership ends with the last event that it has.
        let hidden = membership.as_ref().and_then(|it| it.last_floor(upto));
        let newest = newest
            .filter(|(_, it)| first.is_some() || it.seq > hidden.unwrap_or(0))
            .map(|(number, it)| (*number, it.clone()))
            .collect();
        // Who came back in between may still have been shown what they might see before.
        let hidden = membership.and_then(|it| it.lowest_floor(upto));
        if let (Some(hidden), Some(message)) = (hidden, shown.values().next())
            && message.seq <= hidden
        {
            let text = format!("the past is hidden up to {hidden}, and a page shows {message:?}");
            let violation = Violation::new(Promise::NoLeak, text).within(&room.id);
            let mut violation = violation.seq(message.seq).at(at);
            violation.client = record.client;
            violations.push(violation);
        }
        if let Some((seq, text)) = difference(&newest, &shown) {
            let text = format!("a page at {upto}: {text}");
            let violation = Violation::new(Promise::StateIsFold, text).within(&room.id);
            let mut violation = violation.seq(seq).at(at);
            violation.client = record.client;
            violations.push(violation);
        }
    }
    violations
}

/// Each client's first page with the events that it observed since, against the state in the end.
/// What a client was not told of, because it was no member or joined without a position, is a
/// hole in what it can apply: then nothing is said.
fn applied(case: &Case<'_>, room: &RoomInfo, stored: &StoredRoom, fresh: &Model) -> Vec<Violation> {
    let mut violations = Vec::new();
    for client in 0..case.history.clients.len() {
        let Some((at, page)) = first_page(case, client, &room.id) else {
            continue;
        };
        let (shown, upto) = messages(page);
        let mut events: BTreeMap<u64, &Value> = BTreeMap::new();
        for subscription in case.subscriptions() {
            if subscription.client == client && subscription.room == room.id {
                events.extend(subscription.seen.iter().map(|seen| (seen.seq, seen.push)));
            }
        }
        let later: Vec<&Value> = events.range(upto + 1..).map(|(_, push)| *push).collect();
        let missed = stored.last_seq.saturating_sub(upto);
        if later.len() as u64 != missed {
            continue;
        }
        let first = shown.keys().next().copied();
        let membership = case.membership(client, &room.id);
        // An empty page says that there was nothing that this client may see.
        let hidden = first.map_or_else(|| membership.at(upto), |_| None);
        let mut model = Model {
            messages: shown,
            ..Model::default()
        };
        for event in later {
            model.apply(event);
        }
        let fresh: BTreeMap<u64, Message> = (fresh.messages.range(first.unwrap_or(1)..))
            .filter(|(_, message)| message.seq > hidden.unwrap_or(0))
            .map(|(number, message)| (*number, message.clone()))
            .collect();
        if let Some((seq, text)) = difference(&fresh, &model.messages) {
            let text = format!("the page at {upto} and the events since: {text}");
            let violation = Violation::new(Promise::ApplyIsFresh, text).of(client);
            violations.push(violation.within(&room.id).seq(seq).at(at));
        }
    }
    violations
}

fn first_page<'a>(case: &Case<'a>, client: ClientNo, room: &str) -> Option<(usize, &'a Value)> {
    let mut records = case.history.records.iter().enumerate();
    records.find_map(|(at, record)| match &record.what {
        What::Snapshot { room: of, page } if of == room && record.client == Some(client) => {
            Some((at, page))
        }
        _ => None,
    })
}

/// The messages of a page, and the head at its moment.
fn messages(page: &Value) -> (BTreeMap<u64, Message>, u64) {
    let none = Vec::new();
    let views = page["messages"].as_array().unwrap_or(&none);
    let shown = views.iter().map(|view| {
        let text = |name: &str| view[name].as_str().unwrap_or_default().to_owned();
        let is_deleted = view["deleted"] == true || view["deleted_at"].is_string();
        let message = Message {
            seq: seq_of(view).unwrap_or_default(),
            id: text("id"),
            user_id: text("user_id"),
            text: if is_deleted {
                Text::Redacted
            } else {
                Text::of(view)
            },
            is_edited: view["edited_at"].is_string(),
            is_deleted,
            is_pinned: view["pinned_at"].is_string() || view["pinned"] == true,
            reactions: reactions(&view["reactions"]),
            thread: view["thread"].as_str().map(str::to_owned),
            replies: view["replies"].as_u64().unwrap_or_default(),
            mentions: mentions(view),
        };
        (view["msg_no"].as_u64().unwrap_or_default(), message)
    });
    let last_seq = page["last_seq"].as_u64().unwrap_or_default();
    (shown.collect(), last_seq)
}

/// Reactions of a message's view: each emoji with its users.
fn reactions(view: &Value) -> std::collections::BTreeSet<(String, String)> {
    let mut found = std::collections::BTreeSet::new();
    for reaction in view.as_array().into_iter().flatten() {
        let emoji = reaction["emoji"].as_str().unwrap_or_default();
        for user in reaction["users"].as_array().into_iter().flatten() {
            found.insert((
                emoji.to_owned(),
                user.as_str().unwrap_or_default().to_owned(),
            ));
        }
    }
    found
}
