//! The page of `cluster`.

use std::fmt::Write as _;

use super::Report;
use super::compare::{Added, Comparison, median};
use super::faults::Faults;
use super::redis_gone::RedisGone;
use crate::outcome::{Outcome, Share};
use crate::page;
use crate::saturate::{self, Saturation};
use crate::server::Kind;
use crate::table::{Table, thousands};

/// What a second node may add (design, section 13).
const P50_ADDED_MAX_MS: f64 = 0.5;
const CPU_RATIO_MAX: f64 = 1.2;

pub(super) fn of(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let Report {
        cores,
        load_average: [before, after],
        ..
    } = report;
    writeln!(
        text,
        "Two servers that share a Redis, half of each room's members on each, all senders on the \
         first; beside it one server alone without Redis. {cores} cores: half of them for all of \
         the servers, Redis and Postgres, half for the generator. Load average {before:.1} before, \
         {after:.1} after.\n"
    )?;
    for missing in &report.missing {
        writeln!(text, "NOT MEASURED: {missing}\n")?;
    }
    if !report.comparisons.is_empty() {
        writeln!(text, "{}", table(report))?;
        writeln!(
            text,
            "`!` a run is INVALID, see below; `≥` the generator was the limit. CPU of a delivery \
             across: of everybody, Redis too, without what those on the first would have cost \
             alone.\n"
        )?;
    }
    if let Some(faults) = &report.faults {
        write_faults(text, faults)?;
    }
    if let Some(rolling) = &report.rolling {
        writeln!(text, "{}", rolling.page())?;
    }
    let runs = |it: &Comparison| [it.alone.clone(), it.pair.clone()].concat();
    let runs: Vec<_> = report.comparisons.iter().flat_map(runs).collect();
    if !runs.is_empty() {
        writeln!(text, "{}", page::fanout(&runs))?;
    }
    let saturations = |it: &Comparison| [it.saturated_alone.clone(), it.saturated_pair.clone()];
    let saturations: Vec<Saturation> = report
        .comparisons
        .iter()
        .flat_map(saturations)
        .flatten()
        .collect();
    if !saturations.is_empty() {
        writeln!(text, "{}", saturate::page_of(&saturations, false))?;
    }
    Ok(())
}

/// A figure of a comparison.
struct Figure {
    name: &'static str,
    /// With whether it counts.
    value: Option<(f64, bool)>,
    digits: usize,
    /// It is to be no more than this.
    aim: Option<f64>,
}

/// A line for each figure of each load, a column for each server.
fn table(report: &Report) -> String {
    let names = report.servers.iter().map(|kind| kind.name());
    let mut table = Table::new(["what"].into_iter().chain(names).chain(["aim", "met"]));
    let mut loads: Vec<&str> = Vec::new();
    for comparison in &report.comparisons {
        if !loads.contains(&comparison.load.as_str()) {
            loads.push(&comparison.load);
        }
    }
    for load in loads {
        table.row([format!("**{load}**")]);
        let of = |kind: &Kind| {
            let mut all = report.comparisons.iter();
            let it = all.find(|it| it.kind == *kind && it.load == *load);
            figures(it)
        };
        let columns: Vec<Vec<Figure>> = report.servers.iter().map(of).collect();
        for (n, figure) in figures(None).iter().enumerate() {
            let values: Vec<_> = columns.iter().map(|column| &column[n]).collect();
            if values.iter().all(|figure| figure.value.is_none()) {
                continue;
            }
            let ours = report.servers.iter().position(|it| *it == Kind::Hubbub);
            let ours = ours.and_then(|at| values[at].value);
            let met = match (figure.aim, ours) {
                (Some(aim), Some((ours, true))) if ours <= aim => "yes",
                (Some(_), Some((_, true))) => "no",
                // What does not count meets and misses nothing.
                (Some(_), _) => "–",
                _ => "",
            };
            let aim = figure.aim.map_or(String::new(), |aim| format!("≤ {aim}"));
            let cells = values.iter().map(|figure| cell(figure));
            let row = [figure.name.to_owned()].into_iter().chain(cells);
            table.row(row.chain([aim, met.to_owned()]));
        }
    }
    table.render()
}

fn cell(figure: &Figure) -> String {
    let Some((value, counts)) = figure.value else {
        return "–".to_owned();
    };
    let mark = match (counts, figure.digits) {
        (true, _) => "",
        // Deliveries a second.
        (false, 0) => "≥ ",
        (false, _) => "!",
    };
    match figure.digits {
        0 => format!("{mark}{}", thousands(value)),
        digits => format!("{mark}{value:.digits$}"),
    }
}

