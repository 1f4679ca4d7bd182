//! Asking other nodes, and being asked.

use serde::{Deserialize, Serialize};

use super::check::{Checks, GIB, TEN_MINUTES_MS};

/// The section `peers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// How long another node may take to answer.
    pub call_timeout_ms: u64,
    /// Questions to others under way at once.
    pub calls_max: usize,
    /// Connections of others.
    pub max_connections: usize,
    /// Requests of others that are being answered.
    pub max_requests: usize,
    /// Requests and sockets of clients that are passed on, and as many from others.
    pub passed_on_max: usize,
    /// Largest body of a request.
    pub max_body_bytes: usize,
    /// Largest answer that is read.
    pub max_answer_bytes: usize,
    /// How long a request's head may take, and its body.
    pub request_timeout_ms: u64,
    /// How far a request's time may be from the present.
    pub max_age_ms: u64,
    /// Requests that are remembered so that none is accepted twice.
    pub remembered_max: usize,
}

impl Peers {
    pub(super) fn check(&self, checks: &mut Checks) {
        let (call, request) = (self.call_timeout_ms, self.request_timeout_ms);
        checks.range("peers.call_timeout_ms", call, 100..=60_000);
        checks.range("peers.calls_max", self.calls_max, 1..=10_000);
        checks.range("peers.max_connections", self.max_connections, 1..=65_535);
        checks.range("peers.max_requests", self.max_requests, 1..=65_535);
        checks.range("peers.passed_on_max", self.passed_on_max, 1..=1_000_000);
        checks.range("peers.max_body_bytes", self.max_body_bytes, 65_536..=GIB);
        checks.range(
            "peers.max_answer_bytes",
            self.max_answer_bytes,
            5_000_000..=GIB,
        );
        checks.range("peers.request_timeout_ms", request, 1000..=TEN_MINUTES_MS);
        checks.range("peers.max_age_ms", self.max_age_ms, 1000..=TEN_MINUTES_MS);
        checks.range(
            "peers.remembered_max",
            self.remembered_max,
            1000..=10_000_000,
        );
    }
}
