//! The page of `rest`: the design's aims with what was measured, then all the rest.

use std::fmt::Write as _;

use super::load::Outcome;
use super::stage::Who;
use super::{Case, LIMIT, MIX_EXPONENT, MIX_WRITES, RATE_SHARE, Report};
use crate::table::{Table, thousands};

/// A figure of each server, with whether it counts.
type Values = [Option<(f64, bool)>; Who::ALL.len()];

/// What a server's figure is held against, and whether it is met: Hubbub's, and the bare handler's.
struct Aim {
    text: &'static str,
    met: fn(f64, Option<f64>) -> Option<bool>,
}

const NONE: Aim = Aim {
    text: "",
    met: |_, _| None,
};

pub(super) fn page(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let Report {
        rooms,
        people,
        page_bytes,
        fill_s,
        ..
    } = report;
    let messages = f64::from(rooms.count()) * f64::from(rooms.messages);
    writeln!(
        text,
        "{} messages in {} rooms (made in {fill_s:.0} s), {people} people; a page is {LIMIT} messages, \
         the hot one {} bytes. Keep-alive HTTP/1.1, nothing compressed. All servers, with Postgres and \
         Redis, share the servers' processors and take turns. The bare handler says the node's bytes and \
         headers, and asks nobody anything; Express looks in Redis, then asks the same Postgres, and does \
         not look who may read.\n",
        thousands(messages),
        thousands(f64::from(rooms.count())),
        thousands(*page_bytes as f64),
    )?;
    for missing in &report.missing {
        writeln!(text, "NOT MEASURED: {missing}\n")?;
    }
    for failed in &report.failed {
        writeln!(text, "FAILED: {failed}\n")?;
    }
    writeln!(text, "{}", aims(report))?;
    writeln!(
        text,
        "Requests/s are of a closed loop: on each connection the next request follows the answer. \
         Latencies are at a fixed rate, {:.0} % of the server's own requests/s at as many connections, \
         from when a request was meant to be sent. Where the generator is the limit (`!`), the CPU of each \
         request tells more than how many there were. `!` the run is INVALID, see below.\n",
        RATE_SHARE * 100.0
    )?;
    writeln!(text, "```")?;
    write_rows(text, report)?;
    write_storms(text, report)?;
    write_mixes(text, report)?;
    writeln!(text, "```")
}

fn aims(report: &Report) -> String {
    let names = Who::ALL.map(Who::name);
    let head = ["what"].into_iter().chain(names);
    let head = head.chain(["Hubbub ÷ bare", "Hubbub ÷ Express", "aim", "met"]);
    let mut table = Table::new(head);
    for (name, values, digits, aim) in figures(report) {
        let value = |who: Who| values[who as usize].map(|(value, _)| value);
        let ratio = |theirs: Option<f64>| match (value(Who::Hubbub), theirs) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "–".to_owned(),
        };
        let met = match value(Who::Hubbub).and_then(|ours| (aim.met)(ours, value(Who::Bare))) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        let cells = values.map(|value| match value {
            None => "–".to_owned(),
            Some((value, counts)) => {
                let mark = if counts { "" } else { "!" };
                match digits {
                    0 => format!("{mark}{}", thousands(value)),
                    digits => format!("{mark}{value:.digits$}"),
                }
            }
        });
        let ratios = [ratio(value(Who::Bare)), ratio(value(Who::Express))];
        let cells = [name].into_iter().chain(cells).chain(ratios);
        table.row(cells.chain([aim.text.to_owned(), met.to_owned()]));
    }
    table.render()
}

fn figures(report: &Report) -> Vec<(String, Values, usize, Aim)> {
    let mut figures = Vec::new();
    let by_server = |value: &dyn Fn(Who) -> Option<(f64, bool)>| Who::ALL.map(value);
    let of = |outcome: &Outcome, value: f64| (value, outcome.invalid.is_empty());
    for case in Case::ALL {
        for connections in &report.extent.connections {
            let run = |who| report.median(case, who, *connections);
            let of_bare = Aim {
                text: "≥ 0.85 × bare",
                met: |ours, bare| Some(ours >= bare? * 0.85),
            };
            let cost_of_bare = Aim {
                text: "≤ bare ÷ 0.85",
                met: |ours, bare| Some(ours <= bare? / 0.85),
            };
            let (aim, cost_aim) = match case {
                Case::Cached | Case::NotModified => (of_bare, cost_of_bare),
                Case::Uncached => (NONE, NONE),
            };
            figures.push((
                format!("{}, requests/s, {connections} connection(s)", case.name()),
                by_server(&|who| run(who).map(|it| of(it, it.per_second))),
                0,
                aim,
            ));
            figures.push((
                "– server CPU µs each".to_owned(),
                by_server(&|who| run(who).map(|it| of(it, it.cpu_us_each))),
                1,
                cost_aim,
            ));
        }
        let run = |who: Who| {
            let mut rows = report.fixed.iter();
            let row = rows.find(|row| row.case == case && row.outcome.server == who.name());
            row.map(|row| &row.outcome)
        };
        let connections = run(Who::Hubbub).map_or(0, |it| it.connections);
        let (quantile, aim) = if case == Case::Uncached {
            let aim = Aim {
                text: "≤ 20",
                met: |ours, _| Some(ours <= 20.0),
            };
            ("p95", aim)
        } else {
            let aim = Aim {
                text: "≤ 5",
                met: |ours, _| Some(ours <= 5.0),
            };
            ("p99", aim)
        };
        let ms = |it: &Outcome| match case {
            Case::Uncached => it.latency.p95_us as f64 / 1000.0,
            Case::Cached | Case::NotModified => it.latency.p99_us as f64 / 1000.0,
        };
        figures.push((
            format!(
                "{}, latency {quantile} ms, {connections} connections",
                case.name()
            ),
            by_server(&|who| run(who).map(|it| of(it, ms(it)))),
            2,
            aim,
        ));
    }
    figures.push((
        format!(
            "queries for {} equal requests at once, the most",
            thousands(f64::from(report.extent.storm_requests))
        ),
        by_server(&|who| {
            let storms = report.storms.iter().filter(|it| it.server == who.name());
            storms
                .map(|it| (it.page_queries as f64, true))
                .reduce(|a, b| (a.0.max(b.0), true))
        }),
        0,
        Aim {
            text: "1",
            met: |ours, _| Some(ours <= 1.0),
        },
    ));
    figures.push((
        "hit ratio of the mix, %".to_owned(),
        by_server(&|who| {
            let mut mixes = report.mixes.iter();
            let mix = mixes.find(|it| it.outcome.server == who.name())?;
            Some((mix.counted_hits.unwrap_or(mix.told_hits) * 100.0, true))
        }),
        1,
        Aim {
            text: "≥ 90",
            met: |ours, _| Some(ours >= 90.0),
        },
    ));
    figures
}

