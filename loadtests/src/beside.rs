//! `beside`: a room of two whose messages come while a huge room is given its own. What is measured is
//! the small room, in turns alone and beside the other, so that both figures are of one run.
//!
//! The small room has a generator of its own, and those of the huge one give way to it: otherwise
//! what is measured is how soon they get to its sockets among thousands of others.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, NS_PER_S};
use crate::crowd::Crowd;
use crate::error::LoadError;
use crate::fanout::{AT_ONCE, rate};
use crate::generator::order::{Ran, Run};
use crate::samples::{Latency, Samples};
use crate::schedule::Schedule;
use crate::target::{Scene, Target};

/// The rooms, by their index.
const HUGE: usize = 0;
const SMALL: usize = 1;

/// Members of the small one.
const SMALL_MEMBERS: usize = 2;

/// From the order to run until its start.
const LEAD_NS: u64 = NS_PER_S / 5;

/// The huge room begins so long before the small one, and ends after it.
const MARGIN: Duration = Duration::from_millis(500);

/// How long late messages are waited for.
const TAIL: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    /// Connections in the huge room
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    members: u32,

    /// Messages a second in the huge room. With the small room's default it has no common beat
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    rate: f64,

    /// Messages a second in the small room
    #[arg(long, default_value_t = 47.0, value_parser = rate)]
    small_rate: f64,

    /// Seconds of each turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,

    /// Turns alone, and as many beside the huge room
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    turns: u16,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Beside {
    members: u32,
    rate: f64,
    small_rate: f64,
    ephemeral: Pair,
    durable: Pair,
}

/// The small room's messages.
#[derive(Debug, Serialize)]
struct Pair {
    alone: Small,
    beside: Small,
    /// Deliveries in the huge room, and those that were lost.
    huge_received: u64,
    huge_lost: u64,
}

#[derive(Debug, Serialize)]
struct Small {
    latency: Latency,
    /// How much later than meant its messages were sent: what its generator waited for a processor.
    slip: Latency,
    received: u64,
    lost: u64,
    /// Connections that ended, and commands that were refused.
    ended: u64,
    refused: u64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let members = options.members as usize;
    let mut scene = options.target.set(2, members + SMALL_MEMBERS).await?;
    let mut small = options.target.crowd(&scene.server, SMALL_MEMBERS).await?;
    scene.crowd.give_way()?;
    let places = scene.places_in(HUGE, members);
    scene.crowd.open(&places, true, AT_ONCE).await?;
    let places = scene.places_in(SMALL, SMALL_MEMBERS);
    small.open(&places, true, AT_ONCE).await?;
    scene.rest().await?;
    let mut turns = Turns {
        options,
        scene,
        small,
        run: 0,
    };
    let report = Beside {
        members: options.members,
        rate: options.rate,
        small_rate: options.small_rate,
        ephemeral: turns.pair(false).await?,
        durable: turns.pair(true).await?,
    };
    turns.small.end().await?;
    turns.scene.end().await?;
    options.target.common.print(&report, page_of)
}

struct Turns<'a> {
    options: &'a Options,
    scene: Scene,
    small: Crowd,
    /// Runs so far.
    run: u16,
}

/// Runs of one kind, put together.
struct Sum {
    latency: Samples,
    slip: Samples,
    ran: Vec<Ran>,
}

