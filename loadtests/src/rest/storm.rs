//! Many equal requests at once, for what there is no copy of.

use serde::Serialize;

use super::LIMIT;
use super::fill::room_id;
use super::load;
use super::metrics::Metrics;
use super::stage::{Listening, Stage, Who};
use crate::cores::Cores;
use crate::error::LoadError;
use crate::samples::{Latency, Samples};

/// What a storm came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Storm {
    pub(super) server: &'static str,
    pub(super) requests: u32,
    /// Queries for the page: as the node's metrics count them; of Express as many as said MISS.
    pub(super) page_queries: u64,
    /// Queries of the node for who may read it.
    pub(super) access_queries: Option<u64>,
    /// Answers that shared a load that another had begun, and those by a copy that was there by then.
    pub(super) coalesced: u64,
    pub(super) hits: u64,
    /// From the moment of the storm until an answer, and until the last.
    pub(super) latency: Latency,
    pub(super) last_ms: f64,
}

/// Asks for the newest page of a room that nobody has asked for.
pub(super) async fn measure(
    stage: &Stage,
    server: &Listening,
    requests: u32,
    room: u32,
    cores: &Cores,
) -> Result<Storm, LoadError> {
    let path = format!("/api/rooms/{}/messages?limit={LIMIT}", room_id(room));
    let is_node = server.who == Who::Hubbub;
    let before = metrics(server, is_node).await?;
    let asked = load::storm(stage, server, requests, path, cores).await?;
    let after = metrics(server, is_node).await?;
    let told = |how: &str| asked.how.get(how).copied().unwrap_or(0);
    let answers: u64 = asked.how.values().sum();
    if answers != u64::from(requests) {
        let what = format!("{answers} answers to {requests} requests");
        return Err(LoadError::Unexpected(what));
    }
    let queries = |name: &str| {
        let count = "database_query_duration_seconds_count";
        let label = format!("query=\"{name}\"");
        let grown = after.as_ref()?.grown(before.as_ref()?, count, &label);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter of what happened"
        )]
        let grown = grown.max(0.0).round() as u64;
        Some(grown)
    };
    let mut latency = Samples::new()?;
    latency.merge_counts(&asked.latency);
    Ok(Storm {
        server: server.who.name(),
        requests,
        page_queries: queries("messages/before").unwrap_or_else(|| told("MISS")),
        access_queries: queries("rooms/access_by_id"),
        coalesced: told("COALESCED"),
        hits: told("HIT"),
        latency: latency.latency(),
        last_ms: asked.last_ns as f64 / 1e6,
    })
}

async fn metrics(server: &Listening, is_node: bool) -> Result<Option<Metrics>, LoadError> {
    if !is_node {
        return Ok(None);
    }
    Metrics::of(&server.address).await.map(Some)
}
