//! `connect`: how many connections a server accepts in a second, and how long each takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, NS_PER_S};
use crate::error::LoadError;
use crate::fanout;
use crate::generator::order::{Connect, Connected, Pace};
use crate::outcome::{Look, Spent};
use crate::samples::{Latency, Samples};
use crate::target::{Scene, Target};
use crate::verdict::{self, Conduct};

/// Connections under way at a fixed rate, beyond which the next ones are not begun.
const OPEN_AT_ONCE_MAX: usize = 4_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    load: Load,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Load {
    /// Connections under way at once, each followed by the next
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub(crate) at_once: u32,

    /// Connections a second at fixed times instead
    #[arg(long, value_parser = fanout::rate)]
    pub(crate) rate: Option<f64>,

    /// Ask something on each connection, and wait for the reply
    #[arg(long)]
    pub(crate) first_reply: bool,

    /// Seconds that are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Connects {
    pub(crate) server: &'static str,
    /// The fixed rate, if there was one.
    pub(crate) rate: Option<f64>,
    pub(crate) at_once: u32,
    pub(crate) first_reply: bool,
    pub(crate) per_second: f64,
    pub(crate) failed: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Microseconds of the server for each.
    pub(crate) cpu_us_each: f64,
    pub(crate) server_cores: f64,
    pub(crate) others_cores: f64,
    /// From when it was (meant to be) begun until 101, and until the first reply.
    pub(crate) upgraded: Latency,
    pub(crate) replied: Latency,
    pub(crate) generator: Conduct,
    pub(crate) invalid: Vec<String>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let connects = measure(&options.target, &[options.load]).await?;
    options.target.common.print(&connects, |rows| {
        format!("{}\n{}", page(rows), verdict::RULE)
    })
}

/// Measures one after the other on one server, after a second that does not count.
pub(crate) async fn measure(target: &Target, loads: &[Load]) -> Result<Vec<Connects>, LoadError> {
    let mut scene = target.set(1, 1).await?;
    let warm_up = Load {
        at_once: 16,
        rate: None,
        first_reply: true,
        seconds: 1,
    };
    storm(&mut scene, target.name(), &warm_up).await?;
    let mut rows = Vec::new();
    for load in loads {
        scene.rest().await?;
        rows.push(storm(&mut scene, target.name(), load).await?);
    }
    scene.end().await?;
    Ok(rows)
}

async fn storm(
    scene: &mut Scene,
    server: &'static str,
    load: &Load,
) -> Result<Connects, LoadError> {
    let processes = scene.crowd.pids().count();
    let pace = match load.rate {
        Some(rate) => {
            // A rate is positive and at most 200,000.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let interval_ns = (NS_PER_S as f64 * processes as f64 / rate).round() as u64;
            let at_once = OPEN_AT_ONCE_MAX / processes;
            Pace::Open {
                interval_ns,
                at_once,
            }
        }
        None => Pace::Closed {
            at_once: (load.at_once as usize).div_ceil(processes),
        },
    };
    let start_ns = clock::now() + NS_PER_S / 5;
    let end_ns = start_ns + load.seconds * NS_PER_S;
    let first_reply = load.first_reply;
    let order = Connect {
        start_ns,
        end_ns,
        pace,
        first_reply,
    };
    scene.crowd.begin_connect(order).await?;
    clock::sleep_until(start_ns).await;
    let before = Look::of(scene);
    clock::sleep_until(end_ns).await;
    let spent = Spent::between(&before, &Look::of(scene));
    let all = scene.crowd.end_connect().await?;
    summarise(server, load, &spent, all)
}

fn summarise(
    server: &'static str,
    load: &Load,
    spent: &Spent,
    all: Vec<Connected>,
) -> Result<Connects, LoadError> {
    let [mut upgraded, mut replied, mut slip] = [Samples::new()?, Samples::new()?, Samples::new()?];
    let mut sum = Connected::default();
    for connected in all {
        upgraded.merge_counts(&connected.upgraded);
        replied.merge_counts(&connected.replied);
        slip.merge_counts(&connected.slip);
        sum.opened += connected.opened;
        sum.failed += connected.failed;
        sum.not_begun += connected.not_begun;
        for (reason, count) in connected.reasons {
            *sum.reasons.entry(reason).or_default() += count;
        }
    }
    let generator = Conduct {
        slip: slip.latency(),
        unsent: sum.not_begun,
        ..spent.conduct.clone()
    };
    let opened = sum.opened.max(1) as f64;
    Ok(Connects {
        server,
        rate: load.rate,
        at_once: load.at_once,
        first_reply: load.first_reply,
        per_second: sum.opened as f64 / Duration::from_secs(load.seconds).as_secs_f64(),
        failed: sum.failed,
        reasons: sum.reasons,
        cpu_us_each: spent.server.total().as_secs_f64() * 1e6 / opened,
        server_cores: spent.server.total().as_secs_f64() / spent.seconds,
        others_cores: spent.others_cores,
        upgraded: upgraded.latency(),
        replied: replied.latency(),
        invalid: generator.objections(),
        generator,
    })
}

/// A line for each.
pub(crate) fn page(rows: &[Connects]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, rows);
    text
}

fn write(text: &mut String, rows: &[Connects]) -> std::fmt::Result {
    writeln!(
        text,
        "{:13}{:>24}{:>12}{:>9}{:>13}{:>11}{:>9}{:>15}{:>9}",
        "server",
        "pace",
        "connects/s",
        "failed",
        "cpu µs each",
        "101: p50",
        "p99 ms",
        "reply: p50",
        "p99 ms"
    )?;
    for row in rows {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let pace = match row.rate {
            Some(rate) => format!("{rate:.0}/s"),
            None => format!("{} at once", row.at_once),
        };
        writeln!(
            text,
            "{:13}{:>24}{:>12.0}{:>9}{:>13.1}{:>11.2}{:>9.2}{:>15}{:>9}",
            row.server,
            if row.first_reply {
                pace + ", first reply"
            } else {
                pace
            },
            row.per_second,
            row.failed,
            row.cpu_us_each,
            ms(row.upgraded.p50_us),
            ms(row.upgraded.p99_us),
            if row.first_reply {
                format!("{:.2}", ms(row.replied.p50_us))
            } else {
                "–".to_owned()
            },
            if row.first_reply {
                format!("{:.2}", ms(row.replied.p99_us))
            } else {
                "–".to_owned()
            },
        )?;
        for (reason, count) in &row.reasons {
            writeln!(text, "    {count} × {reason}")?;
        }
        let conduct = &row.generator;
        writeln!(
            text,
            "  server {:.2} cores; generator {:.2} cores in {} process(es), busiest {:.0} %, waited \
             {:.0} %; others {:.2} cores",
            row.server_cores,
            conduct.cores_used,
            conduct.processes,
            conduct.busiest * 100.0,
            conduct.waited * 100.0,
            row.others_cores
        )?;
        for reason in &row.invalid {
            writeln!(
                text,
                "  INVALID, the generator is what was measured: {reason}"
            )?;
        }
    }
    Ok(())
}