impl Turns<'_> {
    async fn pair(&mut self, durable: bool) -> Result<Pair, LoadError> {
        let (mut alone, mut beside) = (Sum::new()?, Sum::new()?);
        let mut huge = Sum::new()?;
        for _ in 0..self.options.turns {
            alone.add(self.turn(durable, None).await?);
            beside.add(self.turn(durable, Some(&mut huge)).await?);
        }
        let huge = huge.small();
        Ok(Pair {
            alone: alone.small(),
            beside: beside.small(),
            huge_received: huge.received,
            huge_lost: huge.lost,
        })
    }

    /// The small room's messages for a while, with the huge room's if there is something for what
    /// comes of them.
    async fn turn(&mut self, durable: bool, huge: Option<&mut Sum>) -> Result<Vec<Ran>, LoadError> {
        let time = Duration::from_secs(self.options.seconds);
        let start = clock::now() + LEAD_NS;
        if huge.is_some() {
            let order = self.order(self.options.rate, time + 2 * MARGIN, durable, start);
            self.scene.crowd.begin_run(&order).await?;
        }
        let start = start + clock::ns(MARGIN);
        let order = self.order(self.options.small_rate, time, durable, start);
        self.small.begin_run(&order).await?;
        clock::sleep_until(order.schedule.end()).await;
        let ran = self.small.end_run(TAIL).await?;
        if let Some(huge) = huge {
            clock::sleep_until(order.schedule.end() + clock::ns(MARGIN)).await;
            huge.add(self.scene.crowd.end_run(TAIL).await?);
        }
        Ok(ran)
    }

    fn order(&mut self, rate: f64, time: Duration, durable: bool, start_ns: u64) -> Run {
        self.run += 1;
        Run {
            number: self.run,
            schedule: Schedule::new(2, rate, 0, clock::ns(time)).starting(start_ns),
            tail_ns: clock::ns(TAIL),
            durable,
            churn: None,
        }
    }
}

impl Sum {
    fn new() -> Result<Self, LoadError> {
        Ok(Self {
            latency: Samples::new()?,
            slip: Samples::new()?,
            ran: Vec::new(),
        })
    }

    fn add(&mut self, ran: Vec<Ran>) {
        for ran in &ran {
            for share in &ran.shares {
                self.latency.merge_counts(&share.latency);
            }
            self.slip.merge_counts(&ran.slip);
        }
        self.ran.extend(ran);
    }

    fn small(&self) -> Small {
        let shares = || self.ran.iter().flat_map(|ran| &ran.shares);
        Small {
            latency: self.latency.latency(),
            slip: self.slip.latency(),
            received: shares().map(|share| share.received).sum(),
            lost: shares().map(|share| share.lost).sum(),
            ended: self.ran.iter().map(|ran| ran.ended).sum(),
            refused: self.ran.iter().map(|ran| ran.refused).sum(),
        }
    }
}

fn page_of(report: &Beside) -> String {
    let mut text = String::new();
    let _ = write_page(&mut text, report);
    text
}

fn write_page(text: &mut String, report: &Beside) -> std::fmt::Result {
    writeln!(
        text,
        "a room of {SMALL_MEMBERS} with {} messages/s, alone and beside one of {} with {}/s; ms",
        report.small_rate, report.members, report.rate
    )?;
    writeln!(
        text,
        "{:22}{:>8}{:>8}{:>8}{:>8}   sent late: {:>8}{:>8}",
        "", "p50", "p90", "p99", "max", "p50", "p99"
    )?;
    let pairs = [
        ("ephemeral", &report.ephemeral),
        ("durable", &report.durable),
    ];
    for (class, pair) in pairs {
        for (where_, small) in [("alone", &pair.alone), ("beside", &pair.beside)] {
            write_line(text, &format!("{class}, {where_}"), small)?;
        }
        let (with, without) = (&pair.beside.latency, &pair.alone.latency);
        writeln!(
            text,
            "  beside adds {:.2} ms at p50, {:.2} ms at p99; the huge room had {} deliveries, {} lost",
            ms(with.p50_us) - ms(without.p50_us),
            ms(with.p99_us) - ms(without.p99_us),
            pair.huge_received,
            pair.huge_lost
        )?;
    }
    Ok(())
}

fn write_line(text: &mut String, name: &str, small: &Small) -> std::fmt::Result {
    let Small { latency, slip, .. } = small;
    writeln!(
        text,
        "{name:22}{:>8.2}{:>8.2}{:>8.2}{:>8.2}              {:>8.2}{:>8.2}",
        ms(latency.p50_us),
        ms(latency.p90_us),
        ms(latency.p99_us),
        ms(latency.max_us),
        ms(slip.p50_us),
        ms(slip.p99_us)
    )?;
    if small.lost + small.ended + small.refused > 0 {
        writeln!(
            text,
            "  FAULTS: {} lost, {} connections ended, {} commands refused",
            small.lost, small.ended, small.refused
        )?;
    }
    Ok(())
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
