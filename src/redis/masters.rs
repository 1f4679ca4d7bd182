//! Asking a cluster who its masters are.

use std::convert::Infallible;
use std::time::Duration;

use redis::{PushInfo, Value};
use tokio::sync::Notify;

use super::endpoint::{Endpoint, Patience};
use super::error::LinkError;
use super::topology::{Place, Topology};

/// A cluster is not asked more often, whatever fails.
const PAUSE: Duration = Duration::from_millis(250);

/// Returns when it is time to ask again: after the interval, a quarter more or less, or when there is a
/// doubt. While something is wrong it is soon, because a failure is noticed here before the cluster
/// has decided who takes its place.
pub(crate) async fn pause(is_well: bool, interval: Duration, doubt: &Notify) {
    let longest = if is_well {
        interval
    } else {
        4 * PAUSE.min(interval)
    };
    tokio::time::sleep(PAUSE).await;
    // Whichever comes first.
    let longest = longest.mul_f64(0.75 + rand::random::<f64>() / 2.0);
    tokio::time::timeout(longest, doubt.notified()).await.ok();
}

/// Who the masters are, by the first of these servers that knows of all slots; else by the first
/// that says anything. Each failure is told to `failed`.
pub(crate) async fn ask(
    patience: &Patience,
    servers: impl IntoIterator<Item = Endpoint>,
    failed: impl Fn(&Place, &LinkError),
) -> Option<Topology> {
    let mut best: Option<Topology> = None;
    for endpoint in servers {
        match ask_one(patience, &endpoint).await {
            Ok(topology) if topology.is_complete() => return Some(topology),
            // Perhaps another knows more.
            Ok(topology) => best = best.or(Some(topology)),
            Err(error) => failed(endpoint.place(), &error),
        }
    }
    best
}

async fn ask_one(patience: &Patience, endpoint: &Endpoint) -> Result<Topology, LinkError> {
    let deaf = |_: PushInfo| Ok::<_, Infallible>(());
    let mut connection = endpoint.connect(patience, deaf).await?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let answer = connection.send_packed_command(&command);
    let answer: Value = patience.answer(answer).await?.extract_error()?;
    Topology::read(&answer, endpoint.place()).ok_or(LinkError::Nonsense("CLUSTER SLOTS"))
}
