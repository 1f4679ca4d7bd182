//! `rest`: reads over REST, beside a bare actix-web handler that says the same bytes (the ceiling) and
//! beside Express with copies in Redis in front of the same Postgres.
//!
//! A closed loop tells how many requests a second there can be: on each connection the next one follows
//! the answer. Latencies are claimed at a fixed rate, half of that, from when a request was meant to be
//! sent.

mod asker;
mod client;
mod extent;
mod fill;
mod load;
mod measuring;
mod metrics;
mod order;
mod page;
mod requests;
mod response;
mod spent;
mod stage;
mod storm;
mod walk;

use std::path::PathBuf;

use serde::Serialize;

pub(crate) use self::asker::run as ask;
use self::extent::Extent;
use self::fill::Rooms;
use self::load::Outcome;
use self::measuring::Measuring;
use self::stage::{Stage, StageOptions, Who};
use self::storm::Storm;
use crate::cores::{self, Sharing};
use crate::error::LoadError;
use crate::nodes::NodesOptions;
use crate::target::Target;
use crate::{Common, verdict};

/// Messages of a page: as many as are given to who does not say.
const LIMIT: u32 = 50;

/// Bytes of a message.
const BODY_BYTES: usize = 128;

/// Connections at which latencies are claimed.
const MANY: u32 = 200;

/// Of the mix.
const MIX_EXPONENT: f64 = 1.0;
const MIX_WRITES: f64 = 0.05;

/// The part of a server's own throughput at which latencies are claimed.
const RATE_SHARE: f64 = 0.5;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,

    /// The folder of the servers beside which Hubbub is measured
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    peers: PathBuf,

    /// How servers and generators share the processors
    #[arg(long, value_enum, default_value_t = Sharing::Apart)]
    cores: Sharing,

    #[command(flatten)]
    extent: Extent,

    /// As short as it gets: whether all of it works, whatever the figures
    #[arg(long)]
    smoke: bool,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Case {
    /// A room's newest page, of which there is a copy.
    Cached,
    /// The same by who has it.
    NotModified,
    /// An older page, each time another.
    Uncached,
}

impl Case {
    const ALL: [Self; 3] = [Self::Cached, Self::NotModified, Self::Uncached];

    fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached read",
            Self::NotModified => "304",
            Self::Uncached => "uncached read",
        }
    }

    /// Whether the server has such a thing.
    fn is_for(self, who: Who) -> bool {
        self != Self::Uncached || who != Who::Bare
    }
}

/// One load on one server.
#[derive(Clone, Debug, Serialize)]
struct Row {
    case: Case,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The mix on one server.
#[derive(Clone, Debug, Serialize)]
struct Mixed {
    #[serde(flatten)]
    outcome: Outcome,
    /// Of the measured reads those that said HIT or STALE.
    told_hits: f64,
    /// What a node's metrics say of all reads of pages, from the first one on.
    counted_hits: Option<f64>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    extent: Extent,
    rooms: Rooms,
    people: usize,
    page_bytes: usize,
    /// Making the database.
    fill_s: f64,
    /// What could not be measured, and why.
    missing: Vec<String>,
    /// What went wrong: a wrong answer, or none.
    failed: Vec<String>,
    servers: Vec<Who>,
    /// As fast as answers come.
    closed: Vec<Row>,
    /// At a fixed rate.
    fixed: Vec<Row>,
    storms: Vec<Storm>,
    mixes: Vec<Mixed>,
}

impl Report {
    pub(crate) fn page(&self) -> String {
        page::page(self)
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let report = measure(options).await?;
    let page = |report: &Report| format!("{}\n{}", report.page(), verdict::RULE);
    options.common.print(&report, page)?;
    match &report.failed[..] {
        [] => Ok(()),
        failed => Err(LoadError::Unexpected(failed.join("\n"))),
    }
}

/// The part of `bench`.
pub(crate) async fn of_bench(target: &Target, quick: bool) -> Result<Report, LoadError> {
    measure(&Options {
        common: target.common.clone(),
        peers: target.peers.clone(),
        cores: target.cores,
        extent: Extent::of_bench(quick),
        smoke: false,
    })
    .await
}

async fn measure(options: &Options) -> Result<Report, LoadError> {
    let (servers, generators) = cores::share(options.cores)?;
    let binary = options.common.binary()?;
    let smoke = Extent::of_smoke();
    // A debug build on a busy machine must not be found to be overloaded.
    let patience: &[(&str, String)] = &[
        ("HUBBUB__CACHE__LOAD_TIMEOUT_MS", "60000".to_owned()),
        ("HUBBUB__HTTP__REQUEST_HEAD_TIMEOUT_MS", "60000".to_owned()),
    ];
    let extent = if options.smoke {
        &smoke
    } else {
        &options.extent
    };
    let rooms = Rooms::of(extent.messages, extent.rooms, LIMIT);
    let stage = Stage::start(&StageOptions {
        nodes: NodesOptions {
            binary: &binary,
            folder: options.common.folder.as_deref(),
            role: &options.common.role,
            database: &options.common.database,
            cores: Some(&servers),
            pair: false,
            settings: if options.smoke { patience } else { &[] },
        },
        peers: &options.peers,
        cores: &servers,
        rooms,
        limit: LIMIT,
        body_bytes: BODY_BYTES,
    })
    .await?;
    let mut measuring = Measuring {
        report: Report {
            extent: extent.clone(),
            rooms,
            people: stage.tokens.len(),
            page_bytes: stage.server(Who::Hubbub)?.known.body.len(),
            fill_s: stage.fill_s,
            missing: stage.missing.clone(),
            failed: Vec::new(),
            servers: stage.servers.iter().map(|server| server.who).collect(),
            closed: Vec::new(),
            fixed: Vec::new(),
            storms: Vec::new(),
            mixes: Vec::new(),
        },
        stage,
        generators,
        walked: [0; Who::ALL.len()],
    };
    measuring.measure().await;
    measuring.stage.end().await?;
    Ok(measuring.report)
}

impl Report {
    /// Of several rounds the one with the median throughput, the lower one of two; those that count go
    /// before those that do not.
    fn median(&self, case: Case, who: Who, connections: u32) -> Option<&Outcome> {
        let rows = self.closed.iter().filter(|row| row.case == case);
        let rows = rows.map(|row| &row.outcome);
        let mut rows: Vec<&Outcome> = rows
            .filter(|it| it.server == who.name() && it.connections == connections)
            .collect();
        if rows.iter().any(|it| it.invalid.is_empty()) {
            rows.retain(|it| it.invalid.is_empty());
        }
        rows.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        rows.get(rows.len().saturating_sub(1) / 2).copied()
    }
}