/// All figures in the order of the page, whether there is a value or not.
fn figures(comparison: Option<&Comparison>) -> Vec<Figure> {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let alone = comparison.and_then(|it| median(&it.alone));
    let pair = comparison.and_then(|it| median(&it.pair));
    let added = comparison.and_then(|it| it.added.as_ref());
    let figure = |name, value, aim| Figure {
        name,
        value,
        digits: 2,
        aim,
    };
    let of_alone = |name, value: fn(&Outcome) -> f64| {
        let value = alone.map(|run| (value(run), run.invalid.is_empty()));
        figure(name, value, None)
    };
    let of_share = |name, at: usize, value: &dyn Fn(&Share) -> f64| {
        let value = pair.and_then(|run| {
            let share = run.shares.get(at)?;
            (share.received > 0).then(|| (value(share), run.invalid.is_empty()))
        });
        figure(name, value, None)
    };
    let of_added = |name, value: fn(&Added) -> f64, aim| {
        let value = added.map(|added| (value(added), added.counts));
        figure(name, value, aim)
    };
    let sustained = |name, pick: fn(&Comparison) -> Option<&Saturation>| {
        let row = comparison.and_then(pick);
        Figure {
            digits: 0,
            ..figure(
                name,
                row.map(|row| (row.sustained_per_second, !row.generator_is_the_limit)),
                None,
            )
        }
    };
    vec![
        of_alone("one alone: p50 ms", |run| {
            run.latency.p50_us as f64 / 1000.0
        }),
        of_alone("– p99 ms", |run| run.latency.p99_us as f64 / 1000.0),
        of_alone("– CPU µs per delivery", |run| run.cpu_us_each),
        of_share("two, the sender's: p50 ms", 0, &|it| ms(it.latency.p50_us)),
        of_share("– p99 ms", 0, &|it| ms(it.latency.p99_us)),
        of_share("– CPU µs per delivery", 0, &|it| it.cpu_us_each),
        of_share("two, the other: p50 ms", 1, &|it| ms(it.latency.p50_us)),
        of_share("– p99 ms", 1, &|it| ms(it.latency.p99_us)),
        of_share("– CPU µs per delivery", 1, &|it| it.cpu_us_each),
        of_added("CPU µs of a delivery across", |it| it.crossing_us, None),
        of_added("p50 added, ms", |it| it.p50_ms, Some(P50_ADDED_MAX_MS)),
        of_added("– against the sender's", |it| it.p50_beyond_first_ms, None),
        of_added("p99 added, ms", |it| it.p99_ms, None),
        of_added(
            "CPU of both ÷ one alone",
            |it| it.cpu_ratio,
            Some(CPU_RATIO_MAX),
        ),
        of_added("– with Redis", |it| it.cpu_ratio_with_redis, None),
        sustained("deliveries/s sustained, one alone", |it| {
            it.saturated_alone.as_ref()
        }),
        sustained("– two", |it| it.saturated_pair.as_ref()),
    ]
}

fn write_faults(text: &mut String, faults: &Faults) -> std::fmt::Result {
    let Faults {
        revoked,
        redis,
        vanished,
    } = faults;
    writeln!(
        text,
        "{:44}{:>9} {:>9} {:>9}",
        "Hubbub, ms", "p50", "p99", "max"
    )?;
    let lines = [
        ("session revoked here → socket closed there", revoked),
        (
            "node killed → its people gone from presence",
            &vanished.gone,
        ),
        ("Redis killed → stored messages go on", &redis.goes_on),
        ("Redis back → volatile messages go on", &redis.is_back),
    ];
    for (what, times) in lines {
        writeln!(text, "{what:44}{times}")?;
    }
    if vanished.not_seen > 0 {
        let rounds = vanished.not_seen;
        writeln!(text, "    {rounds} × they were never seen there")?;
    }
    let lines = [
        ("stored, to the other node, with Redis", redis.with),
        ("– while Redis is away", redis.without),
        ("– afterwards", redis.after),
    ];
    for (what, latency) in lines {
        writeln!(text, "{}", latency.line(what))?;
    }
    let RedisGone {
        stored,
        lost,
        doubled,
        disordered,
        ..
    } = redis;
    writeln!(
        text,
        "of {stored} stored messages {lost} never came, {doubled} came twice, {disordered} in the \
         wrong order\n"
    )
}
