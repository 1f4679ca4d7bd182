//! `publish`: durable publishes beside what the same Postgres does without us, in one run.

use std::time::Duration;

use tokio_postgres::Client;

use crate::error::LoadError;
use crate::node::{DataFolder, Node, NodeOptions};
use crate::people::People;
use crate::report::{PlainRow, PublishRow, Report};
use crate::start_time::{self, StartTimes, ms};
use crate::{Common, cpu, plain_inserts, postgres, publishers};

/// What a chat message is like.
const BODY_BYTES: usize = 128;

/// Rooms that the publishers are spread over.
const ROOMS: usize = 20;

const PUBLISHERS_MAX: usize = 200;

/// Starts of which the median is taken.
const STARTS: u32 = 5;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,

    /// Seconds for each of the measurements
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl Options {
    pub(crate) fn new(common: Common, seconds: u64) -> Self {
        Self { common, seconds }
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let report = measure(options).await?;
    options.common.print(&report, Report::page)
}

pub(crate) async fn measure(options: &Options) -> Result<Report, LoadError> {
    let binary = options.common.binary()?;
    let folder = DataFolder::new(options.common.folder.as_deref())?;
    let data = folder.path().join("node");
    let embedded = NodeOptions::embedded(&binary, data.clone());
    let progress = |what: &str| eprintln!("… {what}");
    progress("start times");
    let first = Node::start(&embedded).await?;
    let embedded_first = first.start_time;
    first.stop().await?;
    let embedded_later = start_time::of_embedded(&binary, &data, STARTS).await?;
    let node = Node::start(&embedded).await?;
    let server = postgres::Running::find(&data)?;
    let url = server.url(&options.common.role, &options.common.database);
    let existing = start_time::on_existing(&binary, folder.path(), &url, STARTS).await?;

    let time = Duration::from_secs(options.seconds);
    let body = "x".repeat(BODY_BYTES);
    let plain_url = plain_inserts::prepare(&server, &options.common.role).await?;
    let mut plain = Vec::new();
    for (connections, rows_each) in [(1, 1), (10, 1), (1, 100), (4, 100)] {
        progress(&format!("{connections} connections × {rows_each} rows"));
        let rate = plain_inserts::measure(&plain_url, connections, rows_each, time, &body).await?;
        plain.push(PlainRow {
            connections,
            rows_each,
            rate,
        });
    }

    progress("people sign up");
    let people = People::gather(&node.address, PUBLISHERS_MAX, ROOMS).await?;
    let mut published = Vec::new();
    let mut acknowledged = 0;
    let plans = [
        (1, 1, false),
        (10, 1, false),
        (200, 1, false),
        (200, 8, false),
        (200, 1, true),
    ];
    for (run, (count, window, joined)) in (0..).zip(plans) {
        progress(&format!("{count} publishers × {window} in flight"));
        let load = publishers::Plan {
            publishers: count,
            window,
            joined,
            warm_up: Duration::from_secs(1),
            time,
        };
        let before = cpu::used(node.pid());
        let measured = publishers::measure(&node.address, &people, run, load, &body).await?;
        let used = cpu::used(node.pid()).saturating_sub(before);
        acknowledged += measured.acknowledged;
        let each = |total: f64| total / (measured.acknowledged.max(1) as f64);
        published.push(PublishRow {
            publishers: count,
            window,
            rooms: ROOMS.min(count),
            pushes_each: each(measured.pushes as f64),
            node_cpu_us_each: each(used.as_secs_f64() * 1e6),
            rate: measured.rate,
        });
    }

    let client = postgres::connect(&url).await?;
    verify(&client, acknowledged).await?;
    let setting = async |name: &str| -> Result<String, LoadError> {
        let row = client.query_one(&format!("SHOW {name}"), &[]).await?;
        Ok(row.try_get(0)?)
    };
    let report = Report {
        postgres: setting("server_version").await?,
        fsync: setting("fsync").await?,
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        body_bytes: BODY_BYTES,
        seconds_each: options.seconds,
        start: StartTimes {
            embedded_first_ms: ms(embedded_first),
            embedded_later_ms: ms(embedded_later),
            existing_database_ms: ms(existing),
        },
        plain,
        published,
        acknowledged,
    };
    drop(client);
    node.stop().await?;
    Ok(report)
}

/// A measurement of what is not stored would be worth nothing.
async fn verify(client: &Client, acknowledged: u64) -> Result<(), LoadError> {
    let row = client
        .query_one(
            "SELECT count(*), (SELECT count(*) FROM room_events),
                    (SELECT sum(last_seq)::bigint FROM room_heads)
             FROM messages",
            &[],
        )
        .await?;
    let (messages, events, heads): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if events != heads {
        let what = format!("{events} events, but the heads say {heads}");
        return Err(LoadError::Unexpected(what));
    }
    let stored = u64::try_from(messages).unwrap_or(0);
    if stored != acknowledged {
        return Err(LoadError::Lost {
            acknowledged,
            stored,
        });
    }
    Ok(())
}
