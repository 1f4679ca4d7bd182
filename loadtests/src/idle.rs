//! `idle`: what a connection costs the server that does nothing.

use std::fmt::Write as _;

use serde::Serialize;

use crate::clock;
use crate::error::LoadError;
use crate::fanout::AT_ONCE;
use crate::target::Target;

/// Connections that have come before memory is looked at for the first time, so that what is made
/// once is not counted.
const WARM_UP: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    load: Load,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Load {
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=19_400))]
    pub(crate) connections: u32,

    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rooms: u32,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) server: &'static str,
    pub(crate) connections: u32,
    pub(crate) rooms: u32,
    /// Resident bytes of the server before they came, and for each of them when they are open, and
    /// when they are in their rooms, too.
    pub(crate) before_bytes: u64,
    pub(crate) bare_bytes_each: f64,
    pub(crate) joined_bytes_each: f64,
    /// Seconds until all were open, and until they were in their rooms.
    pub(crate) open_s: f64,
    pub(crate) join_s: f64,
    /// Cores that the server uses while nobody does anything.
    pub(crate) cores_at_rest: f64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let idle = measure(&options.target, &options.load).await?;
    options
        .target
        .common
        .print(&idle, |idle| page(std::slice::from_ref(idle)))
}

pub(crate) async fn measure(target: &Target, load: &Load) -> Result<Idle, LoadError> {
    let connections = load.connections as usize;
    let mut scene = target
        .set(load.rooms as usize, connections + WARM_UP)
        .await?;
    let places = scene.places(connections + WARM_UP);
    let (first, rest) = places.split_at(WARM_UP.min(places.len()));
    scene.crowd.open(first, true, AT_ONCE).await?;
    scene.rest().await?;
    let before_bytes = scene.server.resident_bytes();
    let each = |bytes: u64| (bytes as f64 - before_bytes as f64) / connections as f64;

    eprintln!("… {connections} connections come");
    let begun = clock::now();
    scene
        .crowd
        .open_more(rest, false, AT_ONCE, places.len())
        .await?;
    let opened = clock::now();
    scene.rest().await?;
    let bare_bytes_each = each(scene.server.resident_bytes());
    let joining = clock::now();
    scene.crowd.join().await?;
    let joined = clock::now();
    scene.rest().await?;
    let joined_bytes_each = each(scene.server.resident_bytes());

    let (used, from) = (scene.server.used(), clock::now());
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let used = scene.server.used().saturating_sub(used);
    let cores_at_rest = used.as_secs_f64() / seconds_of(clock::now() - from);
    scene.end().await?;
    Ok(Idle {
        server: target.name(),
        connections: load.connections,
        rooms: load.rooms,
        before_bytes,
        bare_bytes_each,
        joined_bytes_each,
        open_s: seconds_of(opened - begun),
        join_s: seconds_of(joined - joining),
        cores_at_rest,
    })
}

fn seconds_of(ns: u64) -> f64 {
    ns as f64 / clock::NS_PER_S as f64
}

/// A line for each.
pub(crate) fn page(rows: &[Idle]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, rows);
    text
}

fn write(text: &mut String, rows: &[Idle]) -> std::fmt::Result {
    writeln!(
        text,
        "{:13}{:>12}{:>7}{:>22}{:>11}{:>13}{:>10}{:>10}{:>12}",
        "server",
        "connections",
        "rooms",
        "resident bytes: open",
        "in a room",
        "before, MiB",
        "open in s",
        "join in s",
        "cores used"
    )?;
    for row in rows {
        writeln!(
            text,
            "{:13}{:>12}{:>7}{:>22.0}{:>11.0}{:>13.1}{:>10.2}{:>10.2}{:>12.3}",
            row.server,
            row.connections,
            row.rooms,
            row.bare_bytes_each,
            row.joined_bytes_each,
            row.before_bytes as f64 / f64::from(1 << 20),
            row.open_s,
            row.join_s,
            row.cores_at_rest
        )?;
    }
    Ok(())
}
