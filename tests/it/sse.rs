//! Event streams, by a real HTTP client.

mod ends;
mod grammar;
mod live;
mod resume;
mod slow;
mod wire;

use crate::harness::node::Node;

/// The value of a metric that counts.
async fn metric(node: &Node, name: &str) -> u64 {
    let value = node.metric(name).await;
    // A count is whole.
    value.to_string().parse().expect("a count")
}
