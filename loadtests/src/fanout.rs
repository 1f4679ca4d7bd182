//! `fanout`: messages at fixed times into rooms, and what each delivery costs and how late it is.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::LoadError;
use crate::outcome::{self, Outcome, Plan};
use crate::target::Target;
use crate::{page, verdict};

/// Handshakes under way at once when the members come.
pub(crate) const AT_ONCE: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    load: Load,

    /// Messages a second in each room
    #[arg(long, default_value_t = 100.0, value_parser = rate)]
    rate: f64,
}

/// Rooms, members and time of a load.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Load {
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rooms: u32,

    /// Connections in each room; one of them sends
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    pub(crate) members: u32,

    /// Hubbub stores each message (publish) instead of passing it on (emit)
    #[arg(long)]
    pub(crate) durable: bool,

    /// Seconds that are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,

    /// Seconds before that, at the same rate
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(crate) warm_up: u64,
}

impl Load {
    pub(crate) fn connections(&self) -> usize {
        self.rooms as usize * self.members as usize
    }

    pub(crate) fn plan(&self, run: u16, rate: f64) -> Plan {
        Plan {
            run,
            rooms: self.rooms,
            members: self.members,
            rate,
            durable: self.durable,
            warm_up: Duration::from_secs(self.warm_up),
            time: Duration::from_secs(self.seconds),
            tail: Duration::from_secs(3),
            churn: None,
        }
    }
}

/// A positive number, at most 200,000.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=200_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 0.01 to 200000".to_owned()),
    }
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let outcome = measure(&options.target, &options.load, options.rate).await?;
    options.target.common.print(&outcome, page_of)
}

pub(crate) async fn measure(target: &Target, load: &Load, rate: f64) -> Result<Outcome, LoadError> {
    let mut scene = target.set(load.rooms as usize, load.connections()).await?;
    let places = scene.places(load.connections());
    scene.crowd.open(&places, true, AT_ONCE).await?;
    scene.rest().await?;
    let outcome = outcome::run(&mut scene, target.name(), &load.plan(1, rate)).await?;
    scene.end().await?;
    Ok(outcome)
}

fn page_of(outcome: &Outcome) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", page::fanout(std::slice::from_ref(outcome)));
    let _ = writeln!(text, "{}", verdict::RULE);
    text
}
