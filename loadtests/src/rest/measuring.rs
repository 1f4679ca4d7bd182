//! What is measured one after the other, the servers taking turns.

use std::time::Duration;

use super::extent::Extent;
use super::fill::Rooms;
use super::load::{self, Load, Outcome};
use super::metrics::Metrics;
use super::order::{Asking, Mix, Wanted};
use super::stage::{Listening, Stage, Who};
use super::storm::{self, Storm};
use super::walk::Walk;
use super::{
    BODY_BYTES, Case, LIMIT, MANY, MIX_EXPONENT, MIX_WRITES, Mixed, RATE_SHARE, Report, Row,
};
use crate::cores::Cores;
use crate::error::LoadError;

pub(super) struct Measuring {
    pub(super) stage: Stage,
    pub(super) generators: Cores,
    /// Pages that each server was asked for.
    pub(super) walked: [u64; Who::ALL.len()],
    pub(super) report: Report,
}

impl Measuring {
    pub(super) async fn measure(&mut self) {
        // Before there is anything in a cache but the hot page.
        self.storms().await;
        self.closed().await;
        self.fixed().await;
        self.mixes().await;
    }

    async fn storms(&mut self) {
        let Extent {
            storms,
            storm_requests,
            ..
        } = self.report.extent;
        for who in self.with_caches() {
            let what = format!("{storm_requests} equal requests at once");
            progress(who, &what);
            for number in 0..storms {
                let storm = self.storm(who, number).await;
                let storm = self.unless_failed(who, &what, storm);
                self.report.storms.extend(storm);
            }
        }
    }

    async fn storm(&self, who: Who, number: u32) -> Result<Storm, LoadError> {
        let server = self.stage.server(who)?;
        let room = self.report.rooms.of_storm(who == Who::Hubbub, number);
        let requests = self.report.extent.storm_requests;
        storm::measure(&self.stage, server, requests, room, &self.generators).await
    }

    async fn closed(&mut self) {
        for case in Case::ALL {
            for connections in self.report.extent.connections.clone() {
                for round in 0..self.report.extent.rounds {
                    for who in self.turns(case, round) {
                        let row = self.put(who, case, connections, None).await;
                        self.report.closed.extend(row);
                    }
                }
            }
        }
    }

    async fn fixed(&mut self) {
        let most = self.report.extent.connections.iter().copied().max();
        let most = most.unwrap_or(MANY);
        for case in Case::ALL {
            for who in self.turns(case, 0) {
                let own = self.report.median(case, who, most);
                let Some(rate) = own.map(|outcome| outcome.per_second * RATE_SHARE) else {
                    continue;
                };
                let row = self.put(who, case, most, Some(rate)).await;
                self.report.fixed.extend(row);
            }
        }
    }

    /// One failure is told, and the others are measured all the same.
    fn unless_failed<T>(
        &mut self,
        who: Who,
        what: &str,
        measured: Result<T, LoadError>,
    ) -> Option<T> {
        measured
            .map_err(|error| {
                let error = error.with_causes();
                progress(who, &error);
                let failed = format!("{}, {what}: {error}", who.name());
                self.report.failed.push(failed);
            })
            .ok()
    }

    fn with_caches(&self) -> Vec<Who> {
        let servers = self.report.servers.iter().copied();
        servers.filter(|who| *who != Who::Bare).collect()
    }

    /// Those that are asked, in the order of this round: forwards, backwards, forwards, …
    fn turns(&self, case: Case, round: u32) -> Vec<Who> {
        let servers = self.report.servers.iter().copied();
        let mut servers: Vec<Who> = servers.filter(|who| case.is_for(*who)).collect();
        if !round.is_multiple_of(2) {
            servers.reverse();
        }
        servers
    }

    async fn put(
        &mut self,
        who: Who,
        case: Case,
        connections: u32,
        rate: Option<f64>,
    ) -> Option<Row> {
        let pace = rate.map_or(String::new(), |rate| format!(", {rate:.0}/s"));
        let what = format!("{}, {connections} connections{pace}", case.name());
        progress(who, &what);
        let outcome = self.ask(who, case, connections, rate).await;
        let outcome = self.unless_failed(who, &what, outcome)?;
        if case == Case::Uncached {
            self.walked[who as usize] += outcome.steps;
        }
        Some(Row { case, outcome })
    }

