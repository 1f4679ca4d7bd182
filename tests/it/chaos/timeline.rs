//! What to show of a violation, so that a person can see what happened.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::Value;

use super::history::{Answer, History, Record, What, room_of, seq_of};
use super::verdict::{Promise, Violation};

/// Violations that are told in full; the others are only counted.
const TOLD: usize = 4;

/// Lines of each.
const LINES: usize = 60;

/// Lines of each node's log.
const LOG_LINES: usize = 25;

/// Events of the room that are shown before and after the one that it is about.
const AROUND: u64 = 1;

/// Longest text of a value.
const VALUE_CHARS: usize = 220;

/// All of them, with what surrounds them. `logs` are the nodes'.
pub(super) fn story(history: &History, violations: &[Violation], logs: &[String]) -> String {
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
    let _ = writeln!(story, "  refusals: {:?}", refusals(history));
    for (node, log) in logs.iter().enumerate() {
        let _ = writeln!(story, "  node {node} said, at last:");
        // Neither backtraces, which have no time, nor slowness, which is no news here.
        let is_told = |line: &&str| line.starts_with("20") && !line.contains("slow query");
        let lines = log.lines().filter(is_told);
        let lines: Vec<&str> = lines.collect();
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            let _ = writeln!(story, "    {}", short(line));
        }
    }
    let _ = writeln!(story, "replay it with HUBBUB_CHAOS_SEED={seed}");
    story
}

/// How often commands were refused, and why.
fn refusals(history: &History) -> BTreeMap<(&str, &str), u64> {
    let asked = asked(history);
    let mut refusals = BTreeMap::new();
    for record in &history.records {
        if let What::Answered {
            op,
            answer: Answer::Refused { code, .. },
        } = &record.what
        {
            let cmd = asked.get(op).map_or("", |(cmd, _)| cmd);
            *refusals.entry((cmd, code.as_str())).or_default() += 1;
        }
    }
    refusals
}

/// What is broken, for whom and where, in a line.
pub(super) fn headline(history: &History, violation: &Violation) -> String {
    let client = violation
        .client
        .map_or("nobody in particular".to_owned(), |no| {
            format!("client {no} ({})", history.clients[no].name)
        });
    let room = (history.rooms.iter()).find(|room| Some(&room.id) == violation.room.as_ref());
    let room = room.map_or("no room", |room| room.name.as_str());
    let at = violation
        .seq
        .map_or(String::new(), |seq| format!(" at {seq}"));
    let (promise, text) = (violation.promise, short(&violation.text));
    format!("{promise:?} broken for {client} in {room}{at}: {text}")
}

fn tell(story: &mut String, history: &History, violation: &Violation) {
    let _ = writeln!(story, "\n{}", headline(history, violation));
    let asked = asked(history);
    let relevant: Vec<usize> = (history.records.iter().enumerate())
        .filter(|(_, record)| is_relevant(history, &asked, record, violation))
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

/// Commands by their numbers.
type Asked<'a> = HashMap<u64, (&'static str, &'a Value)>;

fn asked(history: &History) -> Asked<'_> {
    let asked = history
        .records
        .iter()
        .filter_map(|record| match &record.what {
            What::Asked { op, cmd, fields } => Some((*op, (*cmd, fields))),
            _ => None,
        });
    asked.collect()
}

/// Whether a record says something about a violation.
fn is_relevant(
    history: &History,
    asked: &Asked<'_>,
    record: &Record,
    violation: &Violation,
) -> bool {
    let is_theirs = violation.client.is_none() || record.client == violation.client;
    if violation.room.is_none() && record.client.is_some() {
        // Somebody is stuck: what they asked and were told says in what.
        let is_push = matches!(record.what, What::Observed { .. });
        return violation.client.is_some() && is_theirs && !is_push;
    }
    let near = |seq: Option<u64>| match (seq, violation.seq) {
        (Some(seq), Some(about)) => seq.abs_diff(about) <= AROUND,
        _ => false,
    };
    let is_here = |room: Option<&str>| room == violation.room.as_deref();
    let is_named = |fields: &Value| {
        let user = violation
            .client
            .map(|no| history.clients[no].user_id.as_str());
        let is_user = user.is_some() && fields["user_id"].as_str() == user;
        is_user
            || fields["client_id"].as_str().is_some_and(|key| {
                let mut words = violation.text.split([' ', ',', ';', ':']);
                words.any(|word| word == key)
            })
    };
    match &record.what {
        What::Struck { .. } | What::Fault { .. } | What::Mended | What::Calm | What::Settled => {
            true
        }
        What::Told { room, .. } => is_about_presence(violation) && is_here(Some(room)),
        What::Connected { .. } | What::Ended { .. } => is_theirs && violation.client.is_some(),
        What::Observed { push } => {
            let is_presence = push["push"] == "presence" && is_about_presence(violation);
            is_here(room_of(push))
                && (near(seq_of(push))
                    || (is_theirs
                        && (is_presence || push["push"] == "removed" || push["push"] == "resumed")))
        }
        What::Asked { cmd: "resume", .. } => is_theirs,
        What::Asked { cmd, fields, .. } => {
            let is_presence = *cmd == "presence" && is_theirs && is_about_presence(violation);
            is_here(room_of(fields))
                && (is_presence || is_named(fields) || is_about(cmd, is_theirs))
        }
        What::Answered { op, answer } => asked.get(op).is_some_and(|(cmd, fields)| {
            let is_near = matches!(answer, Answer::Done(ok) if near(seq_of(ok)));
            let is_presence = *cmd == "presence" && is_theirs && is_about_presence(violation);
            (*cmd == "resume" && is_theirs)
                || is_here(room_of(fields))
                    && (is_presence || is_near || is_named(fields) || is_about(cmd, is_theirs))
        }),
        What::Snapshot { room, .. } => is_theirs && is_here(Some(room)),
    }
}

fn is_about_presence(violation: &Violation) -> bool {
    violation.promise == Promise::Present
}

/// Whether a command decides who may be told what.
fn is_about(cmd: &str, is_theirs: bool) -> bool {
    is_theirs && (matches!(cmd, "join" | "leave" | "resume") || cmd.starts_with("members"))
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
        What::Connected { protocol, node } => {
            let whom = node.map_or("nginx".to_owned(), |node| format!("node {node}"));
            format!("connected to {whom} by {protocol}")
        }
        What::Ended { why } => format!("ended: {why}"),
        What::Asked { op, cmd, fields } => format!("asked [{op}] {cmd} {}", value(fields)),
        What::Answered { op, answer } => match answer {
            Answer::Done(ok) => format!("was told [{op}] ok {}", value(ok)),
            Answer::Refused { code, .. } => format!("was told [{op}] no: {code}"),
            Answer::Lost => format!("never heard of [{op}]"),
        },
        What::Observed { push } => format!("observed {}", value(push)),
        What::Snapshot { page, .. } => format!("read a page at {}", page["last_seq"]),
        What::Struck { what, .. } | What::Fault { what } => what.clone(),
        What::Told { node, answer, .. } => format!("node {node} told {}", value(answer)),
        What::Mended => "nothing is broken any more".to_owned(),
        What::Calm => "presence is right everywhere".to_owned(),
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
