//! How long a node takes until it listens.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::error::LoadError;
use crate::node::{Node, NodeOptions};

/// Start times, milliseconds: the median of several, but for the first start.
#[derive(Clone, Debug, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the unit is part of the name in JSON"
)]
pub(crate) struct StartTimes {
    /// In an empty folder: a Postgres is initialised, started and migrated.
    pub(crate) embedded_first_ms: f64,
    /// In a folder that has one, which is started.
    pub(crate) embedded_later_ms: f64,
    /// On a Postgres that runs, with everything migrated.
    pub(crate) existing_database_ms: f64,
}

/// Starts and stops nodes on a running database, and gives the median time of the starts.
pub(crate) async fn on_existing(
    binary: &Path,
    folder: &Path,
    url: &str,
    times: u32,
) -> Result<Duration, LoadError> {
    let mut starts = Vec::new();
    for n in 0..times {
        let node = Node::start(&NodeOptions {
            database_url: Some(url),
            ..NodeOptions::embedded(binary, folder.join(format!("visitor-{n}")))
        })
        .await?;
        starts.push(node.start_time);
        node.stop().await?;
    }
    Ok(median(starts))
}

/// Starts and stops a node with a Postgres of its own that has been stopped with it.
pub(crate) async fn of_embedded(
    binary: &Path,
    data: &Path,
    times: u32,
) -> Result<Duration, LoadError> {
    let mut starts = Vec::new();
    for _ in 0..times {
        let node = Node::start(&NodeOptions::embedded(binary, data.to_owned())).await?;
        starts.push(node.start_time);
        node.stop().await?;
    }
    Ok(median(starts))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds, with their fraction.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
