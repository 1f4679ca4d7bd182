//! The page of `bench`: the design's table of aims with what was measured, then all the rest.

use std::fmt::Write as _;

use crate::bars::{self, Bar};
use crate::bench::{Bench, LOADS};
use crate::connect::Connects;
use crate::outcome::Outcome;
use crate::server::Kind;
use crate::table::{Table, thousands};
use crate::{connect, idle, page, saturate, verdict};

/// Whether Hubbub's value, beside the floor's, is what is aimed for; nothing if there is no aim.
type Met = fn(f64, Option<f64>) -> Option<bool>;

/// One figure of the table of aims.
struct Figure {
    name: String,
    /// By server, in the order of the columns; with whether it counts.
    values: Vec<Option<(f64, bool)>>,
    digits: usize,
    aim: &'static str,
    met: Met,
}

pub(crate) fn page(bench: &Bench) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, bench);
    text
}

fn write(text: &mut String, bench: &Bench) -> std::fmt::Result {
    let Bench {
        cores,
        kernel,
        payload_bytes,
        ..
    } = bench;
    writeln!(
        text,
        "# Hubbub beside others\n\nOne run on {cores} cores, Linux {kernel}: half of them for the \
         server, half for the generator; payload {payload_bytes} bytes; the servers took turns.\n"
    )?;
    for missing in &bench.missing {
        writeln!(text, "NOT MEASURED: {missing}\n")?;
    }
    writeln!(text, "{}", aims(bench))?;
    writeln!(
        text,
        "`!` the run is INVALID, see below; `≥` the generator was the limit, the server may do more. \
         Of {} rounds of a fan-out the one with the median cost counts. The floor is a server that \
         writes one ready frame with one `write` for each recipient and does nothing else.\n",
        bench.extent.rounds
    )?;
    let section = |text: &mut String, title: &str, body: &str| {
        writeln!(text, "## {title}\n\n```\n{}\n```\n", body.trim_end())
    };
    section(text, "Fan-out", &page::fanout(&bench.fanout))?;
    section(
        text,
        "More and more",
        &saturate::page_of(&bench.saturations, false),
    )?;
    section(text, "Connecting", &connect::page(&bench.connects))?;
    section(text, "Idle connections", &idle::page(&bench.idle))?;
    if let Some(publish) = &bench.publish {
        section(text, "Publishing", &publish.page())?;
    }
    if let Some(recovery) = &bench.recovery {
        section(text, "Coming back", &recovery.page())?;
    }
    if let Some(rest) = &bench.rest {
        writeln!(text, "## REST\n\n{}", rest.page())?;
    }
    if let Some(cluster) = &bench.cluster {
        writeln!(text, "## Two nodes\n\n{}", cluster.page())?;
    }
    writeln!(text, "{}", verdict::RULE)
}

/// The table of aims.
fn aims(bench: &Bench) -> String {
    let names = bench.servers.iter().map(|kind| kind.name());
    let head = ["what"].into_iter().chain(names);
    let ratios = ["Hubbub ÷ floor", "by Socket.IO ÷ socket.io"];
    let mut table = Table::new(head.chain(ratios).chain(["aim", "met"]));
    let place = |kind| bench.servers.iter().position(|server| *server == kind);
    for figure in figures(bench) {
        let value = |kind| {
            place(kind)
                .and_then(|at| figure.values[at])
                .map(|(value, _)| value)
        };
        let (ours, floor) = (value(Kind::Hubbub), value(Kind::Floor));
        let ratio = |ours, theirs| match (ours, theirs) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "–".to_owned(),
        };
        let by_socket_io = ratio(value(Kind::HubbubSocketio), value(Kind::Socketio));
        let ratio = ratio(ours, floor);
        let met = match ours.and_then(|ours| (figure.met)(ours, floor)) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        let values = figure.values.iter().map(|value| match value {
            None => "–".to_owned(),
            Some((value, counts)) => {
                let mark = match (counts, figure.name.starts_with("sustained")) {
                    (true, _) => "",
                    (false, true) => "≥ ",
                    (false, false) => "!",
                };
                match figure.digits {
                    0 => format!("{mark}{}", thousands(*value)),
                    digits => format!("{mark}{value:.digits$}"),
                }
            }
        });
        let cells = [figure.name.clone()].into_iter().chain(values);
        table.row(cells.chain([ratio, by_socket_io, figure.aim.to_owned(), met.to_owned()]));
    }
    table.render()
}

