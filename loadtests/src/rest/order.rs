//! What the measuring process tells a generator of requests, and what that tells it: a line of JSON
//! each, one order and one report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::walk::Walk;
use crate::generator::order::Counts;

/// Requests over connections that are kept alive, from the start to the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// `127.0.0.1:<port>`
    pub(super) address: String,
    /// Tokens, which the connections take in turn.
    pub(super) tokens: Vec<String>,
    pub(super) connections: usize,
    pub(super) pace: Pace,
    pub(super) asking: Asking,
    pub(super) wanted: Wanted,
    pub(super) start_ns: u64,
    /// Requests that are begun, and answers that come, from here on count.
    pub(super) measured_from_ns: u64,
    /// No request is begun from here on.
    pub(super) end_ns: u64,
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pace {
    /// On each connection as soon as the one before is answered.
    Closed,
    /// At fixed times, by whatever connection is free.
    Open { interval_ns: u64 },
    /// One on each connection, all at the start.
    Once,
}

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asking {
    /// The same again and again.
    Same {
        path: String,
        if_none_match: Option<String>,
    },
    /// Each time another page, which nobody has asked for.
    Pages { walk: Walk, limit: u32 },
    /// The newest pages of rooms, some more often than others, and messages to them.
    Mix(Mix),
}

/// People who read and write.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mix {
    /// The first of the rooms, and how many there are.
    pub(super) first_room: u32,
    pub(super) rooms: u32,
    /// Of Zipf's law: the n-th room is asked for n^-exponent times as often as the first.
    pub(super) exponent: f64,
    /// Of all requests.
    pub(super) writes: f64,
    pub(super) seed: u64,
    pub(super) limit: u32,
    /// Of a message.
    pub(super) body_bytes: usize,
}

/// What the answer to a read must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) status: u16,
    /// The body of each. If none, a page has as many messages as were asked for, and the same request
    /// has answers of the same length.
    pub(super) body: Option<String>,
    /// What it may say of how it came about, where that is measured.
    pub(super) how: Vec<String>,
}

/// What the requests came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Requests that were sent, from the start on.
    pub(super) sent: u64,
    /// Answers within the measured time.
    pub(super) answered: u64,
    /// From when a read was meant to be sent until it was answered.
    pub(super) latency: Counts,
    /// The same of writes.
    pub(super) write_latency: Counts,
    /// How much later than meant requests were sent although a connection was free.
    pub(super) slip: Counts,
    /// Reads by how they came about, those whose latency is there.
    pub(super) how: BTreeMap<String, u64>,
    /// Requests that waited for a free connection, and those that were never sent for want of one.
    pub(super) held_back: u64,
    pub(super) given_up: u64,
    /// Answers that were looked at as a whole.
    pub(super) verified: u64,
    /// Answers that were wrong, by what was wrong.
    pub(super) wrong: BTreeMap<String, u64>,
    /// From the start until the last answer.
    pub(super) last_ns: u64,
    /// It cannot go on.
    pub(super) failed: Option<String>,
}