    async fn ask(
        &self,
        who: Who,
        case: Case,
        connections: u32,
        rate: Option<f64>,
    ) -> Result<Outcome, LoadError> {
        let server = self.stage.server(who)?;
        let (asking, wanted) = self.question(server, case);
        let load = Load {
            connections,
            rate,
            asking,
            wanted,
            warm_up: Duration::from_millis(500),
            time: self.time(),
        };
        load::put(&self.stage, server, &load, &self.generators).await
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.report.extent.seconds)
    }

    fn question(&self, server: &Listening, case: Case) -> (Asking, Wanted) {
        let hot = |if_none_match| Asking::Same {
            path: self.stage.hot.clone(),
            if_none_match,
        };
        // A node gives a copy whose time is over while it reads it anew; Express has none then.
        let how: &[&str] = match server.who {
            Who::Bare => &["HIT"],
            Who::Express => &["HIT", "MISS"],
            Who::Hubbub => &["HIT", "STALE"],
        };
        match case {
            Case::Cached => (hot(None), wanted(200, Some(server.known.body.clone()), how)),
            Case::NotModified => (
                hot(Some(server.known.etag.clone())),
                wanted(304, Some(String::new()), how),
            ),
            Case::Uncached => {
                let Rooms { messages, .. } = self.report.rooms;
                let walk = Walk {
                    rooms: self.report.rooms.walked(),
                    messages,
                    shortest: LIMIT,
                    next: self.walked[server.who as usize],
                    turn: 1,
                };
                (
                    Asking::Pages { walk, limit: LIMIT },
                    wanted(200, None, &["MISS"]),
                )
            }
        }
    }

    async fn mixes(&mut self) {
        for who in self.with_caches() {
            let what = "a mix of reads and writes";
            progress(who, what);
            let mix = self.mix(who).await;
            let mix = self.unless_failed(who, what, mix);
            self.report.mixes.extend(mix);
        }
    }

    async fn mix(&self, who: Who) -> Result<Mixed, LoadError> {
        let server = self.stage.server(who)?;
        let is_node = who == Who::Hubbub;
        let load = Load {
            connections: self.report.extent.mix_connections,
            rate: None,
            asking: Asking::Mix(Mix {
                first_room: self.report.rooms.first_mixed(is_node),
                rooms: self.report.rooms.mixed,
                exponent: MIX_EXPONENT,
                writes: MIX_WRITES,
                seed: 1,
                limit: LIMIT,
                body_bytes: BODY_BYTES,
            }),
            wanted: wanted(200, None, &["HIT", "MISS", "COALESCED", "STALE"]),
            warm_up: Duration::from_secs(1),
            time: self.time() * 2,
        };
        let before = self.metrics(is_node).await?;
        let outcome = load::put(&self.stage, server, &load, &self.generators).await?;
        let after = self.metrics(is_node).await?;
        let of_pages = r#"cache_type="messages""#;
        let grown = |name| Some(after.as_ref()?.grown(before.as_ref()?, name, of_pages));
        let counted = grown("cache_hits_total").zip(grown("cache_misses_total"));
        let told = |how| outcome.how.get(how).copied().unwrap_or(0) as f64;
        let all: u64 = outcome.how.values().sum();
        Ok(Mixed {
            told_hits: (told("HIT") + told("STALE")) / all.max(1) as f64,
            counted_hits: counted.map(|(hits, misses)| hits / (hits + misses).max(1.0)),
            outcome,
        })
    }

    async fn metrics(&self, is_node: bool) -> Result<Option<Metrics>, LoadError> {
        if !is_node {
            return Ok(None);
        }
        Metrics::of(&self.stage.nodes.first.address).await.map(Some)
    }
}

/// What an answer to a read must be.
fn wanted(status: u16, body: Option<String>, how: &[&str]) -> Wanted {
    Wanted {
        status,
        body,
        how: how.iter().map(|&how| how.to_owned()).collect(),
    }
}

fn progress(who: Who, what: &str) {
    eprintln!("… {}: {what}", who.name());
}