fn write_rows(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        text,
        "{:14}{:13}{:>6}{:>9}{:>10}  {:>7}{:>7}{:>9}{:>7}  {:>8}{:>8}{:>8}{:>8}   server cpu µs each",
        "what",
        "server",
        "conns",
        "rate/s",
        "answers/s",
        "total",
        "user",
        "Postgres",
        "Redis",
        "p50 ms",
        "p95",
        "p99",
        "max"
    )?;
    for row in report.closed.iter().chain(&report.fixed) {
        write_row(text, row.case.name(), &row.outcome)?;
    }
    Ok(())
}

fn write_row(text: &mut String, what: &str, outcome: &Outcome) -> std::fmt::Result {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let rate = outcome
        .rate
        .map_or("closed".to_owned(), |rate| format!("{rate:.0}"));
    writeln!(
        text,
        "{what:14}{:13}{:>6}{rate:>9}{:>10.0}  {:>7.1}{:>7.1}{:>9.1}{:>7.1}  {:>8.2}{:>8.2}{:>8.2}{:>8.2}",
        outcome.server,
        outcome.connections,
        outcome.per_second,
        outcome.cpu_us_each,
        outcome.cpu_user_us_each,
        outcome.postgres_us_each,
        outcome.redis_us_each,
        ms(outcome.latency.p50_us),
        ms(outcome.latency.p95_us),
        ms(outcome.latency.p99_us),
        ms(outcome.latency.max_us),
    )?;
    let conduct = &outcome.generator;
    let how = outcome.how.iter();
    let how: Vec<String> = how.map(|(name, count)| format!("{count} {name}")).collect();
    write!(
        text,
        "  {}; {} bodies looked at; server {:.2} cores; generator {:.2} in {} process(es), busiest {:.0} %, \
         waited {:.0} %",
        how.join(", "),
        outcome.verified,
        outcome.server_cores,
        conduct.cores_used,
        conduct.processes,
        conduct.busiest * 100.0,
        conduct.waited * 100.0,
    )?;
    if outcome.rate.is_some() {
        write!(
            text,
            ", sent p99 {:.2} ms late; {} waited for a free connection, {} were never sent",
            ms(conduct.slip.p99_us),
            outcome.held_back,
            outcome.given_up
        )?;
    }
    writeln!(text, "; others {:.2} cores", outcome.others_cores)?;
    for reason in &outcome.invalid {
        writeln!(
            text,
            "  INVALID, the generator is what was measured: {reason}"
        )?;
    }
    Ok(())
}

fn write_storms(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        text,
        "\nEqual requests at once for what there is no copy of\n{:13}{:>9}{:>14}{:>16}{:>11}{:>8}  {:>8}{:>8}{:>8}",
        "server",
        "requests",
        "page queries",
        "access queries",
        "coalesced",
        "hits",
        "p50 ms",
        "p99",
        "last"
    )?;
    for storm in &report.storms {
        let access = storm.access_queries;
        writeln!(
            text,
            "{:13}{:>9}{:>14}{:>16}{:>11}{:>8}  {:>8.2}{:>8.2}{:>8.2}",
            storm.server,
            storm.requests,
            storm.page_queries,
            access.map_or("–".to_owned(), |count| count.to_string()),
            storm.coalesced,
            storm.hits,
            storm.latency.p50_us as f64 / 1000.0,
            storm.latency.p99_us as f64 / 1000.0,
            storm.last_ms
        )?;
    }
    Ok(())
}

fn write_mixes(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        text,
        "\nA mix: {:.0} % reads of newest pages, {:.0} % messages, over {} rooms by Zipf's law (exponent \
         {MIX_EXPONENT}), {} connections, closed loop",
        (1.0 - MIX_WRITES) * 100.0,
        MIX_WRITES * 100.0,
        report.rooms.mixed,
        report.extent.mix_connections
    )?;
    for mix in &report.mixes {
        write_row(text, "mix", &mix.outcome)?;
        let write = &mix.outcome.write_latency;
        writeln!(
            text,
            "  hits: {:.1} % by X-Cache{}; writes p50 {:.2} ms, p99 {:.2} ms",
            mix.told_hits * 100.0,
            mix.counted_hits.map_or(String::new(), |hits| {
                format!(
                    ", {:.1} % by the node's metrics, from the first read on",
                    hits * 100.0
                )
            }),
            write.p50_us as f64 / 1000.0,
            write.p99_us as f64 / 1000.0
        )?;
    }
    Ok(())
}
