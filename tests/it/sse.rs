//! Event streams, by a real HTTP client.

pub(crate) mod ends;
mod grammar;
pub(crate) mod live;
pub(crate) mod resume;
mod slow;
pub(crate) mod wire;

use crate::harness::node::Node;

/// The value of a metric that counts.
async fn metric(node: &Node, name: &str) -> u64 {
    let value = node.metric(name).await;
    // A count is whole.
    value.to_string().parse().expect("a count")
}
