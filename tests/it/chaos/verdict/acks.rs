//! Acks against the log: nothing acknowledged is lost, nothing is stored twice or unasked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Case, Promise, Violation};
use crate::chaos::history::{Answer, ClientNo, What, room_of};

/// What was sent under one key, over all attempts.
#[derive(Default)]
struct Sent<'a> {
    client: ClientNo,
    cmd: &'static str,
    fields: Option<&'a Value>,
    attempts: usize,
    answers: Vec<(usize, &'a Answer)>,
}

impl Sent<'_> {
    /// Whether every attempt was answered, and each with "nothing was stored".
    fn is_refused(&self) -> bool {
        let says_no =
            |answer: &Answer| matches!(answer, Answer::Refused { .. }) && !answer.is_unsure();
        self.answers.len() == self.attempts && self.answers.iter().all(|(_, it)| says_no(it))
    }
}

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let sent = sent(case);
    let mut violations = Vec::new();
    for (room, stored) in case.rooms() {
        let mut found: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
        for (seq, event) in &stored.log {
            // A redacted event has lost its key, too.
            if let Some(key) = event["client_id"].as_str()
                && event["deleted"] != true
            {
                let user = event["user_id"].as_str().unwrap_or_default();
                found.entry((user, key)).or_default().push(*seq);
            }
        }
        for ((user, key), places) in &found {
            let violation = |promise, text| {
                Violation::new(promise, text)
                    .within(&room.id)
                    .seq(places[0])
            };
            if places.len() > 1 {
                let text = format!("key {key} is stored {} times: {places:?}", places.len());
                violations.push(violation(Promise::StoredOnce, text));
            }
            let Some(sent) = sent.get(&(room.id.as_str(), *user, *key)) else {
                let text = format!("key {key} of {user} was never sent");
                violations.push(violation(Promise::StoredWasSent, text));
                continue;
            };
            if sent.is_refused() {
                let text = format!("key {key} was refused each time, and is stored");
                violations.push(violation(Promise::StoredOnce, text).of(sent.client));
            }
            let event = &stored.log[&places[0]];
            if let Some(fields) = sent.fields
                && !says_the_same(sent.cmd, fields, event)
            {
                let text = format!("key {key} was sent as {fields}, and is stored as {event}");
                violations.push(violation(Promise::StoredWasSent, text).of(sent.client));
            }
        }
    }
    violations.extend(acked_is_stored(case));
    violations
}

/// Commands with a key, by room, user and key.
fn sent<'a>(case: &Case<'a>) -> BTreeMap<(&'a str, &'a str, &'a str), Sent<'a>> {
    let history = case.history;
    let mut sent: BTreeMap<_, Sent<'a>> = BTreeMap::new();
    let mut by_op = BTreeMap::new();
    for (at, record) in history.records.iter().enumerate() {
        let Some(client) = record.client else {
            continue;
        };
        match &record.what {
            What::Asked { op, cmd, fields } => {
                if let (Some(room), Some(key)) = (room_of(fields), fields["client_id"].as_str()) {
                    let key = (room, history.clients[client].user_id.as_str(), key);
                    by_op.insert(*op, key);
                    let entry = sent.entry(key).or_default();
                    (entry.client, entry.cmd) = (client, cmd);
                    entry.fields = Some(fields);
                    entry.attempts += 1;
                }
            }
            What::Answered { op, answer } => {
                if let Some(entry) = by_op.get(op).and_then(|key| sent.get_mut(key)) {
                    entry.answers.push((at, answer));
                }
            }
            _ => {}
        }
    }
    sent
}

/// Each ack's place in the log, and what is there.
fn acked_is_stored(case: &Case<'_>) -> Vec<Violation> {
    let history = case.history;
    let mut asked = BTreeMap::new();
    let mut violations = Vec::new();
    for (at, record) in history.records.iter().enumerate() {
        let (op, ok) = match &record.what {
            What::Asked { op, cmd, fields } => {
                asked.insert(*op, (*cmd, fields));
                continue;
            }
            What::Answered {
                op,
                answer: Answer::Done(ok),
            } => (op, ok),
            _ => continue,
        };
        let (Some((cmd, fields)), Some(client)) = (asked.get(op), record.client) else {
            continue;
        };
        // Only events have both; what changed nothing has neither.
        let (Some(seq), Some(id), Some(room)) =
            (ok["seq"].as_u64(), ok["id"].as_str(), room_of(fields))
        else {
            continue;
        };
        let event = case.stored.get(room).and_then(|room| {
            // What retention has removed was there.
            (seq >= room.first_seq).then(|| room.log.get(&seq))
        });
        let text = match event {
            Some(None) => {
                format!("`{cmd}` was acknowledged as {ok}, and the log has no such event")
            }
            Some(Some(event))
                if event["id"] != id
                    || event["user_id"] != history.clients[client].user_id
                    || !says_the_same(cmd, fields, event) =>
            {
                format!("`{cmd}` {fields} was acknowledged as {ok}, and the log has {event}")
            }
            None | Some(Some(_)) => continue,
        };
        let violation = Violation::new(Promise::AckedIsStored, text);
        violations.push(violation.of(client).within(room).seq(seq).at(at));
    }
    violations
}

/// Whether an event is what the command asked for. A redacted one no longer tells.
fn says_the_same(cmd: &str, fields: &Value, event: &Value) -> bool {
    let same = |names: &[&str]| names.iter().all(|name| event[*name] == fields[*name]);
    let is_redacted = event["deleted"] == true;
    match cmd {
        "publish" => {
            let is_same = is_redacted
                || (same(&["body", "encoding", "client_id"])
                    && users(&event["mentions"]) == users(&fields["mentions"]));
            event["push"] == "message" && same(&["thread"]) && is_same
        }
        "emit" => event["push"] == "event" && same(&["name", "data"]),
        "message.edit" => {
            event["push"] == cmd
                && event["message_id"] == fields["message_id"]
                && (is_redacted || same(&["body", "encoding"]))
        }
        "message.delete" => event["push"] == cmd && event["message_id"] == fields["message_id"],
        "message.react" => {
            event["push"] == cmd
                && event["message_id"] == fields["message_id"]
                && event["removed"] == fields["remove"]
                && same(&["emoji"])
        }
        "message.pin" => {
            event["push"] == cmd && event["message_id"] == fields["message_id"] && same(&["pinned"])
        }
        _ => true,
    }
}

/// A list of users' ids; none is an empty one.
fn users(list: &Value) -> BTreeSet<&str> {
    let users = list.as_array().into_iter().flatten();
    users.filter_map(Value::as_str).collect()
}
