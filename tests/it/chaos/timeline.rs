//! What to show of a violation, so that a person can see what happened.

use std::fmt::Write as _;

use serde_json::Value;

use super::history::{Answer, History, Record, What, room_of, seq_of};
use super::verdict::Violation;

/// Violations that are told in full; the others are only counted.
const TOLD: usize = 4;

/// Lines of each.
const LINES: usize = 60;

/// Events of the room that are shown before and after the one that it is about.
const AROUND: u64 = 2;

/// Longest text of a value.
const VALUE_CHARS: usize = 220;

/// All of them, with what surrounds them. `log` is the node's.
pub(super) fn story(history: &History, violations: &[Violation], log: &str) -> String {
    let mut story = String::new();
    if violations.is_empty() {
        return story;
    }
    let seed = history.seed;
    let _ = writeln!(story, "seed {seed}: {} violations", violations.len());
    for violation in violations.iter().take(TOLD) {
        tell(&mut story, history, violation);
    }
    for violation in violations.iter().skip(TOLD).take(20) {
        let _ = writeln!(
            story,
            "  also {:?}: {}",
            violation.promise,
            short(&violation.text)
        );
    }
    let _ = writeln!(story, "  the node said, at last:");
    let lines: Vec<&str> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(25)..] {
        let _ = writeln!(story, "    {}", short(line));
    }
    let _ = writeln!(story, "replay it with HUBBUB_CHAOS_SEED={seed}");
    story
}

fn tell(story: &mut String, history: &History, violation: &Violation) {
    let client = violation
        .client
        .map_or("nobody in particular".to_owned(), |no| {
            format!("client {no} ({})", history.clients[no].name)
        });
    let room = (history.rooms.iter()).find(|room| Some(&room.id) == violation.room.as_ref());
    let room = room.map_or("no room", |room| room.name.as_str());
    let _ = writeln!(
        story,
        "\n{:?} broken for {client} in {room} at {:?}: {}",
        violation.promise,
        violation.seq,
        short(&violation.text)
    );
    let relevant: Vec<usize> = (history.records.iter().enumerate())
        .filter(|(_, record)| is_relevant(history, record, violation))
        .map(|(at, _)| at)
        .collect();
    // Those nearest to where it shows.
    let center = violation.at.unwrap_or(history.records.len());
    let place = relevant.partition_point(|at| *at < center);
    let from = place.saturating_sub(LINES * 3 / 4);
    if from > 0 {
        let _ = writeln!(story, "    … {from} records before");
    }
    for at in relevant.iter().skip(from).take(LINES) {
        let mark = if Some(*at) == violation.at {
            ">>>"
        } else {
            "   "
        };
        let _ = writeln!(story, "{mark} {}", line(history, *at));
    }
}

/// Whether a record says something about a violation.
fn is_relevant(history: &History, record: &Record, violation: &Violation) -> bool {
    let is_theirs = violation.client.is_none() || record.client == violation.client;
    let near = |seq: Option<u64>| match (seq, violation.seq) {
        (Some(seq), Some(about)) => seq.abs_diff(about) <= AROUND,
        _ => false,
    };
    let is_here = |room: Option<&str>| room == violation.room.as_deref();
    match &record.what {
        What::Fault { .. } | What::Settled => true,
        What::Connected { .. } | What::Ended { .. } => is_theirs && violation.client.is_some(),
        What::Observed { push } => {
            is_here(room_of(push))
                && (near(seq_of(push)) || (is_theirs && push["push"] == "removed"))
        }
        What::Asked { cmd, fields, .. } => {
            is_here(room_of(fields))
                && (is_theirs && matches!(*cmd, "join" | "leave") || cmd.starts_with("members"))
        }
        What::Answered { op, answer } => match answer {
            Answer::Done(ok) if near(seq_of(ok)) => {
                asked(history, *op).is_some_and(|fields| is_here(room_of(fields)))
            }
            _ => {
                is_theirs
                    && asked(history, *op).is_some_and(|it| is_here(room_of(it)))
                    && is_join(history, *op)
            }
        },
        What::Snapshot { room, .. } => is_theirs && is_here(Some(room)),
    }
}

fn asked(history: &History, op: u64) -> Option<&Value> {
    history
        .records
        .iter()
        .find_map(|record| match &record.what {
            What::Asked { op: of, fields, .. } if *of == op => Some(fields),
            _ => None,
        })
}

fn is_join(history: &History, op: u64) -> bool {
    history.records.iter().any(|record| {
        matches!(&record.what, What::Asked { op: of, cmd, .. }
            if *of == op && (matches!(*cmd, "join" | "leave") || cmd.starts_with("members")))
    })
}

fn line(history: &History, at: usize) -> String {
    let record = &history.records[at];
    let who = match record.client {
        Some(no) => format!(
            "client {no} ({}) #{}",
            history.clients[no].name, record.connection
        ),
        None => "---".to_owned(),
    };
    let what = match &record.what {
        What::Connected { protocol } => format!("connected by {protocol}"),
        What::Ended { why } => format!("ended: {why}"),
        What::Asked { op, cmd, fields } => format!("asked [{op}] {cmd} {}", value(fields)),
        What::Answered { op, answer } => match answer {
            Answer::Done(ok) => format!("was told [{op}] ok {}", value(ok)),
            Answer::Refused { code, .. } => format!("was told [{op}] no: {code}"),
            Answer::Lost => format!("never heard of [{op}]"),
        },
        What::Observed { push } => format!("observed {}", value(push)),
        What::Snapshot { page, .. } => format!("read a page at {}", page["last_seq"]),
        What::Fault { what } => what.clone(),
        What::Settled => "at rest".to_owned(),
    };
    format!("{at:>6} {:>5} ms  {who:<20} {what}", record.at_ms)
}

fn value(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("room");
        fields.remove("created_at");
        fields.remove("cursor");
    }
    short(&value.to_string())
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(VALUE_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
