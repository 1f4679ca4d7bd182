//! `saturate`: the rate is raised until deliveries come too late, are lost, or the generator cannot
//! follow. What counts is the last step before that.
//!
//! A generator that is at its limit may follow again at a higher rate: a server that falls behind
//! puts more messages into each write, and they cost less to receive. So such a step ends the search
//! only if those after it are no better.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::error::LoadError;
use crate::fanout::{AT_ONCE, Load, rate};
use crate::outcome::{self, Outcome, Plan};
use crate::target::{Scene, Target};
use crate::{page, verdict};

/// Deliveries that come later than this, in one of 100 cases, are too late.
const P99_MAX_US: u64 = 100_000;

/// By how much the rate is raised at first, and between the last good step and the first bad one.
const COARSE: f64 = 1.5;
const FINE: f64 = 1.11;

const STEPS_MAX: u16 = 40;

/// So many steps in a row may be too much for the generator alone.
const GENERATOR_LIMITED_MAX: u16 = 3;

/// A step must have delivered this part of what it meant to.
const DELIVERED_MIN: f64 = 0.98;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    load: Load,

    /// Messages a second in each room to begin with
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    from: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Saturation {
    pub(crate) server: &'static str,
    pub(crate) rooms: u32,
    pub(crate) members: u32,
    /// Deliveries a second of the best step; 0 if there was none.
    pub(crate) sustained_per_second: f64,
    /// Why the next one was not sustained.
    pub(crate) limit: String,
    /// Whether that is the generator's fault, so that the server may be able to do more.
    pub(crate) generator_is_the_limit: bool,
    pub(crate) best: Option<Outcome>,
    pub(crate) steps: Vec<Outcome>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let saturation = measure(&options.target, &options.load, options.from).await?;
    options.target.common.print(&saturation, |it| {
        format!(
            "{}\n{}",
            page_of(std::slice::from_ref(it), true),
            verdict::RULE
        )
    })
}

pub(crate) async fn measure(
    target: &Target,
    load: &Load,
    from: f64,
) -> Result<Saturation, LoadError> {
    let mut scene = target.set(load.rooms as usize, load.connections()).await?;
    let places = scene.places(load.connections());
    scene.crowd.open(&places, true, AT_ONCE).await?;
    scene.rest().await?;
    let mut search = Search {
        scene,
        server: target.name(),
        load: *load,
        run: 0,
        steps: Vec::new(),
        best: None,
    };
    let mut rate = from;
    let mut limit = search.climb(&mut rate, COARSE).await?;
    if let Some(best) = search.best.and_then(|best| search.steps.get(best)) {
        // Once more from the last good one, in small steps; with connections that have nothing
        // left over from what was too much.
        let too_much = rate;
        rate = best.rate * FINE;
        let fresh = target
            .crowd(&search.scene.server, load.connections())
            .await?;
        std::mem::replace(&mut search.scene.crowd, fresh)
            .end()
            .await?;
        search.scene.crowd.open(&places, true, AT_ONCE).await?;
        search.scene.rest().await?;
        if rate < too_much {
            limit = search.climb(&mut rate, FINE).await?;
        }
    }
    search.scene.end().await?;
    let best = search.best.and_then(|best| search.steps.get(best)).cloned();
    let last = search.steps.last();
    Ok(Saturation {
        server: search.server,
        rooms: load.rooms,
        members: load.members,
        sustained_per_second: best.as_ref().map_or(0.0, |best| best.per_second),
        generator_is_the_limit: last.is_some_and(|last| !last.invalid.is_empty()),
        limit,
        best,
        steps: search.steps,
    })
}

struct Search {
    scene: Scene,
    server: &'static str,
    load: Load,
    run: u16,
    steps: Vec<Outcome>,
    /// Index of the last step that was sustained.
    best: Option<usize>,
}

impl Search {
    /// Raises the rate until a step is not sustained, and says why it is not.
    async fn climb(&mut self, rate: &mut f64, factor: f64) -> Result<String, LoadError> {
        // The first rate after the last good one that was too much for the generator, and why.
        let mut doubted: Option<(f64, String)> = None;
        let mut in_a_row = 0;
        while self.run < STEPS_MAX {
            self.run += 1;
            let plan = Plan {
                warm_up: Duration::from_millis(500),
                tail: Duration::from_secs(2),
                ..self.load.plan(self.run, *rate)
            };
            let outcome = outcome::run(&mut self.scene, self.server, &plan).await?;
            let limit = limit(&outcome);
            self.steps.push(outcome);
            match limit {
                None => {
                    self.best = Some(self.steps.len() - 1);
                    doubted = None;
                    in_a_row = 0;
                }
                Some(Limit::Generator(what)) if in_a_row < GENERATOR_LIMITED_MAX => {
                    doubted.get_or_insert((*rate, what));
                    in_a_row += 1;
                }
                Some(Limit::Generator(what) | Limit::Server(what)) => {
                    let (first, what) = doubted.unwrap_or((*rate, what));
                    *rate = first;
                    return Ok(what);
                }
            }
            *rate *= factor;
        }
        Ok(format!("{STEPS_MAX} steps were made"))
    }
}

/// Why a step is not sustained.
enum Limit {
    /// The generator could not follow.
    Generator(String),
    /// The server, as far as can be told.
    Server(String),
}

/// Why a step is not sustained; nothing if it is.
fn limit(outcome: &Outcome) -> Option<Limit> {
    // Some peers promise no order.
    if outcome.is_faulty_but_for_order() {
        return Some(Limit::Server(format!(
            "{} lost, {} refused, {} connections ended",
            outcome.lost, outcome.refused, outcome.ended
        )));
    }
    // Before what may be its own doing.
    if let Some(objection) = outcome.invalid.first() {
        return Some(Limit::Generator(format!("the generator: {objection}")));
    }
    if outcome.latency.p99_us >= P99_MAX_US {
        let ms = outcome.latency.p99_us as f64 / 1000.0;
        return Some(Limit::Server(format!("p99 of {ms:.0} ms")));
    }
    if outcome.per_second < outcome.meant_per_second * DELIVERED_MIN {
        let share = outcome.per_second / outcome.meant_per_second * 100.0;
        return Some(Limit::Server(format!(
            "{share:.0} % of what was meant came in time"
        )));
    }
    None
}

/// A line for each search, and with `steps` one for each step.
pub(crate) fn page_of(rows: &[Saturation], steps: bool) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, rows, steps);
    text
}

fn write(text: &mut String, rows: &[Saturation], steps: bool) -> std::fmt::Result {
    if steps {
        for row in rows {
            writeln!(text, "{}", page::fanout(&row.steps))?;
        }
    }
    writeln!(
        text,
        "{:13}{:>12}{:>14}{:>10}{:>10}{:>13}{:>13}   limit",
        "server", "rooms × of", "sustained/s", "p50 ms", "p99 ms", "cpu µs each", "generator"
    )?;
    for row in rows {
        let rooms = format!("{} × {}", row.rooms, row.members);
        let Some(best) = &row.best else {
            writeln!(
                text,
                "{:13}{rooms:>12}{:>14}   {}",
                row.server, "none", row.limit
            )?;
            continue;
        };
        writeln!(
            text,
            "{:13}{rooms:>12}{:>14.0}{:>10.2}{:>10.2}{:>13.2}{:>11.0} %   {}",
            row.server,
            row.sustained_per_second,
            best.latency.p50_us as f64 / 1000.0,
            best.latency.p99_us as f64 / 1000.0,
            best.cpu_us_each,
            best.generator.busiest * 100.0,
            row.limit
        )?;
    }
    Ok(())
}
