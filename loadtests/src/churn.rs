//! `churn`: connections come, join, receive and go beside a steady fan-out, and the server's memory
//! before and after.

use std::fmt::Write as _;

use serde::Serialize;

use crate::clock::NS_PER_S;
use crate::error::LoadError;
use crate::fanout::{AT_ONCE, Load, rate};
use crate::generator::order::Churn;
use crate::outcome::{self, Outcome, Plan};
use crate::target::Target;
use crate::{page, verdict};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    load: Load,

    /// Messages a second in each room
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    rate: f64,

    /// Connections that come in a second
    #[arg(long, default_value_t = 200.0, value_parser = rate)]
    arrivals: f64,

    /// How long each stays, milliseconds
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    stay_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Churned {
    pub(crate) arrivals: f64,
    pub(crate) stay_ms: u64,
    /// Resident bytes of the server before and after.
    pub(crate) before_bytes: u64,
    pub(crate) after_bytes: u64,
    pub(crate) outcome: Outcome,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let churned = measure(options).await?;
    options.target.common.print(&churned, page_of)
}

async fn measure(options: &Options) -> Result<Churned, LoadError> {
    let Options {
        target,
        load,
        rate,
        arrivals,
        stay_ms,
    } = options;
    let mut scene = target.set(load.rooms as usize, load.connections()).await?;
    let places = scene.places(load.connections());
    scene.crowd.open(&places, true, AT_ONCE).await?;
    scene.rest().await?;
    let before_bytes = scene.server.resident_bytes();
    let processes = scene.crowd.pids().count() as f64;
    // A rate is positive and at most 200,000.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let interval_ns = ((NS_PER_S as f64 * processes / arrivals).round() as u64).max(1);
    let stay_ns = stay_ms * (NS_PER_S / 1000);
    let plan = load.plan(1, *rate);
    let plan = Plan {
        // Those who came last go before the run is over.
        tail: plan.tail + std::time::Duration::from_nanos(stay_ns),
        churn: Some(Churn {
            interval_ns,
            stay_ns,
        }),
        ..plan
    };
    let outcome = outcome::run(&mut scene, target.name(), &plan).await?;
    scene.rest().await?;
    let after_bytes = scene.server.resident_bytes();
    scene.end().await?;
    Ok(Churned {
        arrivals: *arrivals,
        stay_ms: *stay_ms,
        before_bytes,
        after_bytes,
        outcome,
    })
}

fn page_of(churned: &Churned) -> String {
    let mut text = page::fanout(std::slice::from_ref(&churned.outcome));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let Churned {
        arrivals,
        stay_ms,
        before_bytes,
        after_bytes,
        outcome,
    } = churned;
    let ms = |micros: u64| micros as f64 / 1000.0;
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "\n{arrivals:.0} connections a second came and stayed {stay_ms} ms: {} came and went, {} \
         failed; in their room after p50 {:.2} ms, p99 {:.2} ms\n\
         resident memory of the server: {:.1} MiB before, {:.1} MiB after\n\n{}",
        outcome.came,
        outcome.failed,
        ms(outcome.arrival.p50_us),
        ms(outcome.arrival.p99_us),
        mib(*before_bytes),
        mib(*after_bytes),
        verdict::RULE
    );
    text
}