fn figures(bench: &Bench) -> Vec<Figure> {
    let mut figures = Vec::new();
    for connections in &bench.extent.idle {
        let row = |kind: Kind| {
            let mut rows = bench.idle.iter();
            rows.find(|row| row.server == kind.name() && row.connections == *connections)
        };
        figures.push(Figure {
            name: format!(
                "resident bytes per idle connection, {} in rooms",
                thousands(f64::from(*connections))
            ),
            values: by_server(bench, |kind| Some((row(kind)?.joined_bytes_each, true))),
            digits: 0,
            aim: "≤ 2,500",
            met: |ours, _| Some(ours <= 2500.0),
        });
    }
    for (rooms, members, rate) in LOADS {
        let run = |kind| median(bench, kind, rooms, members);
        let load = format!("{rooms} × {} at {rate}/s", thousands(f64::from(members)));
        figures.push(Figure {
            name: format!("server CPU µs per delivery, {load}"),
            values: by_server(bench, |kind| {
                run(kind).map(|it| (it.cpu_us_each, it.invalid.is_empty()))
            }),
            digits: 2,
            aim: "≤ 1.15 × floor",
            met: |ours, floor| Some(ours <= floor? * 1.15),
        });
        figures.push(Figure {
            name: "– of it in user mode".to_owned(),
            values: by_server(bench, |kind| {
                run(kind).map(|it| (it.cpu_user_us_each, it.invalid.is_empty()))
            }),
            digits: 2,
            aim: if rooms == 1 { "≤ 0.4" } else { "" },
            met: if rooms == 1 {
                |ours, _| Some(ours <= 0.4)
            } else {
                |_, _| None
            },
        });
        figures.push(Figure {
            name: "– latency p99, ms".to_owned(),
            values: by_server(bench, |kind| {
                run(kind).map(|it| (it.latency.p99_us as f64 / 1000.0, it.invalid.is_empty()))
            }),
            digits: 2,
            aim: "",
            met: |_, _| None,
        });
    }
    for (rooms, members, _) in LOADS.into_iter().take(bench.extent.saturated) {
        figures.push(sustained(bench, rooms, members));
    }
    let row = |kind: Kind, asks| -> Option<&Connects> {
        let mut rows = bench.connects.iter();
        rows.find(|row| row.server == kind.name() && row.first_reply == asks)
    };
    for (name, asks) in [
        ("connects/s, until 101", false),
        ("connects/s, until the first reply", true),
    ] {
        figures.push(Figure {
            name: name.to_owned(),
            values: by_server(bench, |kind| {
                row(kind, asks).map(|it| (it.per_second, it.invalid.is_empty()))
            }),
            digits: 0,
            aim: if asks { "" } else { "≥ 15,000" },
            met: if asks {
                |_, _| None
            } else {
                |ours, _| Some(ours >= 15_000.0)
            },
        });
    }
    figures
}

fn sustained(bench: &Bench, rooms: u32, members: u32) -> Figure {
    let row = |kind: Kind| {
        let mut rows = bench.saturations.iter();
        rows.find(|row| row.server == kind.name() && row.rooms == rooms)
    };
    let (aim, met): (_, Met) = if rooms == 1 {
        ("≥ 5,000,000", |ours, _| Some(ours >= 5e6))
    } else {
        ("≥ 800,000", |ours, _| Some(ours >= 8e5))
    };
    Figure {
        name: format!(
            "sustained deliveries/s, {rooms} × {}, p99 < 100 ms",
            thousands(f64::from(members))
        ),
        values: by_server(bench, |kind| {
            let row = row(kind)?;
            Some((row.sustained_per_second, !row.generator_is_the_limit))
        }),
        digits: 0,
        aim,
        met,
    }
}

fn by_server(
    bench: &Bench,
    value: impl Fn(Kind) -> Option<(f64, bool)>,
) -> Vec<Option<(f64, bool)>> {
    bench.servers.iter().map(|kind| value(*kind)).collect()
}

/// Of several rounds the one whose cost is the median, the lower one of two.
fn median(bench: &Bench, kind: Kind, rooms: u32, members: u32) -> Option<&Outcome> {
    let runs = bench.fanout.iter();
    let mut runs: Vec<&Outcome> = runs
        .filter(|run| run.server == kind.name() && run.rooms == rooms && run.members == members)
        .collect();
    // Those that count come first.
    let cost = |run: &&Outcome| (!run.invalid.is_empty(), run.cpu_us_each);
    runs.sort_by(|a, b| {
        cost(a)
            .partial_cmp(&cost(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let valid = runs.iter().filter(|run| run.invalid.is_empty()).count();
    let counted = if valid > 0 { valid } else { runs.len() };
    runs.get(counted.saturating_sub(1) / 2).copied()
}

/// The figures as bars.
pub(crate) fn picture(bench: &Bench) -> String {
    let charts = figures(bench)
        .into_iter()
        .filter(|figure| !figure.name.starts_with('–'));
    let charts = charts.map(|figure| {
        let values = bench.servers.iter().zip(&figure.values);
        let bars = values.filter_map(|(kind, value)| {
            let (value, counts) = (*value)?;
            let text = match figure.digits {
                0 => thousands(value),
                digits => format!("{value:.digits$}"),
            };
            Some(Bar {
                label: kind.name().to_owned(),
                value,
                text: if counts { text } else { format!("{text} !") },
                ours: kind.is_node(),
            })
        });
        let bars = bars.collect();
        (figure.name, bars)
    });
    bars::svg(&charts.collect::<Vec<_>>())
}
