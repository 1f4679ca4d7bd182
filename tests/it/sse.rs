//! Event streams, by a real HTTP client.

mod ends;
mod grammar;
mod live;
mod resume;
mod slow;
mod wire;

use crate::harness::node::Node;
use crate::harness::rest::{http, send};

/// The value of a metric, 0 if it has not been used.
async fn metric(node: &Node, name: &str) -> u64 {
    let page = send(http().get(node.url("/metrics"))).await.text;
    let value = page.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(' ')?.parse().ok()
    });
    value.unwrap_or_default()
}
