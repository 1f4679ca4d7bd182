//! One sender's publishes in a room keep the order in which they were first sent.
//!
//! Two things are not promised. What was refused for good is given up: if an attempt whose answer
//! was lost is carried out after all, it stands wherever it stands. And whoever sends B before
//! hearing that A failed may find B stored first: the hub fails what it *has* behind A, and cannot
//! know of what is still on its way to it. Only if B is acknowledged before A is refused has the
//! hub itself turned the order around.

use std::collections::BTreeMap;

use super::{Case, Promise, Violation};
use crate::chaos::history::{Answer, What, room_of};

/// A publish or durable emit, with all its attempts.
struct Sent<'a> {
    key: &'a str,
    /// Its place in the log; none if it is not stored.
    seq: Option<u64>,
    attempts: Vec<Attempt<'a>>,
}

struct Attempt<'a> {
    op: u64,
    asked_at: usize,
    answer: Option<(usize, &'a Answer)>,
}

pub(super) fn verdict(case: &Case<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for ((client, room), sent) in by_sender(case) {
        for (place, later) in sent.iter().enumerate() {
            let Some(seq) = later.seq else { continue };
            let overtaken = sent[..place].iter().find(|earlier| {
                earlier.seq.is_some_and(|before| before > seq)
                    && !is_given_up(earlier)
                    && !was_on_its_way(earlier, later)
            });
            if let Some(earlier) = overtaken {
                let (key, before) = (later.key, earlier.seq.unwrap_or_default());
                let text = format!(
                    "{} was sent before {key}; they are at {before} and {seq}",
                    earlier.key
                );
                let violation = Violation::new(Promise::SenderOrder, text).of(client);
                let at = later.attempts[0].asked_at;
                violations.push(violation.within(room).seq(seq).at(at));
            }
        }
    }
    violations
}

/// Whether it was refused for good.
fn is_given_up(sent: &Sent<'_>) -> bool {
    let says_no = |attempt: &Attempt<'_>| {
        matches!(
            attempt.answer,
            Some((_, Answer::Refused { retry: false, .. }))
        )
    };
    sent.attempts.iter().any(says_no)
}

/// Whether the later one was sent before its sender heard that the earlier one had failed, and was
/// not acknowledged before that.
fn was_on_its_way(earlier: &Sent<'_>, later: &Sent<'_>) -> bool {
    earlier.attempts.iter().any(|failed| {
        // A refusal may have been on its way when the connection broke.
        let Some((failed_at, Answer::Refused { .. } | Answer::Lost)) = failed.answer else {
            return false;
        };
        later.attempts.iter().any(|attempt| {
            (failed.asked_at..failed_at).contains(&attempt.asked_at)
                && attempt.answer.is_none_or(|(at, _)| at > failed_at)
        })
    })
}

/// What each client sent in each room, in the order of the first attempts.
fn by_sender<'a>(case: &Case<'a>) -> BTreeMap<(usize, &'a str), Vec<Sent<'a>>> {
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
    let mut senders: BTreeMap<(usize, &str), Vec<Sent<'a>>> = BTreeMap::new();
    for (at, record) in case.history.records.iter().enumerate() {
        let Some(client) = record.client else {
            continue;
        };
        match &record.what {
            What::Asked { op, cmd, fields } if matches!(*cmd, "publish" | "emit") => {
                let (Some(room), Some(key)) = (room_of(fields), fields["client_id"].as_str())
                else {
                    continue;
                };
                let user = case.history.clients[client].user_id.as_str();
                let attempt = Attempt {
                    op: *op,
                    asked_at: at,
                    answer: None,
                };
                let sent = senders.entry((client, room)).or_default();
                match sent.iter_mut().rev().find(|sent| sent.key == key) {
                    Some(again) => again.attempts.push(attempt),
                    None => sent.push(Sent {
                        key,
                        seq: places.get(&(room, user, key)).copied(),
                        attempts: vec![attempt],
                    }),
                }
            }
            What::Answered { op, answer } => {
                let of_client = senders.range_mut((client, "")..);
                let mut of_client = of_client.take_while(|((of, _), _)| *of == client);
                let attempt = of_client.find_map(|(_, sent)| {
                    let attempts = sent.iter_mut().rev().flat_map(|it| &mut it.attempts);
                    attempts.into_iter().find(|attempt| attempt.op == *op)
                });
                if let Some(attempt) = attempt {
                    attempt.answer = Some((at, answer));
                }
            }
            _ => {}
        }
    }
    senders
}
